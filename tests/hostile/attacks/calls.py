"""System calls that nothing contributed may make, by their numbers on x86-64.

Their arguments are ones that the kernel refuses after it has looked, so a call that is not filtered
is seen by another answer than EPERM, and does no harm. Outside they are made by root.
"""

import ctypes
import mmap
import os
import platform
from functools import partial

from .harness import add, call, reached

NOBODY = 1 << 30  # no process has this number
BAD = 1  # an address where nothing is

CALLS = {
    "ptrace": (101, 16, NOBODY),
    "process_vm_readv": (310, NOBODY, 0, 0, 0, 0, 0),
    "process_vm_writev": (311, NOBODY, 0, 0, 0, 0, 0),
    "process_madvise": (440, -1, 0, 0, 0, 0),
    "process_mrelease": (448, -1, 0),
    "kcmp": (312, NOBODY, NOBODY, 0, 0, 0),
    "pidfd_getfd": (438, -1, 0, 0),
    "keyctl": (250, 0, -3, 0),
    "add_key": (248, 0, 0, 0, 0, 0),
    "request_key": (249, 0, 0, 0, 0),
    "io_uring_setup": (425, 0, 0),
    "io_uring_enter": (426, -1, 0, 0, 0, 0, 0),
    "io_uring_register": (427, -1, 0, 0, 0),
    "bpf": (321, 9999, 0, 0),
    "perf_event_open": (298, 0, 0, -1, -1, 0),
    "userfaultfd": (323, -1),
    "mount": (165, 0, 0, 0, 0, 0),
    "umount2": (166, 0, 0),
    "pivot_root": (155, 0, 0),
    "chroot": (161, 0),
    "open_tree": (428, -1, 0, -1),
    "move_mount": (429, -1, 0, -1, 0, -1),
    "fsopen": (430, 0, 0),
    "fsconfig": (431, -1, 0, 0, 0, 0),
    "fsmount": (432, -1, 0, 0),
    "fspick": (433, -1, 0, 0),
    "mount_setattr": (442, -1, 0, -1, 0, 0),
    "setns": (308, -1, 0),
    "clone3": (435, 0, 0),
    "kexec_load": (246, 0, 0, 0, 0xFFFF),
    "kexec_file_load": (320, -1, -1, 0, 0, 0xFF),
    "reboot": (169, 0, 0, 0, 0),
    "clock_settime": (227, 0, 0),
    "settimeofday": (164, BAD, 0),
    "adjtimex": (159, 0),
    "clock_adjtime": (305, 0, 0),
    "sethostname": (170, 0, -1),
    "setdomainname": (171, 0, -1),
    "swapon": (167, 0, 0),
    "swapoff": (168, 0),
    "quotactl": (179, -1, 0, 0, 0),
    "quotactl_fd": (443, -1, -1, 0, 0),
    "acct": (163, BAD),
    "name_to_handle_at": (303, -1, 0, 0, 0, 0xFFFF),
    "open_by_handle_at": (304, -1, 0, 0),
    "init_module": (175, 0, 0, 0),
    "finit_module": (313, -1, 0, 0xFF),
    "delete_module": (176, 0, 0),
    "iopl": (172, 4),
    "ioperm": (173, 0, 0, 0),
    "syslog": (103, 99, 0, 0),
    "vhangup": (153,),
    "modify_ldt": (154, 0, 0, 0),
    "mbind": (237, 0, 0, 9999, 0, 0, 0),
    "migrate_pages": (256, NOBODY, 0, 0, 0),
    "move_pages": (279, NOBODY, 0, 0, 0, 0, 0),
    "fanotify_init": (300, -1, 0),
    "fanotify_mark": (301, -1, 0, 0, 0, 0),
    "mq_open": (240, 0, 0, 0, 0),
    "msgget": (68, 0x50524143, 0),
    "memfd_secret": (447, -1),
    "landlock_create_ruleset": (444, 0, 0, 2),
    "seccomp": (317, 9999, 0, 0),
    "setxattr": (188, 0, 0, 0, 0, 0),
    "mknodat": (259, -1, 0, 0, 0),
    "cachestat": (451, -1, 0, 0, 0),
}
# A type of socket that does not exist: refused before the family's module would be loaded.
FAMILIES = {
    "AF_AX25": 3, "AF_IPX": 4, "AF_APPLETALK": 5, "AF_X25": 9, "AF_KEY": 15, "AF_PACKET": 17,
    "AF_RDS": 21, "AF_CAN": 29, "AF_TIPC": 30, "AF_BLUETOOTH": 31, "AF_ALG": 38, "AF_NFC": 39,
    "AF_VSOCK": 40, "AF_QIPCRTR": 42, "AF_SMC": 43, "AF_XDP": 44,
}  # fmt: skip
PROTOCOLS = {"icmp": 1, "dccp": 33, "sctp": 132, "udplite": 136, "raw": 255, "mptcp": 262}
NETLINK = {"audit": 9, "netfilter": 12, "uevent": 15, "generic": 16, "sock_diag": 4, "crypto": 21}
NAMESPACES = {
    "mount": 0x00020000, "cgroup": 0x02000000, "uts": 0x04000000, "ipc": 0x08000000,
    "user": 0x10000000, "pid": 0x20000000, "network": 0x40000000,
}  # fmt: skip


def _clone(flags: int) -> object:
    child = call(56, flags | 17, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    return f"a child in a new namespace, {child}"


def _machine_code(code: bytes) -> object:
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    run = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    return max(0, run())


if platform.machine() == "x86_64":
    for name, numbers in CALLS.items():
        add(f"calls: {name}", lambda _, n=numbers: reached(*n), may_lack=True)
    for name, family in FAMILIES.items():
        add(f"calls: socket {name}", lambda _, f=family: reached(41, f, 99, 0))
    for name, protocol in PROTOCOLS.items():
        for version, family in (("IPv4", 2), ("IPv6", 10)):
            add(
                f"calls: socket {version} {name}",
                lambda _, f=family, p=protocol: reached(41, f, 99, p),
            )
    for name, protocol in NETLINK.items():
        add(f"calls: netlink {name}", lambda _, p=protocol: reached(41, 16, 99, p))
    for name, flag in NAMESPACES.items():
        add(f"calls: unshare {name}", lambda _, f=flag: call(272, f) == 0)
        add(f"calls: clone {name}", lambda _, f=flag: _clone(f))
    add("calls: unshare time", lambda _: call(272, 0x80) == 0)
    # getpid, by the numbers of 32-bit programs and of x32
    add(
        "calls: of a 32-bit program",
        lambda _: _machine_code(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"),
        may_lack=True,
    )
    add(
        "calls: of an x32 program",
        lambda _: _machine_code(b"\xb8\x27\x00\x00\x40\x0f\x05\xc3"),
        may_lack=True,
    )
    for name, persona in (("without random addresses", 0x0040000), ("of 32 bits", 0x8)):
        add(f"calls: personality {name}", partial(lambda p, _: call(135, p) >= 0, persona))
