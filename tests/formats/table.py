"""The table of docs/formats/README.md: what each format can do, as the tests prove it.

`python -m tests.formats.table` writes it. A cell says yes where a test carries the mark
`proves(format, ability)`; such a test runs in every CI run, so no cell claims what did not run.
"""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from graders.runner.formats import ADAPTERS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "formats" / "README.md"
BEGIN, END = "<!-- table -->", "<!-- end of table -->"
ABILITIES = ("recognised", "single turn", "multi-turn", "tools", "several agents", "deterministic")
CLAIMS = (*ABILITIES, "evaluated")


def proofs() -> dict[tuple[str, str], list[str]]:
    """The tests (file:line) behind each (format, ability)."""
    found: dict[tuple[str, str], list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for claim, line in _marks(ast.parse(path.read_text())):
            found.setdefault(claim, []).append(f"{path.relative_to(ROOT)}:{line}")
    return found


def _marks(tree: ast.Module) -> Iterator[tuple[tuple[str, str], int]]:
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name == "proves":
            form, ability = (
                constants[one.id] if isinstance(one, ast.Name) else ast.literal_eval(one)
                for one in node.args
            )
            yield (form, ability), node.lineno


def example(form: str) -> Path:
    """The folder of a format's example."""
    own = ROOT / "examples" / "formats" / form
    if own.exists():
        return own
    for path in sorted((ROOT / "examples").glob("*/pyproject.toml")):
        if tomllib.loads(path.read_text())["tool"]["practicum"].get("format") == form:
            return path.parent
    raise LookupError(f"{form} has no example")


def tested(form: str) -> str:
    """The release of the format's library that its example is pinned to."""
    package = ADAPTERS[form].package
    if not package:
        return "its own"
    project = tomllib.loads((example(form) / "pyproject.toml").read_text())["project"]
    wanted = {canonicalize_name(one.name): one for one in map(Requirement, project["dependencies"])}
    (pin,) = wanted[package].specifier
    assert pin.operator == "==", f"the example of {form} does not pin {package}"
    return f"{package} {pin.version}"


def table() -> str:
    """The whole table, in Markdown."""
    proven = proofs()
    head = ["format", *ABILITIES, "example", "tested with"]
    lines = [head, ["---"] * len(head)]
    for form in ADAPTERS:
        cells = ["yes" if (form, ability) in proven else "" for ability in ABILITIES]
        folder = example(form).relative_to(ROOT)
        shown = f"[{folder.name}](../../{folder}/)"
        lines.append([f"[{form}]({form}.md)", *cells, shown, tested(form)])
    return "\n".join(f"| {' | '.join(cell or '-' for cell in line)} |" for line in lines)


def page() -> str:
    """The page with the table as it should be."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page())
