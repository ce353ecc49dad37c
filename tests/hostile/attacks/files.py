"""Files: what can be read of the host, and written anywhere but in the run's own /tmp."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile

from .harness import Facts, attack

OURS = ("/tmp", "/dev/shm", "/proc", "/dev/pts")


def _text(path: str) -> str:
    with open(path) as file:
        return file.read()


@attack()
def read_a_file_of_the_host(facts: Facts) -> object:
    return _text(facts["host_file"])


@attack()
def read_it_through_a_symlink(facts: Facts) -> object:
    link = os.path.join(tempfile.mkdtemp(), "link")
    os.symlink(facts["host_file"], link)
    return _text(link)


@attack()
def read_it_by_climbing(facts: Facts) -> object:
    return _text(f"{facts['env']}/../../../../../../../../..{facts['host_file']}")


@attack()
def read_it_through_proc_self_root(facts: Facts) -> object:
    return _text(f"/proc/self/root{facts['host_file']}")


@attack()
def read_it_below_an_open_folder(facts: Facts) -> object:
    folder = os.open("/", os.O_RDONLY)
    return os.open(f"..{facts['host_file']}", os.O_RDONLY, dir_fd=folder) > 0


@attack()
def read_shadow(_: Facts) -> object:
    return _text("/etc/shadow")


@attack()
def list_the_home_of_root(_: Facts) -> object:
    return os.listdir("/root")


@attack()
def list_the_state_of_the_hub(facts: Facts) -> object:
    return os.listdir(facts["state"])


@attack()
def find_what_an_earlier_run_left(facts: Facts) -> object:
    return facts["left"]


@attack()
def use_a_file_that_was_left_open(facts: Facts) -> object:
    return facts["opened"]


@attack()
def write_to_any_mount(_: Facts) -> object:
    with open("/proc/self/mountinfo") as file:
        places = [line.split()[4] for line in file]
    return [place for place in places if not place.startswith(OURS) and _can_create(place)]


def _can_create(folder: str) -> bool:
    path = os.path.join(folder, "made-by-an-attack")
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except OSError:
        return False
    os.unlink(path)
    return True


@attack()
def write_to_any_folder(_: Facts) -> object:
    """/dev/mqueue holds no files: message queues are limited to none."""
    found = []
    for top, folders, _files in os.walk("/"):
        folders[:] = [name for name in folders if not os.path.join(top, name).startswith(OURS)]
        if top.startswith("/sys"):
            folders.clear()
        if os.access(top, os.W_OK) and _can_create(top):
            found.append(top)
        if len(found) > 3:
            break
    return found


@attack()
def write_to_what_is_mounted(facts: Facts) -> object:
    return os.open(facts["victim"], os.O_RDWR) > 0


@attack()
def append_to_what_is_mounted(facts: Facts) -> object:
    return os.open(facts["victim"], os.O_WRONLY | os.O_APPEND) > 0


@attack()
def change_the_mode_of_what_is_mounted(facts: Facts) -> object:
    os.chmod(facts["victim"], 0o666)
    return True


@attack()
def change_the_times_of_what_is_mounted(facts: Facts) -> object:
    os.utime(facts["victim"], (0, 0))
    return True


@attack()
def rename_what_is_mounted(facts: Facts) -> object:
    os.rename(facts["victim"], facts["victim"] + "-moved")
    os.rename(facts["victim"] + "-moved", facts["victim"])
    return True


@attack()
def link_to_what_is_mounted(facts: Facts) -> object:
    link = facts["victim"] + "-linked"
    os.link(facts["victim"], link)
    os.unlink(link)
    return True


@attack()
def delete_what_is_mounted(facts: Facts) -> object:
    os.unlink(facts["victim"])
    return True


@attack()
def own_what_is_mounted(facts: Facts) -> object:
    os.chown(facts["env"], os.getuid(), os.getgid())
    return True


@attack()
def leave_bytecode_in_what_is_mounted(facts: Facts) -> object:
    os.mkdir(os.path.join(facts["env"], "__pycache__x"))
    return True


@attack(outside=False)
def link_a_file_of_the_system_into_tmp(_: Facts) -> object:
    os.link("/etc/passwd", "/tmp/passwd")
    return True


@attack()
def run_a_program_from_tmp(_: Facts) -> object:
    copy = os.path.join(tempfile.mkdtemp(), "python")
    shutil.copy(os.path.realpath(sys.executable), copy)
    os.chmod(copy, 0o755)
    try:
        subprocess.run([copy, "-c", ""], capture_output=True, check=False)
    finally:
        shutil.rmtree(os.path.dirname(copy))
    return True


@attack()
def honour_set_uid_in_tmp(_: Facts) -> object:
    return not os.statvfs(tempfile.gettempdir()).f_flag & os.ST_NOSUID


@attack()
def find_a_set_uid_program(_: Facts) -> object:
    found = []
    for top, _folders, names in os.walk("/usr"):
        for name in names:
            mode = os.lstat(os.path.join(top, name)).st_mode
            if stat.S_ISREG(mode) and mode & 0o6000:
                found.append(name)
    return found


@attack()
def change_a_library(_: Facts) -> object:
    return os.access(os.__file__, os.W_OK) or os.access(sys.executable, os.W_OK)


@attack()
def lock_a_file_of_the_host(facts: Facts) -> object:
    return os.open(facts["lock"], os.O_RDWR) > 0
