"""Serving a version's bytes: immutable, resumable, verifiable."""

import base64
import re
from collections.abc import Iterator
from typing import BinaryIO, cast

from django.core.files.storage import default_storage
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import content_disposition_header

from environments.models import Version

CHUNK = 2**16
RANGE = re.compile(r"bytes=(?:(\d+)-(\d*)|-(\d+))")
CONTENT_TYPES = {"tar.gz": "application/gzip", "zip": "application/zip", "wheel": "application/zip"}


def archive_response(request: HttpRequest, version: Version) -> HttpResponseBase:
    """The archive, or what the request's conditions and range make of it (RFC 9110).

    One range gives 206, one beyond the end 416; several, or one that cannot be read, the whole.
    """
    response: HttpResponseBase | None = get_conditional_response(request, etag=_etag(version))
    if response is None:
        response = _whole_or_part(request, version)
    for name, value in _headers(version).items():
        response.headers[name] = value
    return response


def _whole_or_part(request: HttpRequest, version: Version) -> HttpResponseBase:
    span = _span(request, version)
    if span is None:
        file = default_storage.open(version.storage_key)
        response: HttpResponseBase = FileResponse(
            file, as_attachment=True, filename=version.filename, content_type=_content_type(version)
        )
        response.headers["Content-Length"] = str(version.size)
        return response
    start, stop = span
    if start >= stop:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{version.size}"})
    file = default_storage.open(version.storage_key)
    response = StreamingHttpResponse(
        _chunks(cast(BinaryIO, file), start, stop), status=206, content_type=_content_type(version)
    )
    response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{version.size}"
    response.headers["Content-Length"] = str(stop - start)
    response.headers["Content-Disposition"] = content_disposition_header(True, version.filename)
    return response


def _headers(version: Version) -> dict[str, str]:
    digest = base64.b64encode(bytes.fromhex(version.sha256)).decode()
    cache = "public, max-age=31536000, immutable" if version.is_public else "private, no-cache"
    return {
        "ETag": _etag(version),
        "Digest": f"sha-256={digest}",
        "Repr-Digest": f"sha-256=:{digest}:",
        "Accept-Ranges": "bytes",
        "Cache-Control": cache,
        # Should a browser show it after all, then as a page that may do nothing.
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }


def _etag(version: Version) -> str:
    return f'"{version.sha256}"'


def _content_type(version: Version) -> str:
    return CONTENT_TYPES.get(version.kind, "application/octet-stream")


def _span(request: HttpRequest, version: Version) -> tuple[int, int] | None:
    """The bytes asked for, from the first up to but without the last; empty beyond the end."""
    found = RANGE.fullmatch(request.headers.get("Range", "").strip())
    unchanged = request.headers.get("If-Range", _etag(version)) == _etag(version)
    if request.method != "GET" or found is None or not unchanged:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        return max(0, version.size - int(suffix)), version.size
    if last and int(last) < int(first):
        return None
    return int(first), min(version.size, int(last) + 1 if last else version.size)


def _chunks(file: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    with file:
        file.seek(start)
        while start < stop and (chunk := file.read(min(CHUNK, stop - start))):
            start += len(chunk)
            yield chunk
