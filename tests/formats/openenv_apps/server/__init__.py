"""Servers of several kinds."""
