"""Downloading: the bytes, their digests, ranges, conditions and caching."""

import base64
import hashlib

import pytest

from tests.api.conftest import packed

URL = "/api/v1/environments/ada/coins/versions/1.0.0/archive"
DATA = packed()
ETAG = f'"{hashlib.sha256(DATA).hexdigest()}"'
DIGEST = base64.b64encode(hashlib.sha256(DATA).digest()).decode()


def content(answer) -> bytes:
    return b"".join(answer.streaming_content) if answer.streaming else answer.content


def test_the_bytes_come_with_their_digest(anonymous, public):
    answer = anonymous.get(URL)
    assert answer.status_code == 200
    assert content(answer) == DATA
    assert answer["ETag"] == ETAG
    assert answer["Digest"] == f"sha-256={DIGEST}"
    assert answer["Repr-Digest"] == f"sha-256=:{DIGEST}:"
    assert answer["Content-Length"] == str(len(DATA))
    assert answer["Content-Disposition"] == 'attachment; filename="coins-1.0.0.tar.gz"'
    assert answer["Content-Type"] == "application/gzip"
    assert answer["Accept-Ranges"] == "bytes"
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_whatever_is_accepted_the_archive_comes(anonymous, public):
    for accept in ("application/gzip", "text/html", "*/*"):
        assert anonymous.get(URL, HTTP_ACCEPT=accept).status_code == 200


def test_public_bytes_may_be_cached_for_ever(clients, public):
    assert clients["anonymous"].get(URL)["Cache-Control"] == "public, max-age=31536000, immutable"


def test_private_bytes_are_not_cached_by_others(clients, pending):
    assert clients["owner"].get(URL)["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=10-", 10, len(DATA)),
        ("bytes=-7", len(DATA) - 7, len(DATA)),
        ("bytes=0-999999", 0, len(DATA)),
        (f"bytes=-{len(DATA) + 5}", 0, len(DATA)),
        (f"bytes={len(DATA) - 1}-", len(DATA) - 1, len(DATA)),
    ],
)
def test_one_range(anonymous, public, wanted, start, stop):
    answer = anonymous.get(URL, HTTP_RANGE=wanted)
    assert answer.status_code == 206
    assert content(answer) == DATA[start:stop]
    assert answer["Content-Range"] == f"bytes {start}-{stop - 1}/{len(DATA)}"
    assert answer["Content-Length"] == str(stop - start)
    assert answer["ETag"] == ETAG


@pytest.mark.parametrize("wanted", [f"bytes={len(DATA)}-", "bytes=-0", "bytes=999999-9999999"])
def test_a_range_beyond_the_end(anonymous, public, wanted):
    answer = anonymous.get(URL, HTTP_RANGE=wanted)
    assert answer.status_code == 416
    assert answer["Content-Range"] == f"bytes */{len(DATA)}"


@pytest.mark.parametrize("wanted", ["bytes=5-2", "bytes=a-b", "bytes=0-1,4-5", "lines=0-1", ""])
def test_ranges_that_are_not_one_are_left_aside(anonymous, public, wanted):
    answer = anonymous.get(URL, HTTP_RANGE=wanted)
    assert (answer.status_code, content(answer)) == (200, DATA)


def test_a_range_of_what_it_was_before_gives_the_whole(anonymous, public):
    assert anonymous.get(URL, HTTP_RANGE="bytes=0-1", HTTP_IF_RANGE=ETAG).status_code == 206
    assert anonymous.get(URL, HTTP_RANGE="bytes=0-1", HTTP_IF_RANGE='"old"').status_code == 200


def test_a_download_goes_on_where_it_stopped(anonymous, public):
    half = len(DATA) // 2
    first = content(anonymous.get(URL, HTTP_RANGE=f"bytes=0-{half - 1}"))
    rest = content(anonymous.get(URL, HTTP_RANGE=f"bytes={half}-", HTTP_IF_RANGE=ETAG))
    assert hashlib.sha256(first + rest).hexdigest() == public.sha256


def test_what_is_known_is_not_sent_again(anonymous, public):
    answer = anonymous.get(URL, HTTP_IF_NONE_MATCH=f'"other", {ETAG}')
    assert (answer.status_code, content(answer)) == (304, b"")
    assert answer["ETag"] == ETAG
    assert "immutable" in answer["Cache-Control"]
    assert anonymous.get(URL, HTTP_IF_NONE_MATCH='"other"').status_code == 200
    assert anonymous.get(URL, HTTP_IF_MATCH='"other"').status_code == 412


def test_head_has_the_headers_alone(anonymous, public):
    answer = anonymous.head(URL, HTTP_RANGE="bytes=0-1")
    assert answer.status_code == 200
    assert answer["Content-Length"] == str(len(DATA))


def test_a_condition_does_not_tell_what_is_hidden(anonymous, pending):
    assert anonymous.get(URL, HTTP_IF_NONE_MATCH=ETAG).status_code == 404
