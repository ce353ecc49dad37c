"""The site as a whole: its health, its API page, its error pages, its size."""

from pathlib import Path

import pytest
from django.conf import settings
from django.template.loader import render_to_string
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


def test_the_page_for_our_own_failures_needs_nothing() -> None:
    assert "It is the hub" in render_to_string("500.html")


def test_styles_stay_small() -> None:
    sheets = list((Path(settings.BASE_DIR) / "static" / "css").glob("*.css"))
    assert sheets
    assert sum(sheet.stat().st_size for sheet in sheets) < 30_000
