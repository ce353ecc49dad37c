"""What a wheel says about itself."""

import pytest
from making import INFO, WHEEL_FILES, WHEEL_NAME, open_archive, wheel
from reading import problems

from environments.manifest import BadManifest, Manifest, read

METADATA = f"{INFO}/METADATA"


class TestWheel:
    def read(self, changes: dict[str, bytes | None] | None = None) -> Manifest:
        (found,) = read(open_archive(wheel(changes), WHEEL_NAME))
        return found

    def test_full(self) -> None:
        assert self.read() == Manifest(
            name="tiny-env",
            package="tiny-env",
            version="1.0",
            summary="A tiny one",
            readme="# Tiny\n",
            readme_type="text/markdown",
            license="MIT",
            requires_python=">=3.11",
            dependencies=("numpy>=2",),
            entry="tiny_env.core:make",
            tags=("tiny",),
            authors=("Ada <ada@example.org>",),
            urls={"Source": "https://example.org/tiny"},
        )

    ENTRY_POINTS = f"{INFO}/entry_points.txt"
    POINT = b"[console_scripts]\nx = y:z\n[practicum.environments]\ntiny = tiny_env.core:make\n"

    def test_entry_point(self) -> None:
        manifest = self.read({"tiny_env/practicum.toml": None, self.ENTRY_POINTS: self.POINT})
        assert (manifest.entry, manifest.tags) == ("tiny_env.core:make", ())

    def test_entry_point_and_settings(self) -> None:
        settings = {"tiny_env/practicum.toml": b"max_turns = 3", self.ENTRY_POINTS: self.POINT}
        assert self.read(settings).max_turns == 3

    def test_no_entry_explains_both_ways(self) -> None:
        with pytest.raises(BadManifest) as caught:
            self.read({"tiny_env/practicum.toml": None})
        (message,) = problems(caught).values()
        assert "practicum.toml" in message
        assert "practicum.environments" in message

    @pytest.mark.parametrize(
        ("changes", "field", "message"),
        [
            ({"other/practicum.toml": b""}, "practicum.toml", "more than one"),
            ({"tiny_env/practicum.toml": b"entry = "}, "tiny_env/practicum.toml", "TOML"),
            ({"tiny_env/practicum.toml": b'entry = "a:b"'}, "practicum.toml entry", "no module"),
            ({"tiny_env/practicum.toml": b"max = 1"}, "practicum.toml max", "no such key"),
            (
                {
                    "tiny_env/practicum.toml": None,
                    ENTRY_POINTS: POINT + b"two = tiny_env.core:make\n",
                },
                "entry_points.txt practicum.environments",
                "Keep one entry",
            ),
            (
                {"tiny_env/practicum.toml": None, ENTRY_POINTS: b"rubbish"},
                "entry_points.txt",
                "not valid",
            ),
            (
                {"tiny_env/practicum.toml": None, ENTRY_POINTS: b"\xff"},
                "entry_points.txt",
                "not valid",
            ),
        ],
    )
    def test_bad(self, changes: dict[str, bytes | None], field: str, message: str) -> None:
        with pytest.raises(BadManifest) as caught:
            self.read(changes)
        assert message in problems(caught)[field]

    @pytest.mark.parametrize(
        ("old", "new", "field"),
        [
            (b"numpy>=2", b"numpy @ https://example.org/x.whl", "Requires-Dist[0]"),
            (b">=3.11", b"newest", "Requires-Python"),
            (b"https://example.org/tiny", b"ftp://example.org", "Project-URL"),
            (b"text/markdown", b"text/html", "Description"),
            (b"MIT", b"Mine", "License"),
            (b"Requires-Dist: numpy>=2", b"Requires-Dist: a\n" * 1001, "Requires-Dist"),
            (b"Ada <ada", b"(" * 5000, ""),
            (b"\n\n#", b"\nContent-Type: message/rfc822\n\n" * 5000, ""),
            (b"\n\n#", b"\ncontent-type: multipart/mixed; boundary=a\n\n--a\n\n", ""),
        ],
    )
    def test_bad_metadata(self, old: bytes, new: bytes, field: str) -> None:
        with pytest.raises(BadManifest) as caught:
            self.read({METADATA: WHEEL_FILES[METADATA].replace(old, new)})
        assert f"METADATA {field}".strip() in problems(caught)

    def test_a_readme_may_show_headers(self) -> None:
        text = WHEEL_FILES[METADATA] + b"\nContent-Type: multipart/mixed\n"
        assert "Content-Type" in self.read({METADATA: text}).readme

    def test_old_metadata(self) -> None:
        old = b"""Metadata-Version: 1.2
Name: tiny-env
Version: 1.0
Summary: UNKNOWN
Home-page: https://example.org
Author: Bo
License: UNKNOWN
Classifier: License :: OSI Approved :: BSD License
"""
        manifest = self.read({METADATA: old})
        assert manifest.urls == {"Homepage": "https://example.org"}
        assert manifest.authors == ("Bo",)
        assert manifest.license == "BSD License"
        assert manifest.readme == ""
