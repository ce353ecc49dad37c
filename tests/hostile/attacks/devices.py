"""Devices: those that are there, and making others."""

import os
import stat
import tempfile
from functools import partial

from .harness import Facts, add, attack

EXPECTED = {"null", "zero", "full", "random", "urandom", "tty", "ptmx"}
# Only looked for: opening some of them (a watchdog) changes the host.
FORBIDDEN = """
mem kmem port kmsg sda vda nvme0n1 loop0 loop-control mapper/control fuse kvm net/tun vsock
vhost-net userfaultfd rtc0 watchdog cpu/0/msr btrfs-control autofs console hwrng uinput snd dri
input ttyS0
""".split()


def _exists(path: str, _: Facts) -> object:
    return os.path.exists(path)


for each in FORBIDDEN:
    add(f"devices: /dev/{each}", partial(_exists, f"/dev/{each}"), may_lack=True)


def _make(kind: int, major: int, minor: int) -> object:
    path = os.path.join(tempfile.mkdtemp(), "device")
    os.mknod(path, kind | 0o600, os.makedev(major, minor))
    os.unlink(path)
    return True


@attack()
def make_the_memory(_: Facts) -> object:
    return _make(stat.S_IFCHR, 1, 1)


@attack()
def make_a_disk(_: Facts) -> object:
    return _make(stat.S_IFBLK, 8, 0)


@attack()
def any_but_the_expected(_: Facts) -> object:
    found = []
    for top, _folders, names in os.walk("/dev"):
        for name in names:
            path = os.path.join(top, name)
            mode = os.lstat(path).st_mode
            special = stat.S_ISCHR(mode) or stat.S_ISBLK(mode)
            if special and name not in EXPECTED and not top.startswith("/dev/pts"):
                found.append(path)
    return found


@attack(outside=False)
def a_terminal_to_type_into(_: Facts) -> object:
    """TIOCSTI needs one: neither the standard streams nor /dev/tty may be it."""
    return any(map(os.isatty, range(3))) or os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY) > 0


@attack()
def honour_devices_in_tmp(_: Facts) -> object:
    return not os.statvfs(tempfile.gettempdir()).f_flag & os.ST_NODEV


@attack()
def make_a_file_in_dev(_: Facts) -> object:
    os.close(os.open("/dev/made-by-an-attack", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    os.unlink("/dev/made-by-an-attack")
    return True


@attack(may_lack=True)
def make_a_message_queue(_: Facts) -> object:
    os.close(os.open("/dev/mqueue/attack", os.O_CREAT | os.O_EXCL | os.O_RDWR))
    os.unlink("/dev/mqueue/attack")
    return True
