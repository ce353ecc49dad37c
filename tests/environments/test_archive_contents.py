"""Secrets and pickles inside sound archives. What looks like a secret here is made up here."""

import base64
import bz2
import collections
import datetime
import decimal
import gzip
import io
import lzma
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
from making import codes, open_archive, plain_tar, plain_zip, wheel

from environments.archives import LIMITS, BadArchive, Fault, Limits

BASE62 = "Zq3Xk9Lm2Vb7Nc5Rw8Tj4Hy6Pd1Gs0FaUeBiKoQlWvCzMxJtDrEnYhOgIpSuAf"
HEX = "9f3b7c1d5e8a2046"


def made(prefix: str, size: int, alphabet: str = BASE62) -> str:
    """A made-up token; put together here, so that no scanner takes this file for a leak."""
    return prefix + "".join(alphabet[(7 * n * n + 3 * n) % len(alphabet)] for n in range(size))


def key(kind: str = "PRIVATE KEY", size: int = 1600, end: str = "\n") -> str:
    body = made("MIIE", size)
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    dashes = "-" * 5
    return end.join([f"{dashes}BEGIN {kind}{dashes}", *lines, f"{dashes}END {kind}{dashes}", ""])


SECRETS = {
    "AWS": (made("AKIA", 16, "Q7ZKD2XWV5MJ3RTY"), "an AWS access key"),
    "AWS, temporary": (made("ASIA", 16, "Q7ZKD2XWV5MJ3RTY"), "an AWS access key"),
    "Google": (made("AIza", 35), "a Google API key"),
    "Google OAuth": (made("GOCSPX-", 28), "a Google client secret"),
    "GitHub": (made("ghp_", 36), "a GitHub token"),
    "GitHub app": (made("ghs_", 36), "a GitHub token"),
    "GitHub, fine-grained": (made(made("github_pat_", 22) + "_", 59), "a GitHub token"),
    "GitLab": (made("glpat-", 20), "a GitLab token"),
    "Slack": (made("xoxb-2847193056-", 24), "a Slack token"),
    "Slack webhook": (
        "https://hooks.slack.com/services/T8Q2K4M9X/B7W3Z5N1V/" + made("", 24),
        "a Slack webhook",
    ),
    "OpenAI": (made(made("sk-proj-", 58) + "T3BlbkFJ", 58), "an OpenAI key"),
    "OpenAI, old": (made(made("sk-", 20) + "T3BlbkFJ", 20), "an OpenAI key"),
    "Anthropic": (made("sk-ant-" + "api03-", 93) + "AA", "an Anthropic key"),
    "Hugging Face": (made("hf_", 34), "a Hugging Face token"),
    "Groq": (made("gsk_", 52), "a Groq key"),
    "Replicate": (made("r8_", 37), "a Replicate token"),
    "PyPI": (made("pypi-AgEIcHlwaS5vcmc", 120), "a PyPI token"),
    "npm": (made("npm_", 36), "an npm token"),
    "Docker Hub": (made("dckr_pat_", 27), "a Docker Hub token"),
    "DigitalOcean": (made("dop_v1_", 64, HEX), "a DigitalOcean token"),
    "SendGrid": (made(made("SG.", 22) + ".", 43), "a SendGrid key"),
    "Stripe": (made("sk_live_", 24), "a Stripe key"),
    "PKCS 8": (key(), "a private key"),
    "PKCS 1": (key("RSA PRIVATE KEY"), "a private key"),
    "OpenSSH": (key("OPENSSH PRIVATE KEY"), "a private key"),
    "Ed25519": (key(size=60), "a private key"),
    "PGP": (key("PGP PRIVATE KEY BLOCK"), "a private key"),
    "Windows lines": (key(end="\r\n"), "a private key"),
    "service account": ('{"private_key": "' + key(end="\\n") + '"}', "a private key"),
    "Python string": ("KEY = (" + key(end='\\n"\n    "') + '")', "a private key"),
    "encrypted key": (
        key("EC PRIVATE KEY").replace("\n", "\nProc-Type: 4,ENCRYPTED\n\n", 1),
        "a private key",
    ),
}


def faults(files: dict[str, bytes], name: str = "env.zip", limits: Limits = LIMITS) -> list[Fault]:
    make = plain_tar if name.endswith("gz") else plain_zip
    try:
        open_archive(make(files), name, limits)
    except BadArchive as error:
        return error.faults
    return []


