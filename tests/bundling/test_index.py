"""Reading an index that is good, broken, or lies."""

import gzip
import logging
import time

import pytest

from graders.bundling.index import Index, TooMuch, default_url
from graders.bundling.limits import BuildLimits
from graders.errors import EnvironmentFault, PlatformFault
from tests.bundling.packages import metadata, wheel
from tests.bundling.served import JSON, Served

NAME, CONTENT = wheel("demo")
HEX = "0" * 64


def body(index: Index, filename: str = NAME) -> bytes:
    (file,) = (file for file in index.files("demo") if file.filename == filename)
    return b"".join(index.content(file))


@pytest.fixture(params=[False, True], ids=["json", "html"])
def both(request: pytest.FixtureRequest, served: Served) -> Served:
    served.as_html = request.param
    return served


def test_files_and_their_bytes(both, make_index):
    both.add(NAME, CONTENT, requires_python=">=3.11,<4", metadata=metadata("demo", "1.0"))
    index = make_index()
    (file,) = index.files("Demo")
    assert (file.filename, len(file.sha256)) == (NAME, 64)
    assert file.listed["requires-python"] == ">=3.11,<4"
    assert body(index) == CONTENT
    assert index.metadata(file) == metadata("demo", "1.0")
    assert both.paths().count(both.page_path("demo")) == 1  # read once
    assert index.files("unknown") == []


def test_a_file_that_is_no_wheel_has_no_metadata(both, make_index):
    both.add(NAME, b"not a wheel")
    index = make_index()
    with pytest.raises(LookupError):
        index.metadata(index.files("demo")[0])


def test_yanked_files_stay_listed_as_such(both, make_index):
    both.add(NAME, CONTENT, yanked="broken")
    assert make_index().files("demo")[0].listed["yanked"] == "broken"


@pytest.mark.parametrize(
    "listed",
    [
        {"hashes": {}},
        {"hashes": {"md5": "0" * 32}},
        {"hashes": {"sha256": "0" * 63}},
        {"hashes": {"sha256": HEX[:-1] + "G"}},
        {"filename": "demo-1.0.exe"},
        {"filename": "demo-1.0-py3-none-any.whl\n"},
        {"filename": "demo 1.0.tar.gz"},
        {"filename": "../demo-1.0.tar.gz"},
        {"filename": "..tar.gz"},
        {"filename": "demo-1.0\u2028-py3-none-any.whl"},
        {"filename": f"demo-1.{'0' * 250}-py3-none-any.whl"},
        {"filename": ""},
    ],
)
def test_what_cannot_be_checked_or_named_is_not_there(served, make_index, listed):
    served.add(NAME, CONTENT)
    served.add("demo-2.0-py3-none-any.whl", CONTENT, **listed)
    assert [file.filename for file in make_index().files("demo")] == [NAME]


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"{",
        b"[]",
        b'{"files": 3}',
        b'{"files": [3]}',
        b'{"files": [{"url": "a"}]}',
        b'{"files": [{"filename": "a-1.tar.gz", "url": "http://[", "hashes": {"sha256": "%s"}}]}'
        % HEX.encode(),
        b'{"files": ' + b"[" * 100_000,
        b"\xff\xfe\x00",
    ],
)
def test_garbage_is_the_index_fault(served, make_index, page):
    served.behave(served.page_path("demo"), lambda h: h.send(200, page, Content_Type=JSON))
    with pytest.raises(PlatformFault, match=r"page /simple/demo/ cannot be read"):
        make_index().files("demo")


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_failures_name_the_status_and_the_path(served, make_index, status):
    served.behave(served.page_path("demo"), lambda h: h.send(status, b"no"))
    with pytest.raises(PlatformFault, match=f"answered {status} for /simple/demo/"):
        make_index().files("demo")


def test_redirects_are_followed_but_not_for_ever(served, make_index):
    served.add(NAME, CONTENT)
    served.behave("/simple/moved/", lambda h: h.send(301, b"", Location="/simple/demo/"))
    served.behave("/simple/loop/", lambda h: h.send(302, b"", Location="/simple/loop/"))
    served.behave("/simple/file/", lambda h: h.send(302, b"", Location="file:///etc/passwd"))
    index = make_index()
    assert [file.filename for file in index.files("moved")] == [NAME]
    assert b"".join(index.content(index.files("moved")[0])) == CONTENT
    with pytest.raises(PlatformFault, match="did not answer"):
        index.files("loop")
    with pytest.raises(PlatformFault, match="did not answer"):
        index.files("file")


def test_nobody_there(make_index):
    with pytest.raises(PlatformFault, match="did not answer"):
        make_index("http://127.0.0.1:9/simple").files("demo")


@pytest.mark.parametrize("url", ["", "simple", "ftp://host/simple", "file:///simple", "http://"])
def test_an_address_that_is_none(url):
    with pytest.raises(PlatformFault, match="does not begin with http"):
        Index(url, BuildLimits())


def test_other_bytes_are_refused_before_the_last_of_them(served, make_index):
    served.add(NAME, CONTENT, hashes={"sha256": HEX})
    given = []
    index = make_index()
    with pytest.raises(PlatformFault, match=r"other bytes for demo-1\.0"):
        given.extend(index.content(index.files("demo")[0]))
    assert b"".join(given) != CONTENT


