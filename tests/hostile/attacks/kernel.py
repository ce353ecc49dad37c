"""The kernel's own files: reading what they tell about the host, writing what they change."""

import glob
import os
from functools import partial

from .harness import Facts, add, attack

READ = """
kcore kallsyms keys key-users timer_list sched_debug cmdline config.gz modules iomem ioports
diskstats partitions interrupts softirqs slabinfo vmallocinfo pagetypeinfo kpagecount locks swaps
misc consoles crypto zoneinfo buddyinfo
""".split()
LISTED = [f"/proc/{name}" for name in ("bus", "driver", "fs", "irq", "tty", "acpi", "pressure")]
LISTED += ["/sys", "/sys/block", "/sys/class/net", "/sys/fs/cgroup", "/sys/firmware"]
LISTED += ["/sys/kernel/debug", "/sys/kernel/security", "/sys/module"]
# Opened for writing, never written: outside, root would change the host.
WRITTEN = """
/proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname
/proc/sys/kernel/modprobe /proc/sys/kernel/randomize_va_space /proc/sys/kernel/panic
/proc/sys/kernel/shmmax /proc/sys/vm/drop_caches /proc/sys/vm/overcommit_memory
/proc/sys/net/ipv4/ip_forward /proc/sys/net/core/somaxconn /proc/sys/fs/file-max
/proc/sys/fs/suid_dumpable /proc/sys/user/max_user_namespaces /proc/mtrr
/proc/irq/default_smp_affinity
""".split()


def _read(path: str, _: Facts) -> object:
    with open(path, "rb") as file:
        return file.read(64)


def _list(path: str, _: Facts) -> object:
    return os.listdir(path)


def _open_to_write(path: str, _: Facts) -> object:
    return not _is_null(os.open(path, os.O_WRONLY))


def _is_null(file: int | str) -> bool:
    """Docker hides a file by laying /dev/null over it."""
    return os.stat(file).st_rdev == os.stat("/dev/null").st_rdev


for each in READ:
    add(f"kernel: read /proc/{each}", partial(_read, f"/proc/{each}"), may_lack=True)
for each in LISTED:
    add(f"kernel: list {each}", partial(_list, each), may_lack=True)
for each in WRITTEN:
    add(f"kernel: write {each}", partial(_open_to_write, each), may_lack=True)


@attack()
def open_the_kernels_log(_: Facts) -> object:
    paths = [path for path in ("/proc/kmsg", "/dev/kmsg") if os.access(path, os.R_OK)]
    return [path for path in paths if not _is_null(path)]


@attack()
def memory_of_a_process_of_the_host(facts: Facts) -> object:
    return os.open(f"/proc/{facts['host_pid']}/mem", os.O_RDONLY) > 0


@attack()
def environment_of_a_process_of_the_host(facts: Facts) -> object:
    return _read(f"/proc/{facts['host_pid']}/environ", facts)


@attack()
def open_files_of_a_process_of_the_host(facts: Facts) -> object:
    return os.listdir(f"/proc/{facts['host_pid']}/fd")


@attack()
def root_folder_of_a_process_of_the_host(facts: Facts) -> object:
    return os.listdir(f"/proc/{facts['host_pid']}/root")


@attack(may_lack=True)
def host_file_through_the_root_of_pid_1(facts: Facts) -> object:
    return os.path.exists(f"/proc/1/root{facts['host_file']}")


@attack(may_lack=True)
def host_file_through_the_folder_of_pid_1(facts: Facts) -> object:
    return os.path.exists(f"/proc/1/cwd/../../../../../..{facts['host_file']}")


@attack(may_lack=True)
def write_to_the_program_of_pid_1(_: Facts) -> object:
    return os.access("/proc/1/exe", os.W_OK)


@attack()
def pid_1_is_less_confined(_: Facts) -> object:
    """It shares its uid with the attacker, who may write to its memory."""
    with open("/proc/1/status") as file:
        status = dict(line.split(":", 1) for line in file)
    caps = [int(status[f"Cap{which}"], 16) for which in ("Inh", "Prm", "Eff", "Bnd", "Amb")]
    return any(caps) or int(status["NoNewPrivs"]) != 1 or int(status["Seccomp"]) != 2


@attack(outside=False)
def pid_1_holds_files_of_the_host(_: Facts) -> object:
    held = [os.readlink(path) for path in glob.glob("/proc/1/fd/*")]
    plain = ("pipe:", "anon_inode:", "/dev/null")
    return [target for target in held if not target.startswith(plain)]


@attack(may_lack=True)
def run_a_program_when_a_cgroup_empties(_: Facts) -> object:
    return [
        path for path in glob.glob("/sys/fs/cgroup/*/release_agent") if os.access(path, os.W_OK)
    ]


@attack(may_lack=True)
def leave_the_cgroup(_: Facts) -> object:
    paths = glob.glob("/sys/fs/cgroup/cgroup.procs") + glob.glob("/sys/fs/cgroup/*/cgroup.procs")
    return [path for path in paths if os.access(path, os.W_OK)]


@attack(may_lack=True)
def be_killed_last(_: Facts) -> object:
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("-900")
    return True
