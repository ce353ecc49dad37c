"""What the names inside an archive may be."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

from environments.archives.base import Faults, Kind, Limits

# Control, format (bidi overrides and zero-width marks fake what a name looks like), surrogate,
# line and paragraph separator.
UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

NATIVE = re.compile(r"\.(so(\.\d+)*|pyd|dll|dylib)$")


@dataclass(frozen=True)
class Unwanted:
    """A kind of file that is refused wherever it lies. `matches` sees the casefolded parts."""

    code: str
    matches: Callable[[list[str]], bool]
    message: str


# Files left by tools are refused, not skipped: what is stored must be what is run and downloaded.
UNWANTED = (
    Unwanted(
        "version-control",
        lambda parts: not {".git", ".hg", ".svn"}.isdisjoint(parts[:-1]) or parts[-1] == ".git",
        "Remove the version control folder: it is history, not part of the environment. "
        "`git archive -o env.zip HEAD` leaves it out.",
    ),
    Unwanted(
        "macos-files",
        lambda parts: "__macosx" in parts or parts[-1] == ".ds_store" or parts[-1].startswith("._"),
        'Remove what macOS added: `zip -d env.zip "__MACOSX/*" "*.DS_Store"`, or pack with '
        "`COPYFILE_DISABLE=1 tar --exclude .DS_Store -czf env.tar.gz FOLDER`.",
    ),
    Unwanted(
        "virtual-environment",
        lambda parts: ".venv" in parts[:-1] or parts[-1] == "pyvenv.cfg",
        "Remove the virtual environment: name what you need under `dependencies` instead.",
    ),
    Unwanted(
        "bytecode",
        lambda parts: parts[-1].endswith((".pyc", ".pyo")),
        "Remove compiled Python (`__pycache__` folders, .pyc): nobody can review it. "
        "`find . -name __pycache__ -exec rm -r {} +` deletes it.",
    ),
    Unwanted(
        "path-hook",
        lambda parts: parts[-1].endswith(".pth"),
        "Remove .pth files: Python runs them at start-up.",
    ),
    Unwanted(
        "startup-hook",
        lambda parts: (
            not {"sitecustomize", "usercustomize"}.isdisjoint(p.removesuffix(".py") for p in parts)
        ),
        "Rename it: Python runs modules named sitecustomize and usercustomize at start-up.",
    ),
    Unwanted(
        "native-code",
        lambda parts: bool(NATIVE.search(parts[-1])),
        "Remove compiled libraries: only source can be reviewed. Depend on a published package "
        "that ships them instead.",
    ),
)

WHEEL_DATA = Unwanted(
    "wheel-data",
    lambda parts: parts[0].endswith(".data"),
    "Build the wheel without a .data folder: it installs files outside the package (scripts, "
    "headers). Keep data inside the package.",
)


Rule = tuple[Callable[[str, list[str]], bool], str, str]


def _rules(limits: Limits) -> tuple[Rule, ...]:
    """What a name and its parts may not be, with the fault's code and message."""
    return (
        (
            lambda name, _: any(unicodedata.category(c) in UNSEEN for c in name),
            "name-unprintable",
            "The name has unprintable characters. Rename it.",
        ),
        (
            lambda name, _: "\\" in name,
            "name-backslash",
            "The name has a backslash: folders are divided by /. Pack with another tool.",
        ),
        (
            lambda name, _: name.startswith("/") or bool(re.match(r"[A-Za-z]:", name)),
            "name-absolute",
            "The name is absolute. Pack a folder by relative names.",
        ),
        (
            lambda _, parts: ".." in parts,
            "name-escapes",
            "The name leads out of the archive (`..`). Pack a folder by relative names.",
        ),
        (
            lambda _, parts: not {"", "."}.isdisjoint(parts),
            "name-empty-part",
            "The name has an empty part or a `.`. Rename it.",
        ),
        (
            lambda name, _: len(name.encode()) > limits.name_bytes,
            "name-too-long",
            f"The name is longer than {limits.name_bytes} bytes. Shorten it.",
        ),
        (
            lambda _, parts: len(parts) > limits.depth,
            "name-too-deep",
            f"The name has more than {limits.depth} parts. Flatten the folders.",
        ),
    )


def _key(name: str) -> str:
    """What two names share if some file system takes them for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


class Names:
    """The names of one archive: each is judged when added, all together by `finish`."""

    def __init__(self, faults: Faults, limits: Limits, kind: Kind) -> None:
        self._faults = faults
        self._rules = _rules(limits)
        self._unwanted = (*UNWANTED, WHEEL_DATA) if kind == "wheel" else UNWANTED
        self._is_folder: dict[str, bool] = {}

    def add(self, raw: bytes, *, folder: bool) -> str | None:
        """The name as text, or None if it is refused (a fault was added)."""
        try:
            name = raw.decode("utf-8")
        except UnicodeDecodeError:
            self._faults.add("name-not-utf8", raw, "The name is not UTF-8. Rename it.")
            return None
        parts = name.split("/")
        for refused, code, message in self._rules:
            if refused(name, parts):
                self._faults.add(code, name, message)
                return None
        if name in self._is_folder:
            self._faults.add("duplicate-name", name, "It is there twice. Pack the folder afresh.")
            return None
        self._is_folder[name] = folder
        # An entry for the folder itself (".git/") is no file, but says the same.
        folded = [*name.casefold().split("/"), ""] if folder else name.casefold().split("/")
        for unwanted in self._unwanted:
            if unwanted.matches(folded):
                self._faults.group(unwanted.code, name, unwanted.message)
                return None
        return name

    def finish(self) -> None:
        """Add the faults that names have with each other, folders that are only implied too."""
        spelled: dict[str, str] = {}
        for name, folder in self._is_folder.items():
            for path in accumulate(name.split("/"), lambda a, b: f"{a}/{b}"):
                is_folder = folder or path != name
                if is_folder and self._is_folder.get(path) is False:
                    message = "A file has the name of a folder. Rename one of them."
                    self._faults.add("file-as-folder", path, message)
                    continue
                first = spelled.setdefault(_key(path), path)
                if first != path:
                    message = f"Some systems take it for {first!r}. Rename one of them."
                    self._faults.add("name-collision", path, message)
