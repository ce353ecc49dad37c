import socket
import stat
from pathlib import Path

import pytest

from hub.stack.errors import StackError
from hub.stack.paths import REPOSITORY, SOCKET_PATH_LIMIT, Paths


def test_default_is_var_in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PRACTICUM_DATA", raising=False)
    assert Paths.from_env().data == REPOSITORY / "var"


def test_environment_chooses_and_is_made_absolute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRACTICUM_DATA", "here")
    assert Paths.from_env().data == tmp_path / "here"


def test_new_folders_are_their_owners_alone(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "data")
    paths.make()
    paths.make()
    for folder in (paths.data, paths.run, paths.media, paths.logs, paths.valkey, paths.work):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_sockets_of_a_deep_data_folder_can_be_bound(tmp_path: Path) -> None:
    deep = Paths(tmp_path.joinpath(*["a-rather-long-name"] * 8))
    deep.make()
    try:
        assert not deep.run.is_relative_to(deep.data)
        for path in (deep.model_socket, deep.valkey_socket, deep.run / ".s.PGSQL.5432"):
            with socket.socket(socket.AF_UNIX) as found:
                found.bind(str(path))
            path.unlink()
        assert stat.S_IMODE(deep.run.stat().st_mode) == 0o700
        assert deep.run == Paths(deep.data).run
        assert deep.run != Paths(deep.data / "other").run
    finally:
        deep.run.rmdir()


@pytest.mark.parametrize(("spare", "inside"), [(0, True), (1, False)])
def test_the_limit_is_exact(spare: int, inside: bool) -> None:
    length = SOCKET_PATH_LIMIT - len("/run/.s.PGSQL.5432") + spare
    data = Path("/" + "d" * (length - 1))
    assert Paths(data).run.is_relative_to(data) is inside


def test_a_file_in_the_way_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(StackError, match=r"cannot be used .*PRACTICUM_DATA") as found:
        Paths(tmp_path / "data").make()
    assert "\n" not in str(found.value)


def test_a_sockets_folder_planted_by_someone_else_is_refused(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    paths.run.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StackError, match="not a folder of yours"):
        paths.make()


def test_an_open_sockets_folder_is_closed(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.run.mkdir()
    paths.run.chmod(0o755)
    paths.make()
    assert stat.S_IMODE(paths.run.stat().st_mode) == 0o700
