"""Pages of the site as a whole: the front page, its health, the API's documentation."""

import functools
import sys
from collections import Counter
from datetime import timedelta
from typing import Any, Final

from celery import current_app
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from kombu.exceptions import OperationalError

from environments import browsing
from hub.database import is_away
from hub.problems import problem_details

SHOWN: Final = 6
MAP_SIDE: Final = 8
CONTACT_HOLDS: Final = timedelta(days=30)
WAIT_S: Final = 300  # the usual span of a rate limit
AGAIN_S: Final = 5
DEFECT: Final = (
    500,
    "Something broke here",
    "It is the hub that is at fault, and its log says how. What you did was not kept. Try again "
    "in a minute; if it stays so, tell an administrator what you did.",
)
AWAY: Final = (
    503,
    "The database is away",
    "Try again in a minute. What you just did may or may not have been kept; an upload of the "
    "same bytes can safely be sent again.",
)
METHODS: Final = ("get", "post", "put", "patch", "delete")


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """What the hub is, what it has, and how to begin."""
    newest, trainable = list(browsing.newest(SHOWN)), list(browsing.most_trainable(SHOWN))
    context = {
        "totals": browsing.totals(),
        "newest": newest,
        "trainable": trainable,
        "first": next(iter([*trainable, *newest]), None),
        "map": _map(browsing.cells()),
        "site": request.build_absolute_uri("/").rstrip("/"),
    }
    return render(request, "home.html", context)


def too_many(request: HttpRequest) -> HttpResponse:
    """What somebody reads who came up against a rate limit; allauth asks for it by name."""
    response = render(request, "429.html", status=429)
    response.headers["Retry-After"] = str(WAIT_S)
    return response


def broken(request: HttpRequest) -> HttpResponse:
    """What is answered where an error was not caught; asks nothing of the database.

    503 while the database is away, so that clients come again by themselves; 500 for a defect.
    """
    away = is_away(sys.exc_info()[1])
    status, title, detail = AWAY if away else DEFECT
    if request.path_info.startswith("/api/"):
        body = problem_details(status, title, detail)
        response: HttpResponse = JsonResponse(body, content_type="application/problem+json")
        response.status_code = status
    else:
        response = render(None, "500.html", {"title": title, "detail": detail}, status=status)
    if away:
        response.headers["Retry-After"] = str(AGAIN_S)
    return response


def _map(cells: dict[tuple[str, str], int]) -> dict[str, Any]:
    """The commonest domains by the commonest strategies, with the count of each cell."""
    domains: Counter[str] = Counter()
    strategies: Counter[str] = Counter()
    for (domain, strategy), count in cells.items():
        domains[domain] += count
        strategies[strategy] += count
    columns = sorted(name for name, _ in strategies.most_common(MAP_SIDE))
    rows = sorted(name for name, _ in domains.most_common(MAP_SIDE))
    return {
        "columns": columns,
        "rows": [
            (row, [(column, cells.get((row, column), 0)) for column in columns]) for row in rows
        ],
    }


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Whether this process answers."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def security_txt(request: HttpRequest) -> HttpResponse:
    """Where to report a hole (RFC 9116); 404 unless the operator has said so."""
    if not settings.SECURITY_CONTACT:
        raise Http404
    ends = (timezone.now() + CONTACT_HOLDS).strftime("%Y-%m-%dT%H:%M:%SZ")
    text = f"Contact: {settings.SECURITY_CONTACT}\nExpires: {ends}\nPreferred-Languages: en\n"
    return HttpResponse(text, content_type="text/plain; charset=utf-8")


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Whether what the site needs answers too: 503 names what does not."""
    checks = {"database": _database_answers(), "broker": _broker_answers()}
    status = 200 if all(checks.values()) else 503
    return JsonResponse(
        {name: "ok" if ok else "does not answer" for name, ok in checks.items()}, status=status
    )


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("select 1")
    except DatabaseError:
        return False
    return True


def _broker_answers() -> bool:
    try:
        with current_app.connection_for_write() as broker:
            broker.ensure_connection(max_retries=1, timeout=2)
    except (OperationalError, OSError):
        return False
    return True


@require_safe
def api_docs(request: HttpRequest) -> HttpResponse:
    """The API's schema as a page to read."""
    return render(request, "api_docs.html", {"schema": _schema(), "groups": _groups()})


@functools.cache
def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return schema


def _groups() -> dict[str, list[dict[str, Any]]]:
    """The operations by the first part of their address."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for address, methods in sorted(_schema()["paths"].items()):
        shared = methods.get("parameters", [])
        for method in METHODS:
            if method in methods:
                operation = _operation(address, method, methods[method], shared)
                groups.setdefault(_group(address), []).append(operation)
    return groups


def _group(address: str) -> str:
    return address.removeprefix("/api/v1/").split("/")[0] or "api"


def _operation(
    address: str, method: str, described: dict[str, Any], shared: list[dict[str, Any]]
) -> dict[str, Any]:
    bodies = described.get("requestBody", {}).get("content", {})
    security = described.get("security", [])
    return {
        "id": described["operationId"],
        "method": method.upper(),
        "address": address,
        "summary": described.get("summary", ""),
        "description": described.get("description", ""),
        "parameters": [_parameter(p) for p in [*shared, *described.get("parameters", [])]],
        "bodies": [(kind, _fields(body.get("schema", {}))) for kind, body in bodies.items()],
        "responses": [
            (code, answer.get("description", ""), sorted(answer.get("content", {})))
            for code, answer in described["responses"].items()
        ],
        # An empty requirement among them means that nobody has to sign in.
        "needs_account": bool(security) and {} not in security,
    }


def _parameter(parameter: dict[str, Any]) -> dict[str, Any]:
    schema = parameter.get("schema", {})
    return {
        "name": parameter["name"],
        "where": parameter["in"],
        "required": parameter.get("required", False),
        "type": schema.get("type", ""),
        "choices": schema.get("enum", []),
        "description": parameter.get("description", ""),
    }


def _fields(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The fields of a request's body."""
    named = schema.get("$ref", "").rpartition("/")[2]
    if named:
        schema = _schema()["components"]["schemas"].get(named, {})
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "required": name in required,
            "type": field.get("type", ""),
            "description": field.get("description", ""),
        }
        for name, field in schema.get("properties", {}).items()
    ]
