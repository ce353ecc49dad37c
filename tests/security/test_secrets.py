"""No secret is written down: not in a log, a traceback, an error page, an answer, the audit log."""

import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.conf import settings
from django.core import mail
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.views.debug import ExceptionReporter
from rest_framework.test import APIClient

from graders.errors import ModelUnavailable
from graders.models import Evaluation, ReferenceModel
from graders.policy import Endpoint, Policy, Sampler
from hub import views
from hub.accounts.models import User
from hub.accounts.tokens import TokenAuthentication
from hub.audit.models import Event
from hub.redaction import Formatter, redact
from tests.factories import make_model, make_user
from tests.graders.scripted import ASK, Handler, Server, Talk

pytestmark = pytest.mark.django_db

PASSWORD, WRONG, NEW = "old-harbour-41x", "wrong-harbour-43x", "quiet-harbour-42x"
KEY = "sk-proj-4fJ9vQ2mXw7Lr1Tz8Bn5Hc3Kd6Pg0Ys"


class Log:
    """Everything that was logged: as it came, and as the site's handler writes it."""

    def __init__(self) -> None:
        self.raw, self.written = io.StringIO(), io.StringIO()
        self._handlers = [logging.StreamHandler(self.raw), logging.StreamHandler(self.written)]
        self._handlers[0].setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        fmt = dict(settings.LOGGING["formatters"]["line"])
        fmt.pop("()")
        self._handlers[1].setFormatter(Formatter(**fmt))

    def __enter__(self) -> "Log":
        root = logging.getLogger()
        self._level = root.level
        root.setLevel(logging.DEBUG)
        for handler in self._handlers:
            root.addHandler(handler)
        return self

    def __exit__(self, *_: object) -> None:
        root = logging.getLogger()
        root.setLevel(self._level)
        for handler in self._handlers:
            root.removeHandler(handler)


@pytest.fixture
def log() -> Iterator[Log]:
    with Log() as log:
        yield log


@pytest.fixture
def ada(db) -> User:
    user = make_user("ada", email="ada@example.org")
    user.set_password(PASSWORD)
    user.save()
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    return user


def page_token(client: Client) -> str:
    """The text of a new token, which the page shows once."""
    form = {"name": "laptop", "scopes": ["read"], "days": "30"}
    return client.post("/accounts/tokens/", form).context["text"]


def test_people_and_their_programs_leave_no_secret_in_any_log(ada: User, log: Log) -> None:
    client = Client(raise_request_exception=False)
    client.post("/accounts/login/", {"login": "ada", "password": WRONG})
    client.post("/accounts/login/", {"login": "ada", "password": PASSWORD})
    secrets = [PASSWORD, WRONG, NEW, client.session.session_key, client.cookies["csrftoken"].value]
    token = page_token(client)
    api = APIClient()
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    made = api.post("/api/v1/tokens/", {"name": "second"}, format="json").json()["token"]
    assert api.get("/api/v1/me/").status_code == 200
    assert api.get("/api/v1/environments/no/such/").status_code == 404
    api.credentials(HTTP_AUTHORIZATION=f"Token {token}wrong")
    assert api.get("/api/v1/me/").status_code == 401
    client.post("/accounts/password/reset/", {"email": ada.email})
    link = re.search(r"http://testserver(\S+)", mail.outbox[-1].body)[1]
    key = link.rstrip("/").rpartition("-")[2]
    page = client.get(link, follow=True)
    client.post(page.redirect_chain[-1][0], {"password1": NEW, "password2": NEW})
    client.get(f"{link}x")
    form = {"oldpassword": WRONG, "password1": NEW, "password2": NEW}
    client.post("/accounts/password/change/", form)
    secrets += [token, made, key, settings.SECRET_KEY]
    assert "django.request" in log.raw.getvalue()
    for secret in secrets:
        assert secret not in log.written.getvalue()
        assert secret not in str(list(Event.objects.values_list("data", "target_name")))
    quiet = [line for line in log.raw.getvalue().splitlines() if not line.startswith("DEBUG")]
    for secret in secrets:
        assert secret not in "\n".join(quiet)


