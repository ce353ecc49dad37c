"""Finding an entry in source code, by its syntax tree: nothing is imported or run."""

import ast
import sys
import threading
import warnings
from collections.abc import Iterator
from difflib import get_close_matches

from environments.archives import Archive
from environments.manifest.base import Problems, printable

SOURCE_BYTES = 512 * 1024

SCOPES = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)

# warnings.catch_warnings is not safe in several threads at once.
_quiet = threading.Lock()


def layout(archive: Archive) -> tuple[str, ...]:
    """The folders that may hold the packages, likeliest first: "src", then the top ("")."""
    has_src = any(path.startswith("src/") and path.endswith(".py") for path in archive.files)
    return ("src", "") if has_src and "src/__init__.py" not in archive.files else ("",)


def find(
    entry: str, archive: Archive, folders: tuple[str, ...], label: str, problems: Problems
) -> tuple[str, ...]:
    """Look the entry "pkg.module:attribute" up. Returns the import path that its module needs.

    Reports a module that is not there, does not parse, or does not define the attribute.
    """
    module, _, attribute = entry.partition(":")
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        problems.add(label, f"{top!r} is a module of Python's own. Rename the package.")
        return folders[:1]
    looked = []
    for folder in folders:
        for tail in ("/__init__.py", ".py"):
            path = f"{folder}/" * bool(folder) + module.replace(".", "/") + tail
            if path in archive.files:
                _attribute(path, attribute, archive, label, problems)
                return (folder,)
            looked.append(path)
    problems.add(label, f"There is no module {module!r}; looked for {', '.join(looked)}.")
    return folders[:1]


def _attribute(path: str, attribute: str, archive: Archive, label: str, problems: Problems) -> None:
    if archive.files[path] > SOURCE_BYTES:
        message = f"{path} is larger than {SOURCE_BYTES // 1024} KiB. Move data out of it."
        problems.add(label, message)
        return
    try:
        tree = _parse(archive.read(path, SOURCE_BYTES).decode("utf-8-sig"), path)
    except UnicodeDecodeError:
        problems.add(label, f"{path} is not UTF-8. Save it as UTF-8.")
    except SyntaxError as error:
        what = printable(error.msg)[:200]
        problems.add(label, f"{path}, line {error.lineno or 1}, does not parse: {what}.")
    except (ValueError, RecursionError, MemoryError):
        problems.add(label, f"{path} does not parse: it has NUL bytes, or is nested too deeply.")
    else:
        _defined(tree, path, attribute, label, problems)


def _parse(source: str, path: str) -> ast.Module:
    with _quiet, warnings.catch_warnings():
        # Python 3.12 tells of odd escapes in strings on standard error.
        warnings.simplefilter("ignore")
        return ast.parse(source, path)


def _defined(tree: ast.Module, path: str, attribute: str, label: str, problems: Problems) -> None:
    names = set(_bound(tree))
    # A star import or a module's __getattr__ may supply any name.
    if not names.isdisjoint({attribute, "*", "__getattr__"}):
        return
    public = sorted(name for name in names if not name.startswith("_"))
    near = get_close_matches(attribute, public, 1)
    if near:
        hint = f"did you mean {near[0]!r}?"
    else:
        hint = f"it defines {', '.join(public[:10]) or 'nothing'}."
    problems.add(label, f"{path} does not define {attribute!r}; {hint}")


def _bound(tree: ast.Module) -> Iterator[str]:
    """The names that the module's own statements bind, "*" for a star import."""
    todo: list[ast.AST] = list(tree.body)
    while todo:
        node = todo.pop()
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
                continue
            case ast.Import():
                yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
            case ast.ImportFrom():
                yield from (alias.asname or alias.name for alias in node.names)
            case ast.Name(ctx=ast.Store()):
                yield node.id
            case ast.AnnAssign(value=None):
                continue
        if not isinstance(node, SCOPES):
            todo.extend(ast.iter_child_nodes(node))
