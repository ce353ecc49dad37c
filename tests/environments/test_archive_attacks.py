"""All the attacks together: how many there are, and that none is taken for an honest archive."""

import hashlib

import pytest
from making import WHEEL_NAME, codes, plain_tar, plain_zip
from test_archive_contents import PICKLES, SECRETS
from test_archive_names import BAD, tarred, zipped
from test_archive_tars import ATTACKS as TARS
from test_archive_wheels import ATTACKS as WHEELS
from test_archive_zips import ATTACKS as ZIPS

from environments.archives import LIMITS, BadArchive, check

PLACES = {
    "zips": [(data, "env.zip") for data, _ in ZIPS.values()],
    "tars": [(data, "env.tar.gz") for data, _ in TARS.values()],
    "wheels": [(data, WHEEL_NAME) for data, _ in WHEELS.values()],
    "names in zips": [zipped(*names) for names, _ in BAD.values()],
    "names in tars": [tarred(*names) for names, _ in BAD.values()],
    "pickles": [
        (plain_zip({name: data, "a.py": b""}), "env.zip") for name, data in PICKLES.values()
    ],
    "secrets": [(plain_tar({".env": text.encode()}), "env.tar.gz") for text, _ in SECRETS.values()],
}
SUFFIXES = ("env", "env.tar", "env.exe", "env.rar", "env.zip.txt", "env.tar.bz2", ".gz")


def test_there_are_enough_attacks() -> None:
    distinct = {
        place: {hashlib.sha256(data).digest() for data, _ in attacks}
        for place, attacks in PLACES.items()
    }
    assert all(len(distinct[place]) == len(PLACES[place]) for place in distinct), (
        "one is there twice"
    )
    assert len(set.union(*distinct.values())) >= 300
    assert all(len(found) >= 20 for found in distinct.values())


@pytest.mark.parametrize("place", PLACES)
def test_each_is_refused(place: str) -> None:
    assert all(codes(data, name) for data, name in PLACES[place])


@pytest.mark.parametrize("name", SUFFIXES)
def test_other_kinds_of_file_are_refused(name: str) -> None:
    assert codes(plain_zip({"a.py": b""}), name) == ["unknown-kind"]


@pytest.mark.parametrize("name", ["env.zip", "env.tar.gz"])
def test_larger_than_allowed_is_not_read_to_its_end(name: str) -> None:
    class Endless:
        """A file without an end."""

        read_bytes = 0

        def seek(self, at: int) -> int:
            return at

        def read(self, size: int) -> bytes:
            self.read_bytes += size
            return bytes(size)

    file = Endless()
    with pytest.raises(BadArchive, match="larger than 100 MiB"):
        check(file, name)
    assert file.read_bytes <= LIMITS.compressed_bytes + (1 << 16)
