"""Real libraries in a real sandbox. Each is fetched once in a run, whatever its tests."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings

from graders.sandbox import Sandbox
from graders.sandbox.bubblewrap import Bubblewrap
from tests.formats.bundled import Bundled, bundle

EXAMPLES = settings.BASE_DIR / "examples" / "formats"


@pytest.fixture(scope="session")
def walls(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    return Bubblewrap(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session")
def bundled(walls: Sandbox) -> Callable[[str | Path], Bundled]:
    """Bundles an example by its folder's name, or any project by its path."""

    def make(project: str | Path) -> Bundled:
        folder = EXAMPLES / project if isinstance(project, str) else project
        return bundle(folder, walls)

    return make