def test_a_truncated_file_is_refused(served, make_index):
    def cut(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(CONTENT)))
        handler.end_headers()
        handler.wfile.write(CONTENT[:-5])
        handler.close_connection = True

    served.add(NAME, CONTENT)
    served.behave(f"/files/{NAME}", cut)
    with pytest.raises(PlatformFault, match="did not answer"):
        body(make_index())


def test_other_metadata_is_refused(served, make_index):
    served.add(NAME, CONTENT, metadata=metadata("demo", "1.0"))
    served.behave(f"/files/{NAME}.metadata", lambda h: h.send(200, b"Name: other"))
    index = make_index()
    with pytest.raises(PlatformFault, match="other bytes"):
        index.metadata(index.files("demo")[0])


def test_files_are_taken_as_they_are(served, make_index):
    """A server that says that a .tar.gz is a gzipped .tar means the same bytes."""
    packed = gzip.compress(b"source")
    served.add("demo-1.0.tar.gz", packed)
    served.behave("/files/demo-1.0.tar.gz", lambda h: h.send(200, packed, Content_Encoding="gzip"))
    assert body(make_index(), "demo-1.0.tar.gz") == packed


def test_downloads_are_counted_together(served, make_index):
    files = [wheel("demo", f"{number}.0", {"x": bytes([number]) * 400_000}) for number in range(4)]
    for name, content in files:
        served.add(name, content + b"\0" * 400_000)
    index = make_index(download_mb=1)
    with pytest.raises(TooMuch, match="more than 1 MiB to download"):
        for file in index.files("demo"):
            list(index.content(file))


def test_requests_are_counted(served, make_index):
    index = make_index(requests=3)
    for number in range(3):
        index.files(f"p{number}")
    with pytest.raises(EnvironmentFault, match="over 3 requests: pin"):
        index.files("p3")


def test_a_page_that_never_ends(served, make_index, monkeypatch):
    monkeypatch.setattr("graders.bundling.index.PAGE_LIMIT", 100_000)
    served.behave("/simple/demo/", lambda h: h.send(200, b" " * 200_000, Content_Type=JSON))
    with pytest.raises(PlatformFault, match="page /simple/demo/ is too large"):
        make_index().files("demo")


def test_a_page_that_inflates_without_end(served, make_index, monkeypatch):
    monkeypatch.setattr("graders.bundling.index.PAGE_LIMIT", 100_000)
    bomb = gzip.compress(b" " * 20_000_000)
    headers = {"Content_Type": JSON, "Content_Encoding": "gzip"}
    served.behave("/simple/demo/", lambda h: h.send(200, bomb, **headers))
    with pytest.raises(PlatformFault, match="too large"):
        make_index().files("demo")


def test_an_index_that_drips(served, make_index):
    def drip(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        for _ in range(100):
            try:
                handler.wfile.write(b" ")
            except OSError:
                return
            time.sleep(0.1)

    served.behave("/simple/demo/", drip)
    began = time.monotonic()
    with pytest.raises(PlatformFault, match="took over 1 s for one answer"):
        make_index(seconds=1).files("demo")
    assert time.monotonic() - began < 3


def test_a_prefix_and_relative_addresses(make_index):
    nested = Served(prefix="/root/pypi/+simple")
    try:
        nested.add(NAME, CONTENT)
        assert body(make_index(nested.url + "/")) == CONTENT
        assert nested.paths() == ["/root/pypi/+simple/demo/", f"/root/pypi/files/{NAME}"]
    finally:
        nested.stop()


def test_credentials_go_to_the_index_alone_and_are_never_shown(served, make_index, caplog):
    caplog.set_level(logging.DEBUG)
    other = Served()
    try:
        other.add(NAME, CONTENT)
        served.add(NAME, CONTENT)
        served.add("demo-2.0-py3-none-any.whl", CONTENT, url=f"{other.url}/{NAME}")
        served.behave("/simple/bad/", lambda h: h.send(500, b""))
        served.behave("/simple/away/", lambda h: h.send(302, b"", Location=f"{other.url}/x/"))
        index = make_index(f"http://reader:s3cr%40t@{served.address}/simple")
        for file in index.files("demo"):
            assert b"".join(index.content(file)) == CONTENT
            assert "s3cr" not in repr(file)
        index.files("away")
        with pytest.raises(PlatformFault) as caught:
            index.files("bad")
        assert "s3cr" not in str(caught.value)
    finally:
        other.stop()
    assert all("Authorization" in headers for _, headers in served.seen)
    assert len(other.seen) == 2
    assert not any("Authorization" in headers for _, headers in other.seen)
    assert "s3cr" not in caplog.text


@pytest.mark.parametrize("url", ["http://u:p@ss@h:bad/", "http://u:pw/x@h/", "//u:pw@h/simple"])
def test_a_password_that_breaks_an_address_is_not_shown(url):
    with pytest.raises(PlatformFault) as caught:
        Index(url, BuildLimits()).files("demo")
    assert "p@ss" not in str(caught.value)
    assert "pw" not in str(caught.value)


def test_the_index_that_uv_uses_is_the_default(monkeypatch):
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://name:word@127.0.0.1:9/simple")
    assert default_url() == "http://name:word@127.0.0.1:9/simple"


def test_json_is_asked_for_first(served, make_index):
    served.add(NAME, CONTENT)
    make_index().files("demo")
    accept = served.seen[0][1]["Accept"]
    assert accept == f"{JSON}, text/html;q=0.2"
