import pytest

from hub.stack.preflight import loads, problem

FINE = {"venv": True, "ensurepip": True}


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13)])
def test_a_machine_that_has_everything(version: tuple[int, int]) -> None:
    assert problem(version, "linux", FINE, True, 10.0) == ""


@pytest.mark.parametrize(
    ("version", "system", "modules", "openmp", "free", "said"),
    [
        ((3, 10), "linux", FINE, True, 10.0, "this is 3.10"),
        ((3, 14), "linux", FINE, True, 10.0, "this is 3.14"),
        ((3, 9), "linux", FINE, True, 10.0, "PYTHON=python3.11"),
        ((3, 11), "darwin", FINE, True, 10.0, "Linux only"),
        ((3, 11), "linux", {"venv": True, "ensurepip": False}, True, 10.0, "ensurepip is missing"),
        (
            (3, 11),
            "linux",
            {"venv": False, "ensurepip": False},
            True,
            10.0,
            "apt install python3-venv",
        ),
        ((3, 11), "linux", FINE, False, 10.0, "apt install libgomp1"),
        ((3, 11), "linux", FINE, True, 0.4, "Only 0.40 GiB"),
    ],
)
def test_what_is_missing_is_one_line(
    version: tuple[int, int],
    system: str,
    modules: dict[str, bool],
    openmp: bool,
    free: float,
    said: str,
) -> None:
    found = problem(version, system, modules, openmp, free)
    assert said in found
    assert "\n" not in found


def test_a_library_is_looked_for_on_this_machine() -> None:
    assert loads("libc.so.6")
    assert not loads("libnowhere.so.1")
