"""Reading source code by its syntax tree: nothing is imported or run."""

import ast
import sys
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches

from environments.archives import Archive
from environments.manifest.base import printable

# Of one module, and of all that is read of one archive.
SOURCE_BYTES = 512 * 1024
ALL_BYTES = 2 * 1024 * 1024
# Names that are followed to find what a class derives from, or where a name is bound.
HOPS = 64
# Of `__all__`, of a class's bases, of a module's star imports.
MOST = 100

# What is bound inside these is bound nowhere else.
SCOPES = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
)
# What lies beside a package without being it.
BESIDE = frozenset({"conftest", "docs", "examples", "noxfile", "setup", "test", "tests"})

# warnings.catch_warnings is not safe in several threads at once.
_quiet = threading.Lock()


class BadCode(ValueError):
    """A module or a name that is not there or cannot be read; the message says what to do."""


@dataclass
class Module:
    """What a module's own statements say.

    `names` are those that they bind; `exports` is `__all__`; `classes` has the last name of each
    base of a class (`vf.Taskset[A]`: "Taskset"); `origins` has the module and the name there of
    what is imported from others; `stars` are the modules of which everything is.
    """

    path: str
    names: set[str] = field(default_factory=set)
    exports: list[str] = field(default_factory=list)
    classes: dict[str, list[str]] = field(default_factory=dict)
    origins: dict[str, tuple[str, str]] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)


def layout(archive: Archive) -> tuple[str, ...]:
    """The folders that may hold the packages, likeliest first: "src", then the top ("")."""
    has_src = any(path.startswith("src/") and path.endswith(".py") for path in archive.files)
    return ("src", "") if has_src and "src/__init__.py" not in archive.files else ("",)


class Code:
    """The Python modules of an archive, each read once, and only if it is asked for."""

    def __init__(self, archive: Archive, folders: tuple[str, ...]) -> None:
        self.folders = folders
        self._archive = archive
        self._read: dict[str, Module | str] = {}
        self._left = ALL_BYTES

    def folder(self, module: str) -> str | None:
        """The folder that a module is imported from, None if it is not in the archive."""
        return next((at for at, path in self._places(module) if path in self._archive.files), None)

    def package(self, project: str) -> str | None:
        """The project's import package: the one of its name, else the only one there is."""
        own = project.replace("-", "_")
        if own and self.folder(own) is not None:
            return own
        for folder in self.folders:
            tops = sorted(set(self._tops(folder)) - BESIDE)
            if len(tops) == 1:
                return tops[0]
        return None

    def module(self, name: str) -> Module | None:
        """A module, None if it is not in the archive. Raises BadCode if it cannot be read."""
        paths = (path for _, path in self._places(name) if path in self._archive.files)
        path = next(paths, None)
        if path is None:
            return None
        if path not in self._read:
            package = name if path.endswith("/__init__.py") else name.rpartition(".")[0]
            try:
                self._read[path] = _Reader(Module(path), package).read(self._parsed(path))
            except BadCode as error:
                self._read[path] = str(error)
        found = self._read[path]
        if isinstance(found, str):
            raise BadCode(found)
        return found

    def require(self, entry: str) -> str:
        """The folder that an entry "package.module:attribute" is imported from.

        Raises BadCode if its module is not there, cannot be read, or lacks the attribute.
        """
        name, _, attribute = entry.partition(":")
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names:
            raise BadCode(f"{top!r} is a module of Python's own. Rename the package.")
        module, folder = self.module(name), self.folder(name)
        if module is None or folder is None:
            looked = ", ".join(path for _, path in self._places(name))
            raise BadCode(f"There is no module {name!r}; looked for {looked}.")
        # A star import or a module's __getattr__ may supply any name.
        if not module.stars and module.names.isdisjoint({attribute, "__getattr__"}):
            raise BadCode(_missing(module, attribute))
        return folder

    def binds(self, module: str, name: str) -> bool:
        """Whether a module binds a name, itself or by a star import of another in the archive."""
        todo, seen = [module], set[str]()
        while todo and len(seen) < HOPS:
            at = todo.pop()
            if at in seen or (found := self.module(at)) is None:
                continue
            if name in found.names:
                return True
            seen.add(at)
            todo.extend(found.stars)
        return False

    def derives(self, module: str, name: str, base: str) -> bool:
        """Whether a class, perhaps imported from elsewhere in the archive, has a base, or a base of
        a base, whose name ends in `base`."""
        todo, seen = [(module, name)], set[tuple[str, str]]()
        while todo and len(seen) < HOPS:
            at, one = todo.pop()
            if (at, one) in seen or (found := self.module(at)) is None:
                continue
            seen.add((at, one))
            bases = found.classes.get(one, [])
            if any(each.endswith(base) for each in bases):
                return True
            todo.extend((at, each) for each in bases)
            if one not in found.classes:
                todo.extend((star, one) for star in found.stars)
            if one in found.origins:
                todo.append(found.origins[one])
        return False

    def _places(self, module: str) -> Iterator[tuple[str, str]]:
        """The folders and paths where a module may be, in the order in which Python looks."""
        for folder in self.folders:
            for tail in ("/__init__.py", ".py"):
                yield folder, f"{folder}/" * bool(folder) + module.replace(".", "/") + tail

    def _tops(self, folder: str) -> Iterator[str]:
        start = f"{folder}/" * bool(folder)
        for path in self._archive.files:
            parts = path.removeprefix(start).split("/")
            if path.startswith(start) and (parts[1:] == ["__init__.py"] or len(parts) == 1):
                top, _, suffix = parts[0].partition(".")
                if top.isidentifier() and (len(parts) == 2 or suffix == "py"):
                    yield top

    def _parsed(self, path: str) -> ast.Module:
        size = self._archive.files[path]
        if size > SOURCE_BYTES:
            raise BadCode(f"{path} is larger than {SOURCE_BYTES // 1024} KiB. Move data out of it.")
        self._left -= size
        if self._left < 0:
            raise BadCode(
                f"{path} is one module too many: what was to be read is over "
                f"{ALL_BYTES // 1024} KiB. Keep the entries in fewer or smaller modules."
            )
        try:
            return _parse(self._archive.read(path, SOURCE_BYTES).decode("utf-8-sig"), path)
        except UnicodeDecodeError as error:
            raise BadCode(f"{path} is not UTF-8. Save it as UTF-8.") from error
        except SyntaxError as error:
            what = printable(error.msg)[:200]
            raise BadCode(f"{path}, line {error.lineno or 1}, does not parse: {what}.") from error
        except (ValueError, RecursionError, MemoryError) as error:
            raise BadCode(
                f"{path} does not parse: it has NUL bytes, or is nested too deeply."
            ) from error


