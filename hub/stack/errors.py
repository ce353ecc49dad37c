"""The one kind of error that this package shows to a person."""


class StackError(Exception):
    """Why the stack cannot start or go on: one line that says what to do."""
