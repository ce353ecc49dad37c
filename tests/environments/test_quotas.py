"""What one person may upload and keep: by REST and by the page alike, counted in the database."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.models.functions import Now
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from environments import quotas
from environments.models import UploadAttempt, Version
from hub.accounts.models import Quota, User
from hub.audit.models import Event
from hub.errors import Refused
from tests.api.conftest import client_of, packed
from tests.factories import make_user, make_version
from tests.racing import at_once

pytestmark = pytest.mark.django_db

Way = Callable[..., HttpResponse]


def by_rest(owner: User, data: bytes, name: str = "coins") -> HttpResponse:
    archive = SimpleUploadedFile(f"{name}.tar.gz", data)
    url = f"/api/v1/environments/{owner}/{name}/versions/"
    return client_of(owner).post(url, {"archive": archive}, format="multipart")


def by_page(owner: User, data: bytes, name: str = "coins") -> HttpResponse:
    client = Client()
    client.force_login(owner)
    archive = SimpleUploadedFile(f"{name}.tar.gz", data)
    return client.post(
        "/upload/", {"archive": archive}, headers={"X-Requested-With": "XMLHttpRequest"}
    )


@pytest.fixture(params=[by_rest, by_page])
def way(request: pytest.FixtureRequest) -> Way:
    return request.param


@pytest.fixture
def owner() -> User:
    return make_user("ada")


def stored() -> list[str]:
    """The archives on disk."""
    try:
        folders, _ = default_storage.listdir("archives")
    except FileNotFoundError:
        return []
    return [name for folder in folders for name in default_storage.listdir(f"archives/{folder}")[1]]


def may_upload(owner: User) -> bool:
    """Counts an upload; whether it was within the quota."""
    try:
        quotas.count_upload(owner)
    except Refused as refused:
        assert refused.retry_after > 0
        return False
    return True


def test_too_many_uploads_are_refused_for_an_hour(owner: User, way: Way, settings) -> None:
    settings.QUOTAS = settings.QUOTAS | {"uploads_per_hour": 2}
    assert way(owner, packed()).status_code == 201
    assert way(owner, b"not an archive").status_code == 422, "it counts whatever comes of it"
    cache.clear()
    refused = way(owner, packed(version="2.0.0"))
    assert refused.status_code == 429
    assert 3500 < int(refused["Retry-After"]) <= 3600
    assert "You may upload 2 archives an hour" in refused.content.decode()
    assert (Version.objects.count(), len(stored())) == (1, 1)
    oldest = UploadAttempt.objects.earliest("at")
    UploadAttempt.objects.filter(pk=oldest.pk).update(at=Now() - timedelta(minutes=61))
    assert way(owner, packed(version="2.0.0")).status_code == 201
    assert UploadAttempt.objects.count() == 2, "what no longer counts is not kept"


def test_another_person_is_not_slowed(owner: User, way: Way, settings) -> None:
    settings.QUOTAS = settings.QUOTAS | {"uploads_per_hour": 1}
    assert [way(owner, packed()).status_code for _ in range(2)][1] == 429
    assert way(make_user("bob"), packed()).status_code == 201


def test_a_full_quota_is_one_clear_error_and_nothing_is_kept(owner: User, way: Way) -> None:
    Quota.objects.create(user=owner, storage_mb=1)
    make_version(owner, size=2**20 - 10)
    refused = way(owner, packed())
    assert refused.status_code == 413
    text = refused.content.decode()
    assert "ada uses 1024.0" in text.replace("\xa0", " ")
    assert "of 1.0" in text
    assert "ask an administrator" in text
    assert (Version.objects.count(), stored()) == (1, [])


def test_rest_names_the_quota(owner: User) -> None:
    Quota.objects.create(user=owner, storage_mb=0)
    (error,) = by_rest(owner, packed()).json()["errors"]
    assert (error["code"], error["field"]) == ("quota", "archive")


def test_the_same_bytes_count_once(owner: User, way: Way) -> None:
    first = make_version(owner, size=2**20 - 10, sha256="a" * 64)
    make_version(owner, size=2**20 - 10, sha256="a" * 64)
    make_version(make_user("bob"), size=2**30)
    quota = Quota.objects.create(user=owner, storage_mb=2)
    assert way(owner, packed()).status_code == 201
    quota.storage_mb = 1
    quota.save()
    again = way(owner, packed())
    assert again.status_code in (200, 302, 201), "it is there, so it needs no room"
    quotas.reserve(owner, sha256=first.sha256, size=first.size)
    with pytest.raises(Refused):
        quotas.reserve(owner, sha256="b" * 64, size=1)


@pytest.mark.parametrize(
    ("fields", "own", "allowed"),
    [
        ({}, None, 2),
        ({"is_trusted": True}, None, 6),
        ({}, 3, 3),
        ({"is_trusted": True}, 1, 1),
        ({"is_superuser": True}, 0, 0),
        ({"is_superuser": True}, None, 9),
    ],
)
def test_some_people_may_upload_more(
    settings, fields: dict[str, bool], own: int | None, allowed: int
) -> None:
    settings.QUOTAS = settings.QUOTAS | {"uploads_per_hour": 2}
    settings.QUOTA_TRUSTED_FACTOR = 3
    person = make_user("ada", **fields)
    if own is not None:
        Quota.objects.create(user=person, uploads_per_hour=own)
    assert [may_upload(person) for _ in range(9)].count(True) == allowed


@pytest.mark.django_db(transaction=True)
def test_requests_at_the_same_moment_do_not_pass_the_quotas_together(settings) -> None:
    settings.QUOTAS = settings.QUOTAS | {"uploads_per_hour": 4}
    owner = make_user("ada")
    assert at_once(8, lambda: may_upload(owner)).count(True) == 4
    UploadAttempt.objects.all().delete()
    data = [packed(version=f"{number}.0.0") for number in range(4)]
    Quota.objects.create(user=owner, uploads_per_hour=100, storage_mb=1)
    make_version(owner, size=2**20 - 2 * len(data[0]) - 20)
    numbers = iter(data)
    answers = at_once(4, lambda: by_rest(owner, next(numbers)).status_code)
    assert sorted(answers) == [201, 201, 413, 413]
    assert len(stored()) == 2


@pytest.mark.django_db(transaction=True)
def test_twenty_uploads_of_one_version_at_once_are_one(settings) -> None:
    owner = make_user("ada")
    answers = at_once(20, lambda: by_rest(owner, packed()).status_code)
    assert sorted(answers) == [200] * 19 + [201]
    assert (Version.objects.count(), len(stored())) == (1, 1)


def test_an_administrator_changes_a_quota_and_it_is_recorded(client: Client, owner: User) -> None:
    client.force_login(make_user("root", is_superuser=True, is_staff=True))
    address = reverse("admin:accounts_user_change", args=[owner.pk])
    page = client.get(address)
    form = page.context["adminform"].form
    data = {
        name: value
        for name, value in form.initial.items()
        if value is not None and not isinstance(value, bool) and name != "date_joined"
    }
    data |= {"username": "ada", "quota-TOTAL_FORMS": "1", "quota-INITIAL_FORMS": "0"}
    data |= {"quota-0-user": str(owner.pk), "quota-0-running_evaluations": "7"}
    data.pop("password", None)
    assert client.post(address, data).status_code == 302
    assert Quota.objects.get(user=owner).running_evaluations == 7
    event = Event.objects.get(action="quota.changed")
    assert (event.actor_name, event.data["fields"]) == ("root", {"running_evaluations": 7})
