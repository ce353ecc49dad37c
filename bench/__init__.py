"""Measurements, each a ratio taken within one run; see bench/README.md."""
