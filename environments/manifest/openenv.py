"""What an OpenEnv environment says about itself: openenv.yaml."""

import re

import yaml

from environments.archives import Archive
from environments.manifest.base import printable
from environments.manifest.code import Code
from environments.manifest.hub import ENTRY

FILE = "openenv.yaml"
YAML_BYTES = 64 * 1024
PACKAGED = re.compile(r"([^/]+)(?<!\.dist-info)/openenv\.yaml")
# Where its own scaffold puts the server.
USUAL = "server.app:app"


class BadOpenEnv(ValueError):
    """openenv.yaml cannot be used; the message says what to do."""


def path(archive: Archive) -> str | None:
    """Where the archive's openenv.yaml is: at the top, or in a wheel in its one package."""
    if archive.kind != "wheel":
        return FILE if FILE in archive.files else None
    found = [path for path in archive.files if PACKAGED.fullmatch(path)]
    return found[0] if len(found) == 1 else None


def entry(archive: Archive, at: str, code: Code) -> str:
    """The server that openenv.yaml, which lies at `at`, names: "package.module:app".

    In a wheel it may leave the package out, as it does in the project's folder. Raises BadOpenEnv.
    """
    app = _read(archive, at).get("app", USUAL)
    if not isinstance(app, str) or not ENTRY.fullmatch(app):
        raise BadOpenEnv(f"{at}: app is {printable(repr(app))[:100]}; write it as in {USUAL}.")
    inside = f"{at.rpartition('/')[0]}.{app}"
    return inside if code.folder(inside.partition(":")[0]) is not None else app


def _read(archive: Archive, at: str) -> dict[object, object]:
    if archive.files[at] > YAML_BYTES:
        raise BadOpenEnv(f"{at} is larger than {YAML_BYTES // 1024} KiB. Shorten it.")
    try:
        # This loader makes text, lists and mappings and nothing else, so that no few lines grow.
        found = yaml.load(archive.read(at, YAML_BYTES), yaml.BaseLoader)  # noqa: S506
    except (yaml.YAMLError, RecursionError) as error:
        reason = printable(" ".join(str(error).split()))[:200]
        raise BadOpenEnv(f"{at} is not valid YAML: {reason}.") from error
    if not isinstance(found, dict):
        raise BadOpenEnv(f"{at} is no mapping. Write it as in 'app: {USUAL}'.")
    return found
