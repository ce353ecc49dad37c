"""Several environments of one package: `[[tool.practicum.environments]]`."""

import json
from dataclasses import dataclass

from environments.manifest.base import Table, text
from environments.manifest.data import DATA_KEYS
from environments.manifest.hub import KEYS, Hub, hub, slug
from environments.manifest.project import Project

LIST = "environments"
MOST = 200
# What is kept with each of them: the readme, which they share, and their args.
TEXT_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Declared:
    """One environment that an archive declares. `label` is where its entry is, or would be."""

    name: str
    summary: str
    settings: Hub
    label: str


def declared(table: Table, project: Project) -> list[Declared]:
    """The environments of the hub's table: those it lists, else one by the project's name.

    What one of them does not say is as in the table itself.
    """
    table.known((*KEYS, *DATA_KEYS, LIST))
    shared = hub(table, Hub(tags=project.tags))
    if LIST not in table.values:
        return [Declared(project.name, project.summary, shared, table.label("entry"))]
    found = [_one(one, project, shared) for one in _tables(table)]
    _unique(table, found)
    _fits(table, project, found)
    return found


def _tables(table: Table) -> list[Table]:
    listed = table.values[LIST]
    if not isinstance(listed, list) or not listed:
        message = "It must be an array of tables, one [[...environments]] for each environment."
        table.problems.add(table.label(LIST), message)
        return []
    if len(listed) > MOST:
        message = f"There are {len(listed)}; {MOST} are allowed. Split them over several packages."
        table.problems.add(table.label(LIST), message)
    found = []
    for at, values in enumerate(listed[:MOST]):
        label = f"{table.label(LIST)}[{at}]"
        if isinstance(values, dict):
            found.append(Table(values, f"{label}.{{}}".format, table.problems))
        else:
            table.problems.add(label, 'It must be a table, as in {name = "word-sorting"}.')
    return found


def _one(table: Table, project: Project, shared: Hub) -> Declared:
    table.known(("name", "summary", *KEYS))
    if "name" not in table.values:
        table.problems.add(table.label("name"), "It is missing; every environment needs its own.")
    return Declared(
        table.field("name", lambda value: slug(value, 100), ""),
        table.field("summary", lambda value: text(value, 512), project.summary),
        hub(table, shared),
        table.label("entry"),
    )


def _unique(table: Table, found: list[Declared]) -> None:
    first: dict[str, str] = {}
    for one in found:
        label = one.label.removesuffix("entry") + "name"
        if one.name and first.setdefault(one.name, label) != label:
            table.problems.add(label, f"{one.name!r} is {first[one.name]} too. Choose another.")


def _fits(table: Table, project: Project, found: list[Declared]) -> None:
    readme = len(project.readme.encode()) * len(found)
    args = sum(len(json.dumps(one.settings.args)) for one in found)
    if readme + args > TEXT_BYTES:
        message = (
            f"The readme and the args are kept with each of the {len(found)}: more than "
            f"{TEXT_BYTES // 1024**2} MiB in all. Shorten them."
        )
        table.problems.add(table.label(LIST), message)
