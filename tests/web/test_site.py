"""The site as a whole: its health, its API page, its error pages, its size."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client

from hub import views


def test_health_needs_nothing(client: Client) -> None:
    assert client.get("/healthz").content == b"ok\n"


@pytest.mark.django_db
def test_readiness_names_what_does_not_answer(client: Client, monkeypatch) -> None:
    monkeypatch.setattr("django.conf.settings.CELERY_BROKER_URL", "redis://127.0.0.1:9/0")
    from celery import Celery

    absent = Celery(broker="redis://127.0.0.1:9/0", set_as_current=False)
    monkeypatch.setattr(views, "current_app", absent)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"database": "ok", "broker": "does not answer"}


@pytest.mark.django_db
def test_readiness_is_well_with_a_broker(client: Client, monkeypatch) -> None:
    from celery import Celery

    present = Celery(broker="memory://", set_as_current=False)
    monkeypatch.setattr(views, "current_app", present)
    assert client.get("/readyz").status_code == 200


@pytest.mark.django_db
def test_every_operation_of_the_api_is_on_its_page(client: Client) -> None:
    html = client.get("/api/v1/docs/").content.decode()
    schema = views._schema()
    assert schema["paths"]
    for address in schema["paths"]:
        assert address in html
    assert "cdn" not in html


@pytest.mark.django_db
def test_what_is_not_there_is_said_plainly(client: Client) -> None:
    answer = client.get("/nobody/nothing/1/2/3/4")
    assert answer.status_code == 404
    assert "Nothing is here" in answer.content.decode()


@pytest.fixture
def unlucky(monkeypatch) -> Iterator[tuple[Client, Callable[[str], None]]]:
    """A client, and what the next page runs in the database instead of its own queries."""

    def arrange(sql: str) -> None:
        def ask(*_: object, **__: object) -> None:
            with connection.cursor() as cursor:
                cursor.execute(sql)

        monkeypatch.setattr("environments.browsing.totals", ask)
        monkeypatch.setattr("environments.api.catalogue", ask)

    yield Client(raise_request_exception=False), arrange
    connection.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["/", "/api/v1/environments/"])
@pytest.mark.parametrize(
    ("sql", "status", "title"),
    [
        ("SELECT pg_terminate_backend(pg_backend_pid())", 503, "The database is away"),
        ("SELECT 1/0", 500, "Something broke here"),
        ("SET LOCAL statement_timeout = 1; SELECT pg_sleep(1)", 500, "Something broke here"),
        ("SELECT * FROM nowhere", 500, "Something broke here"),
    ],
)
def test_a_database_that_is_away_is_no_defect(unlucky, path, sql, status, title) -> None:
    client, arrange = unlucky
    arrange(sql)
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.headers.get("Retry-After") == ("5" if status == 503 else None)
    assert title in answer.content.decode()
    if path != "/":
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert (answer.json()["status"], answer.json()["title"]) == (status, title)


def test_styles_stay_small() -> None:
    sheets = list((Path(settings.BASE_DIR) / "static" / "css").glob("*.css"))
    assert sheets
    assert sum(sheet.stat().st_size for sheet in sheets) < 30_000
