"""The audit log only grows, in the database itself."""

import pytest
from django.db import DatabaseError, connection, transaction

from hub.accounts.models import User
from hub.audit import services as audit
from hub.audit.models import Event
from tests.factories import make_user


@pytest.fixture
def event(db) -> Event:
    user = make_user("ada")
    return audit.record(actor=user, action="test.done", target=user)


def test_an_event_cannot_be_changed(event):
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        Event.objects.filter(pk=event.pk).update(actor_name="eve")
    event.refresh_from_db()
    assert event.actor_name == "ada"


def test_an_event_cannot_be_removed(event):
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        event.delete()
    assert Event.objects.filter(action="test.done").exists()


def test_not_even_by_plain_sql(event):
    with (
        pytest.raises(DatabaseError, match="never changed"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("delete from audit_event")


def test_an_event_outlives_whom_it_names(event):
    User.objects.all().delete()
    event.refresh_from_db()
    assert (event.actor_name, event.target_name) == ("ada", "ada")
