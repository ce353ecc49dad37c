"""How the REST API says that something is wrong: problem details (RFC 9457)."""

from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404
from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.response import Response
from rest_framework.views import exception_handler, set_rollback

from hub.errors import Problem, Refused


def problem_details(
    status: int, title: str, detail: str = "", errors: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    """The body of an error answer."""
    return {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "errors": errors or [],
    }


def handle(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Django REST framework's exception handler. None for a defect: the site's 500 page follows."""
    if isinstance(exc, RequestDataTooBig):
        problem = Problem("", "A field that is not a file is too long.", "too-large")
        exc = Refused("The request is too large", [problem], 413)
    elif isinstance(exc, SuspiciousOperation):
        exc = ParseError("The request's body cannot be read.")
    if isinstance(exc, Refused):
        errors = [{"field": p.where, "code": p.code, "message": p.message} for p in exc.problems]
        detail = " ".join(p.message for p in exc.problems[:3])
        set_rollback()
        headers = {} if exc.retry_after is None else {"Retry-After": str(exc.retry_after)}
        body = problem_details(exc.status, exc.title, detail, errors)
        return _answer(Response(status=exc.status, headers=headers), body)
    response = exception_handler(exc, context)
    if response is None:
        return None
    return _answer(response, _from_framework(exc, response.status_code))


def _answer(response: Response, body: dict[str, Any]) -> Response:
    response.data = body
    response.content_type = "application/problem+json"
    return response


def _from_framework(exc: Exception, status: int) -> dict[str, Any]:
    if isinstance(exc, ValidationError):
        return problem_details(status, "The request is not valid", errors=_flatten(exc.detail))
    if isinstance(exc, Http404):
        return problem_details(
            status, "Not found", "There is nothing here, or it is not yours to see."
        )
    if isinstance(exc, PermissionDenied):
        return problem_details(status, "Not allowed", str(exc) or "You may not do this.")
    title = HTTPStatus(status).phrase
    return problem_details(status, title, str(getattr(exc, "detail", "")))


def _flatten(detail: Any, where: str = "") -> list[dict[str, str]]:
    """DRF's nested lists and dictionaries of messages as a flat list."""
    if isinstance(detail, dict):
        return [
            e
            for key, value in detail.items()
            for e in _flatten(value, f"{where}.{key}".lstrip("."))
        ]
    if isinstance(detail, list):
        return [e for value in detail for e in _flatten(value, where)]
    # It may repeat what was sent, and that need not be text that can be sent back.
    message = str(detail).encode("utf-8", "backslashreplace").decode()
    return [{"field": where, "code": getattr(detail, "code", ""), "message": message}]