def _parse(source: str, path: str) -> ast.Module:
    with _quiet, warnings.catch_warnings():
        # Python 3.12 tells of odd escapes in strings on standard error.
        warnings.simplefilter("ignore")
        return ast.parse(source, path)


def _missing(module: Module, attribute: str) -> str:
    public = sorted(name for name in module.names if not name.startswith("_"))
    near = get_close_matches(attribute, public, 1)
    if near:
        hint = f"did you mean {near[0]!r}?"
    else:
        hint = f"it defines {', '.join(public[:10]) or 'nothing'}."
    return f"{module.path} does not define {attribute!r}; {hint}"


class _Reader:
    """Fills a module's facts from its syntax tree. `package` is what its relative imports start
    from."""

    def __init__(self, module: Module, package: str) -> None:
        self._module = module
        self._package = package

    def read(self, tree: ast.Module) -> Module:
        todo: list[ast.AST] = [*reversed(tree.body)]
        while todo:
            node = todo.pop()
            self._take(node)
            todo.extend(reversed(_inside(node)))
        return self._module

    def _take(self, node: ast.AST) -> None:
        found = self._module
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                found.names.add(node.name)
            case ast.ClassDef():
                found.names.add(node.name)
                found.classes[node.name] = [_last(base) for base in node.bases[:MOST]]
            case ast.Import():
                found.names |= {one.asname or one.name.partition(".")[0] for one in node.names}
            case ast.ImportFrom():
                self._imported(node)
            case ast.Name(ctx=ast.Store()):
                found.names.add(node.id)
            case ast.Assign(targets=[ast.Name("__all__")]) | ast.AnnAssign(ast.Name("__all__")):
                found.exports = _texts(node.value)
            case ast.AugAssign(ast.Name("__all__"), ast.Add()):
                found.exports = [*found.exports, *_texts(node.value)][:MOST]

    def _imported(self, node: ast.ImportFrom) -> None:
        source = node.module or ""
        if node.level:
            parts = self._package.split(".")
            start = parts[: max(0, len(parts) - node.level + 1)]
            source = ".".join([*start, *([source] if source else [])])
        for one in node.names:
            if one.name == "*":
                self._module.stars = list(dict.fromkeys([*self._module.stars, source]))[:MOST]
            else:
                self._module.names.add(one.asname or one.name)
                self._module.origins[one.asname or one.name] = (source, one.name)


def _inside(node: ast.AST) -> list[ast.AST]:
    """The parts of a statement that may bind names of its module."""
    is_bare = isinstance(node, ast.AnnAssign) and node.value is None
    return [] if is_bare or isinstance(node, SCOPES) else list(ast.iter_child_nodes(node))


def _last(base: ast.expr) -> str:
    """The last name of a class's base, "" if it has none."""
    match base:
        case ast.Subscript():
            return _last(base.value)
        case ast.Attribute():
            return base.attr
        case ast.Name():
            return base.id
    return ""


def _texts(value: ast.expr | None) -> list[str]:
    """The strings of a list or tuple that is written out."""
    if not isinstance(value, ast.List | ast.Tuple):
        return []
    found = (one.value for one in value.elts[:MOST] if isinstance(one, ast.Constant))
    return [text for text in found if isinstance(text, str)]
