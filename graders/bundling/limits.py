"""What building one bundle may use."""

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True)
class BuildLimits:
    """Limits of one build. Sizes in MiB, time in seconds of wall clock.

    `download_mb` counts what comes from the package index, `packages` those of the lock,
    `bundle_mb` and `files` what the wheels unpack to and the data, `built_mb` all wheels built
    from source. `data_mb` and `data_files` count a version's data, `data_file_mb` one file of it.
    `bytecode_mb`, `bytecode_files` and `bytecode_seconds` are for what is compiled beforehand, if
    the bundle has room for it.
    """

    download_mb: int = 1024
    requests: int = 4000
    packages: int = 200
    bundle_mb: int = 2048
    files: int = 60_000
    built_mb: int = 128
    data_mb: int = 1024
    data_file_mb: int = 512
    data_files: int = 2000
    bytecode_mb: int = 256
    bytecode_files: int = 20_000
    bytecode_seconds: float = 60.0
    seconds: float = 600.0
    memory_mb: int = 2048
    tmp_mb: int = 1024
