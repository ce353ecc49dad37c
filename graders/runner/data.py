"""Where a version's data lies in the sandbox, and what keeps libraries from looking elsewhere."""

import os
from pathlib import Path

DATA = "/env/data"
# The hub's libraries write locks and notes beside what they read, so they get a place of their own
# with links to the data, which is read-only.
HF_HOME = "/tmp/hf"  # noqa: S108 - the sandbox's own
ENV = {
    "PRACTICUM_DATA": DATA,
    "NLTK_DATA": f"{DATA}/nltk_data",
    "HF_HOME": HF_HOME,
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def lay_out() -> None:
    """Let the hub's libraries find what lies below "hf" of the data."""
    overlay(Path(DATA) / "hf", Path(HF_HOME))


def overlay(source: Path, target: Path) -> None:
    """Show a tree at another place, where files can be added: new folders, links to the files."""
    for folder, _, files in os.walk(source):
        shown = target / Path(folder).relative_to(source)
        shown.mkdir(parents=True, exist_ok=True)
        for name in files:
            (shown / name).symlink_to(Path(folder) / name)
