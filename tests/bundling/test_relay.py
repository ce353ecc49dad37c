"""What the relay answers, asked by the worker and from inside a sandbox."""

import json
import os

import pytest

from graders.bundling.relay import Answer, Relay
from graders.errors import PlatformFault
from tests.bundling.packages import metadata, sdist, wheel, zipped
from tests.bundling.served import JSON, Behaviour

NAME, CONTENT = wheel("demo")


@pytest.fixture
def relay(served, make_index, store) -> Relay:
    served.sha256 = served.add(NAME, CONTENT, metadata=metadata("demo", "1.0"))
    return Relay(make_index(), store)


def body(answer: Answer) -> bytes:
    found = b"".join(answer.body)
    assert len(found) == answer.length
    return found


def test_pages_files_and_metadata(relay, served):
    page = relay.get("/simple/demo/")
    assert (page.status, page.kind) == (200, JSON)
    (entry,) = json.loads(body(page))["files"]
    assert entry["url"] == f"/file/{served.sha256}/{NAME}"
    assert served.address not in json.dumps(entry)
    assert body(relay.get(entry["url"])) == CONTENT
    assert body(relay.get(f"{entry['url']}.metadata")) == metadata("demo", "1.0")


def test_a_file_is_fetched_once(relay, served):
    relay.get("/simple/demo/")
    for _ in range(3):
        assert body(relay.get(f"/file/{served.sha256}/{NAME}")) == CONTENT
    assert served.paths().count(f"/files/{NAME}") == 1


def ask_for_metadata(relay: Relay, sha256: str, name: str) -> Answer:
    project = name.split("-", maxsplit=1)[0]
    assert json.loads(body(relay.get(f"/simple/{project}/")))["files"][0]["core-metadata"] is True
    return relay.get(f"/file/{sha256}/{name}.metadata")


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("size", [10, 3_000_000])
def test_metadata_that_is_not_offered_is_read_from_the_wheel(relay, served, ranges, size):
    name, content = wheel("bare", files={"big": os.urandom(size)}, requires=("demo",))
    sha256 = served.add(name, content)
    served.ranges = ranges
    assert body(ask_for_metadata(relay, sha256, name)) == metadata("bare", "1.0", ("demo",))
    assert (served.sent < 300_000) == (ranges or size == 10)


def lies(told: str, data: bytes) -> Behaviour:
    return lambda handler: handler.send(206, data, Content_Range=told)


@pytest.mark.parametrize(
    "behaviour",
    [
        lies("bytes 0-9/10", b"x"),
        lies("bytes 0-9/5", b"x" * 10),
        lies("bytes 0-9/*", b"x" * 10),
        lies("nonsense", b"x"),
        lies("bytes 9-0/10", b""),
        lies(f"bytes 0-9/{10**15 - 1}", b"x" * 10),
    ],
)
def test_a_server_that_lies_about_parts_is_asked_for_the_whole(relay, served, behaviour):
    name, content = wheel("bare")
    sha256 = served.add(name, content)
    path = f"/files/{name}"

    def behave(handler):
        (behaviour if "Range" in handler.headers else served.answer)(handler)

    served.behave(path, behave)
    assert body(ask_for_metadata(relay, sha256, name)) == metadata("bare", "1.0")


@pytest.mark.parametrize(
    "files", [{"x": b""}, {"a.dist-info/METADATA": b"", "b.dist-info/METADATA": b""}]
)
def test_a_wheel_without_metadata_has_none(relay, served, files):
    name = "odd-1.0-py3-none-any.whl"
    sha256 = served.add(name, zipped(files))
    assert ask_for_metadata(relay, sha256, name).status == 404
    sha256 = served.add(name.replace("odd", "none"), b"not a zip")
    assert ask_for_metadata(relay, sha256, name.replace("odd", "none")).status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/simple/",
        "/simple",
        "/simple/../",
        "/simple/..",
        "/simple/demo/../../files/x",
        "/simple/demo/extra/",
        "/simple/%2e%2e/",
        "/simple/a%2Fb/",
        "/simple/a?b=c",
        "/simple/a#b",
        "/simple/-a/",
        "/simple/é/",
        "/simple/a\n/",
        f"/simple/{'a' * 101}/",
        "http://example.com/",
        "http://169.254.169.254/latest/meta-data/",
        "//example.com/simple/demo/",
        "/file/",
        f"/file/{'0' * 64}/{NAME}",
        f"/file/{'0' * 63}/{NAME}",
        "/file/../../etc/passwd",
        f"/files/{NAME}",
        "/etc/passwd",
        "file:///etc/passwd",
    ],
)
def test_nothing_else_is_there_or_reaches_the_index(relay, served, path):
    relay.get("/simple/demo/")
    served.seen.clear()
    assert relay.get(path).status == 404
    assert served.seen == []


def test_a_listed_digest_is_unknown_until_its_page_was_asked_for(relay, served):
    assert relay.get(f"/file/{served.sha256}/{NAME}").status == 404


def test_an_index_that_fails_is_told_as_such(relay, served):
    served.behave("/simple/demo/", lambda handler: handler.send(503, b""))
    with pytest.raises(PlatformFault, match="503"):
        relay.get("/simple/demo/")


# What a build finds when it asks for more than packages; printed into its wheel.
ASK = """
import http.client, json, socket, urllib.error, urllib.parse, urllib.request
url = urllib.parse.urlsplit(os.environ["UV_DEFAULT_INDEX"])
said = {}

def ask(method, path):
    there = http.client.HTTPConnection(url.hostname, url.port, timeout=20)
    there.request(method, path)
    return there.getresponse().status

for method in ("HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS"):
    said[method] = ask(method, "/simple/demo/")
for path in PATHS:
    said[path] = ask("GET", path)
for where in (("1.1.1.1", 53), ("127.0.0.1", PORT), ("169.254.169.254", 80)):
    try:
        socket.create_connection(where, timeout=3).close()
        said[where[0]] = "reached"
    except OSError:
        said[where[0]] = "unreachable"
with zipfile.ZipFile(PATH, "a") as wheel:
    wheel.writestr("said.json", json.dumps(said))
"""


def test_from_inside_only_get_of_packages_is_answered(served, make_stock, built):
    outside = ["/", "/simple/", "/simple/../x", "//x", "http://example.com/", "/etc/passwd"]
    port = int(served.address.rpartition(":")[2])
    code = ASK.replace("PATHS", repr(["/simple/demo/", *outside])).replace("PORT", str(port))
    served.add(*wheel("demo"))
    served.add(*sdist("curious", code=code))
    stock = make_stock()
    with built(["curious"], stock) as tree:
        said = json.loads((tree / "said.json").read_text())
    assert said.pop("/simple/demo/") == 200
    assert {said.pop(method) for method in ("HEAD", "POST", "PUT", "DELETE")} <= {405, 501}
    assert {said.pop(method) for method in ("CONNECT", "OPTIONS")} == {501}
    assert {said.pop(path) for path in outside} == {404}
    assert set(said.values()) == {"unreachable"}
    assert set(served.paths()) <= {
        "/simple/curious/",
        "/files/curious-1.0.tar.gz",
        "/simple/demo/",
    }
