"""The database's connection, and what it looks like when the database goes away."""

from typing import Final

from django.db import OperationalError, connections
from django.db.backends.postgresql.base import DatabaseWrapper

# PostgreSQL's states: connection exceptions, too few resources, shutting down or starting up.
NO_SERVER: Final = ("08", "53", "57P")


def is_away(error: BaseException | None) -> bool:
    """Whether an error says that the database went away, or has no connection left.

    The error is read, and the database not asked: it may be back by now.
    """
    if not isinstance(error, OperationalError):
        return False
    # An error without a state did not come from the server at all.
    state = getattr(error.__cause__, "sqlstate", None)
    return state is None or state.startswith(NO_SERVER)


def let_go() -> None:
    """Close this thread's connection and the process's pool: it goes on without, or forks."""
    for connection in connections.all():
        connection.close()
        if isinstance(connection, DatabaseWrapper):
            connection.close_pool()