@pytest.mark.parametrize("name", ["env.zip", "env.tar.gz"])
@pytest.mark.parametrize("secret", SECRETS)
def test_secret(secret: str, name: str) -> None:
    text, kind = SECRETS[secret]
    source = f"import os\n\nTOKEN = '{text}'  # mine\n".encode()
    [fault] = faults({"p/settings.py": source, "p/a.py": b""}, name)
    assert (fault.code, fault.member) == ("secret", "p/settings.py")
    line = source[: source.index(text[:9].encode())].count(b"\n") + 1
    assert fault.message.startswith(f"Line {line} holds {kind}. Remove it, and revoke it")
    assert text not in fault.message
    assert text[8:24] not in fault.message, "no part of a secret is repeated"


HARMLESS = {
    "AWS's example": "AKIAIOSFODNN7EXAMPLE",
    "placeholder": "token = 'hf_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'",
    "counting": "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "ones": "AIza" + "1" * 35,
    "your": "glpat-YOUR-TOKEN-GOES-HERE",
    "test": made("npm_test", 32),
    "a longer word": made("hf_", 60),
    "inside a word": made("xghp_", 36),
    "too short": made("hf_", 20),
    "Stripe's test mode": made("sk_test_", 24),
    "a pattern": r"re.compile('ghp_[A-Za-z0-9]{36}')",
    "sk- words": "task-based-evaluation-of-language-models-with-long-names",
    "a shout": "ASIAPACIFICSOUTHEAST",
    "header alone": "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
    "header in code": 'if line == "-----BEGIN RSA PRIVATE KEY-----": raise ValueError("key")',
    "key, abridged": "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg...\n-----END PRIVATE KEY-----",
    "public key": key("PUBLIC KEY"),
    "certificate": key("CERTIFICATE"),
    "digest": "sha256=" + made("", 64, HEX),
    "base64": base64.b64encode(bytes(range(256)) * 40).decode(),
}


@pytest.mark.parametrize("text", HARMLESS)
def test_no_secret(text: str) -> None:
    assert faults({"settings.py": HARMLESS[text].encode(), "b.py": b""}) == []


@pytest.mark.parametrize(
    "path", ["tests/server.key", "p/test_data/id.pem", "dummyserver/ca.key", "examples/a.key"]
)
def test_a_key_made_for_tests_may_be_published(path: str) -> None:
    assert faults({path: key().encode(), "p/b.py": b""}) == []
    assert [one.code for one in faults({path: SECRETS["GitHub"][0].encode(), "p/b.py": b""})] == [
        "secret"
    ]


def test_the_first_of_each_kind_is_told() -> None:
    hub, lab = SECRETS["GitHub"][0], SECRETS["GitLab"][0]
    text = f"\n{lab}\n{hub}\n{lab}\n{hub}\n{made('gho_', 36)}\n{key()}"
    lines = [one.message.split(". ")[0] for one in faults({"a.env": text.encode(), "b": b""})]
    assert lines == [
        "Line 2 holds a GitLab token",
        "Line 3 holds a GitHub token",
        "Line 7 holds a private key",
    ]


def test_scanning_is_bounded() -> None:
    late = b"\n" * 5000 + SECRETS["GitHub"][0].encode()
    files = {"a.txt": late, "b.txt": late}
    assert len(faults(files)) == 2
    assert faults(files, limits=Limits(scanned_file_bytes=5000)) == []
    assert len(faults(files, limits=Limits(scanned_bytes=len(late)))) == 1


