"""The embedded stack: real engines from wheels, started and stopped as one (`manage.py up`)."""