def test_a_crash_tells_nothing_to_the_visitor_and_nothing_secret_to_the_log(
    ada: User, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Client()
    browser.force_login(ada)
    text = page_token(browser)

    def crash(*_: object) -> None:
        raise RuntimeError(
            f"Authorization: Token {text} postgresql://hub:{PASSWORD}@db/hub {settings.SECRET_KEY}"
        )

    monkeypatch.setattr(views.browsing, "totals", crash)
    monkeypatch.setattr("environments.api.catalogue", crash)
    client = Client(raise_request_exception=False, headers={"Authorization": f"Token {text}"})
    for path in ("/", "/api/v1/environments/"):
        answer = client.get(path)
        assert answer.status_code == 500
        body = answer.content.decode()
        assert "It is the hub" in body
        assert "RuntimeError" not in body
        assert text not in body
    written = log.written.getvalue()
    assert written.count("RuntimeError: Authorization: Token [hidden]") == 2
    for secret in (text, PASSWORD, settings.SECRET_KEY):
        assert secret not in written


def test_a_report_of_a_crash_at_the_door_hides_the_token(ada: User, rf: Any, monkeypatch) -> None:
    secret = "practicum_" + "5" * 64
    request = rf.get("/", HTTP_AUTHORIZATION=f"Token {secret}", HTTP_COOKIE="sessionid=abcdefgh")

    def crash(*_: object) -> None:
        raise RuntimeError("the door is broken")

    monkeypatch.setattr("knox.auth.TokenAuthentication.authenticate_credentials", crash)
    try:
        TokenAuthentication().authenticate(request)
    except RuntimeError:
        report = ExceptionReporter(request, *sys.exc_info())
    ours = [frame for frame in report.get_traceback_frames() if "hub/accounts" in frame["filename"]]
    assert len(ours) == 2
    assert secret not in str([frame["vars"] for frame in ours])
    meta = report.filter.get_safe_request_meta(request)
    assert secret not in str(meta)
    assert "abcdefgh" not in str(meta)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Token 0123456789abcdef", "0123456789abcdef"),
        ("'Authorization': 'Bearer sk-0123456789'", "sk-0123456789"),
        ("{'authorization': b'Bearer sk-0123456789'}", "sk-0123456789"),
        ("Bearer sk-0123456789abc said no", "sk-0123456789abc"),
        ("practicum_0123456789abcdef", "0123456789abcdef"),
        ("connecting to redis://:hunter2@broker:6379/0", "hunter2"),
        ("amqp://hub:hunter2@broker//", "hunter2"),
        ("postgresql://hub:p%40ss@db/hub", "p%40ss"),
        ("Cookie: sessionid=abcdefghijklmnop; x=1", "abcdefghijklmnop"),
        ("__Host-sessionid=abcdefghijklmnop", "abcdefghijklmnop"),
        ("Not Found: /accounts/password/reset/key/1-cabc12-0123456789/", "cabc12-0123456789"),
        ("Not Found: /accounts/confirm-email/MQ:1abcDE:xyz_-0123/", "MQ:1abcDE:xyz_-0123"),
        ("{'login': 'ada', 'password': 'quiet-harbour'}", "quiet-harbour"),
        ("login=ada&password1=quiet-harbour&x=1", "quiet-harbour"),
        ("the key is s3cr3t-of-the-site", "s3cr3t-of-the-site"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str, secret: str) -> None:
    shown = redact(text, ["s3cr3t-of-the-site", ""])
    assert secret not in shown
    assert "[hidden]" in shown


@pytest.mark.parametrize(
    "text",
    [
        "Not Found: /ada/sums/1.0.0/",
        "build 0 of ada/sums 1.0.0 on smollm2-135m was taken over or cancelled",
        "the environment has 24 token predictions and no password",
        "http://127.0.0.1:8000/accounts/password/reset/key/1-set-password/",
        "see https://example.org:8080/a@b",
        "Token limit of one reply",
    ],
)
def test_what_does_not_stays_readable(text: str) -> None:
    assert redact(text) == text


def echo(status: int, where: str) -> Any:
    """A server that repeats the headers it was sent, as careless proxies do."""

    def behave(handler: Handler) -> None:
        header = handler.headers["Authorization"]
        bodies = {
            "text": header,
            "cut": "x" * (300 - len("Bearer ") - len(KEY) + 5) + header,
            "html": f"<pre>{header}</pre>",
            "error": json.dumps({"error": {"message": f"bad header {header}"}}),
            "nested": json.dumps({"error": {"message": {"headers": {"Authorization": header}}}}),
            "code": json.dumps({"error": {"message": "no", "code": header, "type": header}}),
            "answer": json.dumps({"choices": [{"message": {"content": header}}], "x": header}),
            "content": json.dumps(
                {"choices": [{"message": {"content": header}, "finish_reason": "stop"}]}
            ),
        }
        handler.answer(status, bodies[where].encode(), X_Echo=header)

    return behave


@pytest.mark.parametrize("status", [200, 400, 401, 413, 422, 500])
@pytest.mark.parametrize(
    "where", ["text", "cut", "html", "error", "nested", "code", "answer", "content"]
)
def test_a_model_server_that_echoes_the_key_gives_it_to_nobody(
    server: Server, log: Log, status: int, where: str
) -> None:
    server.play(echo(status, where))
    endpoint = Endpoint(base_url=server.base_url, model="m", api_key=KEY, retries=1)
    with Talk(Policy(endpoint, Sampler(), jitter=lambda low, high: 0.0)) as policy:
        try:
            said = str(policy.chat(ASK, 1))
        except Exception as error:
            logging.getLogger("graders.working").exception("failed")
            said = str(error)
    assert server.seen
    for length in range(8, len(KEY), 4):
        assert KEY[:length] not in said, f"the first {length} characters of the key"
        assert KEY[:length] not in log.raw.getvalue()
    assert KEY not in repr(endpoint)


def test_an_address_with_a_password_is_refused(boss: User) -> None:
    with pytest.raises(ModelUnavailable) as refusal:
        Policy(Endpoint(base_url=f"http://hub:{PASSWORD}@127.0.0.1/v1", model="m"), Sampler())
    assert PASSWORD not in str(refusal.value)
    model = make_model(is_default=False)
    browser = Client()
    browser.force_login(boss)
    form = {"name": model.name, "model": "m", "temperature": 1, "top_p": 1, "max_tokens": 9}
    form |= {
        "concurrency": 1,
        "timeout_s": 9,
        "is_enabled": "on",
        "api_key": "",
        "tool_calls": "text",
    }
    url = reverse("admin:graders_referencemodel_change", args=[model.pk])
    answer = browser.post(url, form | {"base_url": f"https://hub:{PASSWORD}@model.example/v1"})
    assert "Give no name, password or key here" in answer.content.decode()
    model.refresh_from_db()
    assert PASSWORD not in model.base_url


def test_a_models_key_is_given_to_nobody(
    measured: Evaluation, boss: User, moderator: User, log: Log
) -> None:
    ReferenceModel.objects.update(api_key=KEY, base_url="http://inner.example/v1")
    version = measured.version
    base = f"/api/v1/environments/ada/sums/versions/{version.number}/"
    paths = ["/api/v1/models/", f"/api/v1/evaluations/{measured.pk}/", base, f"{base}stats/"]
    paths += [f"{base}rollouts/", f"{base}tasks/", measured.get_absolute_url()]
    paths += ["/admin/graders/referencemodel/", "/admin/audit/event/"]
    paths += [reverse("admin:graders_referencemodel_change", args=[measured.model.pk])]
    for user in (None, moderator, boss):
        client = Client()
        if user is not None:
            client.force_login(user)
        for path in paths:
            assert KEY not in client.get(path).content.decode()
    for path in paths[:4]:
        assert "inner.example" not in Client().get(path).content.decode()
    assert KEY not in log.written.getvalue()


def test_no_secret_is_stored_as_it_is(ada: User) -> None:
    client = Client()
    client.post("/accounts/login/", {"login": "ada", "password": PASSWORD})
    text = page_token(client)
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'select count(*) from "{table}" t where t::text like %s', [f"%{text}%"])
            assert cursor.fetchone() == (0,), table
