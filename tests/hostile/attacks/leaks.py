"""Secrets and names of the host that could reach the inside."""

import glob
import os
import socket

from .harness import Facts, attack

EXPECTED = {
    *("PATH", "HOME", "LANG", "USER", "PWD", "HOSTNAME", "LC_CTYPE", "PYTHONHASHSEED"),
    # Where data lies, the same in every sandbox.
    *("PRACTICUM_DATA", "NLTK_DATA", "HF_HOME", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"),
    *("TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"),
}
FOLDERS = ("/home", "/srv", "/mnt", "/media")


def _contents(pattern: str) -> str:
    found = []
    for path in glob.glob(pattern):
        try:
            with open(path, errors="replace") as file:
                found.append(file.read())
        except OSError:
            pass
    return "".join(found)


@attack()
def secret_in_the_environment(facts: Facts) -> object:
    return [name for name, value in os.environ.items() if facts["secret"] in value]


@attack()
def other_variables(_: Facts) -> object:
    return sorted(os.environ.keys() - EXPECTED)


@attack()
def secret_in_the_environment_of_any_process(facts: Facts) -> object:
    return facts["secret"] in _contents("/proc/[0-9]*/environ")


@attack()
def secret_in_the_environment_of_any_thread(facts: Facts) -> object:
    return facts["secret"] in _contents("/proc/[0-9]*/task/*/environ")


@attack()
def secret_in_any_command_line(facts: Facts) -> object:
    return facts["marker"] in _contents("/proc/[0-9]*/cmdline")


@attack()
def name_of_the_host(facts: Facts) -> object:
    return facts["hostname"] in (socket.gethostname(), os.uname().nodename)


@attack()
def name_of_the_host_in_files(facts: Facts) -> object:
    return (
        _contents("/etc/hostname").strip() == facts["hostname"]
        or _contents("/proc/sys/kernel/hostname").strip() == facts["hostname"]
    )


@attack(may_lack=True)
def files_of_people(_: Facts) -> object:
    return [folder for folder in FOLDERS if glob.glob(f"{folder}/*")]


@attack()
def cgroup_by_its_name(_: Facts) -> object:
    with open("/proc/self/cgroup") as file:
        return [line for line in file if not line.rstrip().endswith(":/")]


@attack(may_lack=True)
def configuration_of_resolvers(_: Facts) -> object:
    return "nameserver" in _contents("/etc/resolv.conf")
