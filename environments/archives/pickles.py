"""Pickles that do more than hold data, found without unpickling anything.

Loading a pickle imports what it names and calls it. A pickle may name here only what containers,
dates, numpy's arrays and torch's tensors need. What a package's own code does is not looked at:
this is for data that others load, and that nobody can review by reading it.
"""

import bz2
import gzip
import io
import lzma
import pickletools
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, cast

from environments.archives.base import CHUNK, Damaged, Inflater

SUFFIXES = (".pkl", ".pickle", ".pck", ".dill", ".joblib", ".pt", ".ckpt", ".npy", ".npz")
PACKED_SUFFIXES = tuple(
    f"{suffix}{packed}" for suffix in SUFFIXES for packed in (".gz", ".bz2", ".xz")
)
PICKLE = re.compile(rb"\x80[\x02-\x05]")
NPY = b"\x93NUMPY"
OBJECTS = re.compile(rb"'[|<>=]?O[0-9]*'")
ZIP, ZIP_RECORD = b"PK\3\4", b"PK\1\2"
COMPRESSED = (GZIP, BZIP2, XZ) = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")
ZLIB = b"\x78"
HEAD = 16  # bytes that tell what a file is
MEMBERS = 10_000  # of a zip inside
NESTING = 3  # a pickle in an array in a zip
GUESSED_OPS = 10_000  # of a file that only might be a pickle of the oldest form
COMPUTED = "something whose name it computes"

_PLAIN = frozenset(
    "bool bytearray bytes complex dict float frozenset int list object range set slice str "
    "tuple".split()
)
_ARRAYS = frozenset({"_reconstruct", "scalar"})
_NUMBERS = frozenset(
    "bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 "
    "complex128 str_ bytes_ datetime64 timedelta64".split()
)
_TENSORS = frozenset(
    f"{kind}Storage"
    for kind in "Bool Byte Char Short Int Long Half BFloat16 Float Double Untyped".split()
)
SAFE: dict[str, frozenset[str]] = {
    "builtins": _PLAIN,
    "__builtin__": _PLAIN | {"long", "unicode", "xrange"},
    "_codecs": frozenset({"encode"}),
    "collections": frozenset({"Counter", "OrderedDict", "defaultdict", "deque"}),
    "copy_reg": frozenset({"_reconstructor"}),
    "copyreg": frozenset({"_reconstructor"}),
    "datetime": frozenset({"date", "datetime", "time", "timedelta", "timezone"}),
    "decimal": frozenset({"Decimal"}),
    "fractions": frozenset({"Fraction"}),
    "numpy": frozenset({"array", "dtype", "ndarray"}) | _NUMBERS,
    "numpy._core.multiarray": _ARRAYS,
    "numpy._core.numeric": frozenset({"_frombuffer"}),
    "numpy.core.multiarray": _ARRAYS,
    "numpy.core.numeric": frozenset({"_frombuffer"}),
    "torch": frozenset({"Size", "bfloat16", "device"}) | _TENSORS | _NUMBERS,
    "torch._utils": frozenset({"_rebuild_parameter", "_rebuild_tensor_v2"}),
    "torch.storage": frozenset({"TypedStorage", "UntypedStorage"}),
    "uuid": frozenset({"UUID"}),
}

TEXTS = frozenset(
    "UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 STRING BINSTRING SHORT_BINSTRING".split()
)
GETS = frozenset({"GET", "BINGET", "LONG_BINGET"})
PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"})
EXTENSIONS = frozenset({"EXT1", "EXT2", "EXT4"})
CALLS = frozenset("REDUCE INST OBJ NEWOBJ NEWOBJ_EX BUILD".split())


# What reading damaged data raises. What came before would have been loaded, so it is looked at.
DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    Damaged,
)


class Unchecked(Exception):
    """It holds more than is looked at, or cannot be opened; the message says which."""


@dataclass
class Budget:
    """What may still be spent on an archive's pickles: operations, and bytes that are unpacked."""

    ops: int
    unpacked: int

    def spend_op(self) -> None:
        self.ops -= 1
        if self.ops < 0:
            raise Unchecked("it is too large to be checked")

    def drain(self, read: Callable[[int], bytes]) -> bytes:
        """All that comes out of something that unpacks while it is read, or up to its damage."""
        out = bytearray()
        with suppress(*DAMAGE):
            while data := read(CHUNK):
                out += data
                self.unpacked -= len(data)
                if self.unpacked < 0:
                    raise Unchecked("it unpacks to too much to be checked")
        return bytes(out)


def may_hold(name: str, head: bytes) -> bool:
    """Whether a file is to be looked into whole, by its name and first `HEAD` bytes."""
    marked = bool(PICKLE.match(head)) or head.startswith((NPY, ZIP, *COMPRESSED))
    return marked or _is_named(name)


def find(name: str, data: bytes, budget: Budget) -> str | None:
    """What a file's pickles import that is not safe, the first of it; None if there is nothing.

    Raises Unchecked for a pickle that cannot be looked through.
    """
    return next(_unsafe(name, data, budget, NESTING), None)


def guess(data: bytes, budget: Budget) -> str | None:
    """The same for a file that neither its name nor its first bytes mark.

    The oldest form is text and has no mark; only what reads as such a pickle to its end counts.
    """
    mine = Budget(min(GUESSED_OPS, budget.ops), 0)
    before, stream, reader = mine.ops, io.BytesIO(data), _Reader(mine)
    try:
        names = list(reader.imports(stream))
    except Exception:
        return None
    finally:
        budget.ops -= before - mine.ops
    whole = reader.calls and not data[stream.tell() :].strip()
    dotted = all(part.isidentifier() for name in names for part in name.split("."))
    return next((name for name in names if not _is_safe(name)), None) if whole and dotted else None


