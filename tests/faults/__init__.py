"""The fault run: a real stack that is broken on purpose while it works, and what must hold then.

`python -m tests.faults` (or `make faults`) starts it; docs/operations.md says what each fault
means to an operator.
"""