class Runs:
    """Unpickled, it runs a command."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch /tmp/unpickled",)


class Builds:
    """Unpickled, it looks an attribute up, and so gets at anything."""

    def __reduce__(self) -> tuple[object, tuple[object, str]]:
        return getattr, ("", "format_map")


class Own:
    """What a package pickles of its own."""


EVIL = pickle.dumps(Runs())
OBJECTS = numpy.array([1, "a", Runs()], dtype=object)


def saved(array: numpy.ndarray) -> bytes:
    out = io.BytesIO()
    numpy.save(out, array, allow_pickle=True)
    return out.getvalue()


def torch_like(data: bytes) -> bytes:
    """What `torch.save` writes: a zip of a pickle and raw numbers."""
    return plain_zip({"m/data.pkl": data, "m/data/0": bytes(64)}, zipfile.ZIP_STORED)


def damaged_gzip(data: bytes) -> bytes:
    """Whole up to its checksum: a loader runs the pickle before it learns of the damage."""
    return gzip.compress(data)[:-8]


PICKLES = {
    **{f"protocol {n}": ("a.pkl", pickle.dumps(Runs(), protocol=n)) for n in range(6)},
    "getattr": ("a.pickle", pickle.dumps(Builds())),
    "own class": ("a.pkl", pickle.dumps(Own())),
    "a function": ("a.pkl", pickle.dumps(os.path.join)),
    "any name": ("weights.dat", EVIL),
    "any name, protocol 2": ("weights", pickle.dumps(Runs(), protocol=2)),
    "oldest form, any name": ("notes.txt", pickle.dumps(Runs(), protocol=0)),
    "INST": ("a.pkl", b"(S'id'\nios\nsystem\n."),
    "OBJ": ("a.pkl", b"(cos\nsystem\nS'id'\no."),
    "computed name": ("a.pkl", b"\x80\x04\x8c\x02os\x8c\x06system0\x8c\x04exec\x93."),
    "name from the memo": (
        "a.pkl",
        b"\x80\x04\x8c\x02os\x94\x8c\x06system\x940h\x00h\x01\x93\x8c\x02id\x85R.",
    ),
    "name written over in the memo": (
        "a.pkl",
        b"\x80\x04\x8c\x0bcollections\x940\x8c\x02osq\x000h\x00\x8c\x06system\x93.",
    ),
    "dotted name": ("a.pkl", b"\x80\x04\x8c\x08builtins\x8c\x0ddict.__init__\x93."),
    "extension": ("a.pkl", b"\x80\x02\x82\x01."),
    "without an end": ("a.pkl", EVIL[:-1]),
    "rubbish behind the call": ("a.pkl", EVIL[:-1] + b"\xff\xff"),
    "second pickle": ("a.pkl", pickle.dumps([1]) + EVIL),
    "safe name, unsafe factory": ("a.pkl", pickle.dumps(collections.defaultdict(os.getcwd))),
    "array of objects": ("a.npy", saved(OBJECTS)),
    "array of objects, any name": ("a.bin", saved(OBJECTS)),
    "array with a field of objects": (
        "a.npy",
        saved(numpy.array([(1, Runs())], dtype=[("a", "i4"), ("b", "O")])),
    ),
    "in npz": ("a.npz", plain_zip({"x.npy": saved(OBJECTS)})),
    "in npz, any name": ("a.bin", plain_zip({"x.npy": saved(OBJECTS)})),
    "in torch's zip": ("model.pt", torch_like(EVIL)),
    "in a zip in a zip": ("a.zip", plain_zip({"b.zip": plain_zip({"x": EVIL})})),
    "gzip": ("a.pkl.gz", gzip.compress(EVIL)),
    "gzip, any name": ("a.bin", gzip.compress(EVIL)),
    "gzip, in two parts": ("a.pkl.gz", gzip.compress(EVIL[:20]) + gzip.compress(EVIL[20:])),
    "gzip, in crumbs": (
        "a.bin",
        b"".join(gzip.compress(EVIL[at : at + 1]) for at in range(len(EVIL))),
    ),
    "gzip, damaged": ("a.pkl.gz", damaged_gzip(EVIL)),
    "gzip of the oldest form": ("a.pkl.gz", gzip.compress(pickle.dumps(Runs(), protocol=0))),
    "bzip2": ("a.pkl.bz2", bz2.compress(EVIL)),
    "xz": ("a.pkl.xz", lzma.compress(EVIL)),
    "zlib, as joblib writes it": ("a.joblib", zlib.compress(EVIL)),
    "zlib, damaged": ("a.joblib", zlib.compress(EVIL)[:-2]),
}


@pytest.mark.parametrize("case", PICKLES)
def test_unsafe_pickle(case: str) -> None:
    name, data = PICKLES[case]
    [fault] = faults({f"p/{name}": data, "p/a.py": b""}, "env.tar.gz")
    assert (fault.code, fault.member) == ("unsafe-pickle", f"p/{name}")
    assert "which runs when it is loaded. Store the data as JSON" in fault.message
    assert not Path("/tmp/unpickled").exists(), "nothing may be unpickled"


def test_what_a_pickle_imports_is_named() -> None:
    [fault] = faults({"a.pkl": EVIL, "b": b""})
    assert f"imports '{os.system.__module__}.system'" in fault.message
    [fault] = faults({"a.pkl": PICKLES["computed name"][1], "b": b""})
    assert "imports 'something whose name it computes'" in fault.message


PLAIN = {"a": [1, 2.5, None, True, "é", b"b", (1, {2}, frozenset({3}))], "n": 2**70}
RICH = [
    collections.OrderedDict(a=1),
    collections.defaultdict(list, a=[1]),
    collections.Counter("aab"),
    collections.deque([1, 2]),
    datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    decimal.Decimal("1.5"),
    complex(1, 2),
    bytearray(b"abc"),
    range(3),
    numpy.arange(6).reshape(2, 3),
    numpy.float32(1.5),
    numpy.array(["a", "b"]),
    numpy.array([{"a": 1}], dtype=object),
]

HONEST_FILES = {
    **{f"plain-{n}.pkl": pickle.dumps(PLAIN, protocol=n) for n in range(6)},
    **{f"rich-{n}.pkl": pickle.dumps(RICH, protocol=n) for n in range(6)},
    "plain.pkl.gz": gzip.compress(pickle.dumps(PLAIN)),
    "plain.joblib": zlib.compress(pickle.dumps(RICH)),
    "numbers.npy": saved(numpy.arange(1000)),
    "objects.npy": saved(numpy.array([{"a": 1}, None], dtype=object)),
    "numbers.npz": plain_zip({"x.npy": saved(numpy.zeros(9)), "y.npy": saved(numpy.ones(9))}),
    "model.pt": torch_like(pickle.dumps(RICH, protocol=2)),
    "sheet.xlsx": plain_zip({"xl/workbook.xml": b"<x/>", "[Content_Types].xml": b"<x/>"}),
    "broken.zip": b"PK\3\4 no zip at all",
    "corpus.jsonl.gz": gzip.compress(b'{"a": 1}\n' * 1000),
    "broken.gz": b"\x1f\x8b\x08 no gzip at all",
    "portuguese.pt": b"x is not compressed",
    "list.pck": b"not a pickle",
    "starts-as-one": b"\x80\x04\xff\xff\xff",
    "words.txt": b"cat\ndog\nRat\n.\n",
    "number.txt": b"0.25\n",
    "code.py": b"class A:\n    pass\n",
    "empty.pkl": b"",
}


@pytest.mark.parametrize("name", HONEST_FILES)
def test_honest_file(name: str) -> None:
    assert faults({f"p/{name}": HONEST_FILES[name], "p/a.py": b""}) == []


def test_pickles_are_bounded() -> None:
    many = pickle.dumps(list(range(300_000)))
    files = {"a.pkl": many, "b.py": b""}
    assert faults(files) == []
    [fault] = faults(files, limits=Limits(pickle_ops=100_000))
    assert (fault.code, fault.member) == ("unchecked-pickle", "a.pkl")
    assert "too large to be checked" in fault.message


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("a.pkl.gz", gzip.compress),
        ("a.pkl.bz2", bz2.compress),
        ("a.pkl.xz", lzma.compress),
        ("a.joblib", zlib.compress),
        ("a.npz", lambda data: plain_zip({"a.pkl": data})),
    ],
)
def test_unpacking_is_bounded(name: str, pack: Callable[[bytes], bytes]) -> None:
    big = {name: pack(pickle.dumps(bytes(1 << 20))), "b.py": b""}
    assert faults(big) == []
    [fault] = faults(big, limits=Limits(pickle_bytes=1 << 19))
    assert fault.code == "unchecked-pickle"
    assert "unpacks to too much" in fault.message


def test_nesting_is_bounded() -> None:
    data = EVIL
    for _ in range(5):
        data = plain_zip({"x.zip": data})
    [fault] = faults({"a.zip": data, "b.py": b""})
    assert fault.code == "unchecked-pickle"
    assert "packed into itself too often" in fault.message


def test_a_zip_of_numbers_must_open() -> None:
    [fault] = faults({"a.npz": b"PK\3\4 no zip at all", "b.py": b""})
    assert fault.code == "unchecked-pickle"
    count = struct.pack("<4s", b"PK\1\2") * 10_001
    [fault] = faults({"a.npz": b"PK\3\4" + count, "b.py": b""})
    assert "too many files" in fault.message


def test_root_is_named_and_wheels_are_looked_into() -> None:
    [fault] = faults({"tiny-1.0/a.pkl": EVIL, "tiny-1.0/pyproject.toml": b""}, "tiny-1.0.tar.gz")
    assert fault.member == "tiny-1.0/a.pkl"
    data = wheel({"tiny_env/a.pkl": EVIL, "tiny_env/b.env": SECRETS["npm"][0].encode()})
    assert sorted(codes(data, "tiny_env-1.0-py3-none-any.whl")) == ["secret", "unsafe-pickle"]