def _is_named(name: str) -> bool:
    return name.lower().endswith(SUFFIXES + PACKED_SUFFIXES)


def _is_safe(name: str) -> bool:
    module, _, what = name.rpartition(".")
    return what in SAFE.get(module, ())


def _unsafe(name: str, data: bytes, budget: Budget, nesting: int) -> Iterator[str]:
    if not nesting:
        raise Unchecked("it is packed into itself too often to be checked")
    if data.startswith(NPY):
        yield from _array(data, budget)
    elif data.startswith(ZIP):
        yield from _zip(name, data, budget, nesting)
    elif inner := _inflated(name, data, budget):
        yield from _unsafe(name, inner, budget, nesting - 1)
    elif _is_named(name) or PICKLE.match(data):
        yield from _pickles(data, budget)


def _pickles(data: bytes, budget: Budget) -> Iterator[str]:
    """Unsafe imports of the pickles that follow each other in a file, as torch's once did."""
    stream = io.BytesIO(data)
    while True:
        try:
            for name in _Reader(budget).imports(stream):
                if not _is_safe(name):
                    yield name
        except Unchecked:
            raise
        except Exception:
            return  # No pickle, or damaged: up to here it would have been carried out.
        if not PICKLE.match(data, stream.tell()):
            return


def _array(data: bytes, budget: Budget) -> Iterator[str]:
    """What numpy would unpickle of an array of objects; one of numbers holds no pickle."""
    at = len(NPY) + 2
    start = at + (2 if data[len(NPY) : at] == b"\1\0" else 4)
    end = start + int.from_bytes(data[at:start], "little")
    if OBJECTS.search(data[start:end]):
        yield from _pickles(data[end:], budget)


def _zip(name: str, data: bytes, budget: Budget, nesting: int) -> Iterator[str]:
    """What is in a .npz or .pt. Any other zip is looked into as far as it can be opened."""
    if data.count(ZIP_RECORD) > MEMBERS:
        raise Unchecked("it holds too many files to be checked")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist():
                with archive.open(member) as file:
                    # Up to its damage, as for other compressed data.
                    read = cast(zipfile.ZipExtFile, file).read1
                    head = _start(read)
                    if may_hold(member.filename, head):
                        whole = head + budget.drain(read)
                        yield from _unsafe(member.filename, whole, budget, nesting - 1)
    except Unchecked:
        raise
    except Exception as error:  # zipfile raises many kinds for bytes that are no sound zip.
        if _is_named(name):
            raise Unchecked("it cannot be opened as the zip that it is") from error


def _inflated(name: str, data: bytes, budget: Budget) -> bytes | None:
    """The inside of a compressed pickle; None for what is not compressed, or is something else."""
    read = _opened(name, data, budget)
    if read is None:
        return None
    head = _start(read)
    return head + budget.drain(read) if may_hold(_inner(name), head) else None


def _opened(name: str, data: bytes, budget: Budget) -> Callable[[int], bytes] | None:
    """What reads the inside of compressed bytes: 1 to n bytes at a time, b"" at the end."""
    file = io.BytesIO(data)
    if data.startswith(GZIP):
        return gzip.GzipFile(fileobj=file).read1
    if data.startswith(BZIP2):
        return bz2.BZ2File(file).read1
    if data.startswith(XZ):
        return lzma.LZMAFile(file).read1
    if _is_named(name) and data.startswith(ZLIB):
        return Inflater(file, 0, len(data), zlib.MAX_WBITS, budget.unpacked + 2 * CHUNK).some
    return None


def _start(read: Callable[[int], bytes]) -> bytes:
    head = b""
    with suppress(*DAMAGE):
        while len(head) < HEAD and (more := read(HEAD - len(head))):
            head += more
    return head


def _inner(name: str) -> str:
    """The name of what is compressed, which says less: "x.pkl.gz" holds "x.pkl"."""
    return name.rpartition(".")[0] if name.lower().endswith(PACKED_SUFFIXES) else name


class _Reader:
    """Reads one pickle's operations. `calls` says whether any of them calls what was imported."""

    def __init__(self, budget: Budget) -> None:
        self.calls = False
        self._budget = budget
        self._memo: dict[int, str | None] = {}
        # The texts pushed last, one after the other with nothing in between.
        self._texts: list[str | None] = []

    def imports(self, stream: IO[bytes]) -> Iterator[str]:
        """The full names that the pickle imports. Raises what pickletools does for no pickle."""
        for op, arg, _ in pickletools.genops(stream):
            self._budget.spend_op()
            self.calls = self.calls or op.name in CALLS
            if op.name in ("GLOBAL", "INST"):
                yield str(arg).replace(" ", ".", 1)
            elif op.name == "STACK_GLOBAL":
                yield self._named()
            elif op.name in EXTENSIONS:
                yield COMPUTED
            self._follow(op.name, arg)

    def _named(self) -> str:
        """The name made of the last two texts, as every pickler writes it."""
        texts = self._texts[-2:]
        return COMPUTED if len(texts) < 2 or None in texts else ".".join(map(str, texts))

    def _follow(self, op: str, arg: object) -> None:
        if op in TEXTS:
            self._texts.append(str(arg))
        elif op in GETS:
            self._texts.append(self._memo.get(int(str(arg))))
        elif op in PUTS:
            place = len(self._memo) if op == "MEMOIZE" else int(str(arg))
            self._memo[place] = self._texts[-1] if self._texts else None
        elif op != "FRAME":
            self._texts.clear()
