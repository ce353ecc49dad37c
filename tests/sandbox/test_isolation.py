"""What the inside can see, reach and become."""

import json
import os
import socket
import uuid

import pytest

from graders.sandbox import Limits, Mount, Spec, hidden

from .support import spec


def test_there_is_no_network(answer):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"""
import os, socket
print(*sorted(name for _, name in socket.if_nameindex()))
for where in [("127.0.0.1", {port}), ("192.0.2.1", 80), ("2001:db8::1", 80)]:
    try:
        socket.create_connection(where, timeout=3)
        print("connected")
    except OSError:
        print("refused")
print(len(open("/proc/net/route").readlines()) - 1)
"""
        assert answer(code).split() == ["lo", "refused", "refused", "refused", "0"]


def test_loopback_works_inside(answer):
    code = """
import socket
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname(), timeout=3)
server.accept()[0].sendall(b"hello")
print(client.recv(5).decode())
"""
    assert answer(code) == "hello"


def test_abstract_sockets_of_the_host_are_out_of_reach(answer):
    name = f"\0practicum-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        code = f"""
import socket
try:
    socket.socket(socket.AF_UNIX).connect({name!r})
    print("connected")
except OSError:
    print("refused")
"""
        assert answer(code) == "refused"


@pytest.fixture
def bundle(tmp_path):
    """A bundle under a folder that only its owner may enter, as in a private home."""
    home = tmp_path / "home"
    folder = home / "bundle"
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    (folder / "module.py").write_text("ANSWER = 42\n")
    (folder / "module.py").chmod(0o644)
    home.chmod(0o700)
    return folder


def test_mounts_under_a_private_folder_are_read_only(answer, bundle, tmp_path):
    notes = tmp_path / "notes.txt"
    notes.write_text("a single file")
    notes.chmod(0o644)
    code = """
import sys
sys.path.insert(0, "/env")
import module
print(module.ANSWER, open("/opt/practicum/notes.txt").read())
for path in ("/env/module.py", "/env/new", "/opt/practicum/notes.txt"):
    try:
        open(path, "a")
        print("writable")
    except OSError as error:
        print(type(error).__name__)
"""
    mounts = Mount(bundle, "/env"), Mount(notes, "/opt/practicum/notes.txt")
    said = answer(code, *mounts).splitlines()
    assert said[0] == "42 a single file"
    assert set(said[1:]) <= {"OSError", "PermissionError"}
    assert len(said) == 4
    assert (bundle / "module.py").read_text() == "ANSWER = 42\n"
    assert [path.name for path in bundle.iterdir()] == ["module.py"]


def test_nothing_but_tmp_and_shm_is_writable(answer):
    code = """
import os
for top, folders, files in os.walk("/"):
    folders[:] = [f for f in folders if os.path.join(top, f) not in ("/proc", "/sys", "/tmp")]
    for path in [top, *(os.path.join(top, f) for f in files)]:
        if os.path.islink(path) or path.startswith(("/dev/shm", "/dev/pts", "/dev/mqueue")):
            continue
        if os.access(path, os.W_OK) and not os.path.exists("/dev/" + os.path.basename(path)):
            print(path)
try:
    open("/new", "w")
    print("root is writable")
except OSError:
    pass
"""
    assert answer(code) in ("", "/dev/ptmx", "/proc/kcore")


SEARCH = """
import glob, os
print(sorted(os.environ))
for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/task/*/environ"):
    try:
        print(open(path, "rb").read())
    except OSError:
        pass
for path in glob.glob("/proc/[0-9]*/cmdline") + ["/proc/keys", "/proc/self/mountinfo"]:
    try:
        print(open(path, "rb").read())
    except OSError:
        pass
"""


def test_no_secret_of_the_worker_is_inside(answer, monkeypatch):
    secret = f"secret-{uuid.uuid4()}"
    monkeypatch.setenv("DJANGO_SECRET_KEY", secret)
    monkeypatch.setenv("HTTP_PROXY", f"http://u:{secret}@proxy")
    said = answer(SEARCH)
    assert secret not in said
    names = set(json.loads(said.splitlines()[0].replace("'", '"')))
    assert names <= {"PATH", "HOME", "LANG", "USER", "PWD", "HOSTNAME", "LC_CTYPE"}


def test_the_specs_own_environment_is_there(sandbox):
    code = "import os; print(os.environ['SEED'], os.environ['HOME'])"
    asked = Spec("test-job", ("python3", "-c", code), (), Limits(seconds=30), {"SEED": "a b=c"})
    with sandbox.start(asked) as running:
        assert b"".join(iter(running.receive, b"")) == b"a b=c /tmp\n"


def test_no_privilege_is_left(answer):
    code = """
import os
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(os.getuid(), os.getgid(), *os.getgroups())
print(*(int(status[f"Cap{which}"], 16) for which in ("Inh", "Prm", "Eff", "Bnd", "Amb")))
print(int(status["NoNewPrivs"]), int(status["Seccomp"]), os.listdir("/proc/self/fd").__len__())
"""
    ids, caps, flags = answer(code).splitlines()
    uid, gid, *groups = map(int, ids.split())
    assert uid > 0
    assert gid > 0
    assert set(groups) <= {gid}
    assert caps == "0 0 0 0 0"
    assert flags == "1 2 4"  # stdio and the folder being listed


def test_the_host_cannot_be_seen(answer, tmp_path):
    (tmp_path / "host-file").write_text("x")
    code = f"""
import os
pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
print(len(pids), max(pids) < 50, os.path.exists({str(tmp_path)!r}), os.uname().nodename)
print(os.path.exists("/var/run/docker.sock"), os.path.exists("/proc/{os.getpid()}"))
for name in ("/home", "/srv", "/mnt", "/media", "/root"):
    try:
        print(*os.listdir(name))
    except OSError:
        pass
"""
    said = answer(code).split()
    assert int(said[0]) <= 3
    assert said[1:] == ["True", "False", "env", "False", "False"]


def test_two_at_once_have_different_uids(sandbox):
    code = "import os, sys; print(os.getuid(), flush=True); sys.stdin.read()"
    with sandbox.start(spec(code)) as one, sandbox.start(spec(code)) as two:
        uids = {int(one.receive()), int(two.receive())}
    assert len(uids) == 2


def test_a_closed_mount_source_is_refused_with_what_to_do(sandbox, tmp_path):
    tmp_path.chmod(0o700)
    with pytest.raises(ValueError, match=r"chmod o\+rX"):
        sandbox.start(spec("pass", Mount(tmp_path, "/env")))


def test_uevents_of_the_host_are_not_heard(sandbox):
    code = """
import socket
try:
    heard = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15)
    heard.bind((0, 1))
    print("listening")
except OSError as error:
    print(type(error).__name__)
"""
    with sandbox.start(spec(code)) as running:
        assert running.receive() == b"PermissionError\n"


def test_what_proc_and_sys_tell_about_the_host_is_hidden(answer):
    code = f"""
import os
for path in {hidden.FILES!r}:
    try:
        print(path, open(path, "rb").read(1))
    except OSError:
        pass
for path in ("/sys", *{hidden.FOLDERS!r}):
    try:
        print(path, os.listdir(path))
    except OSError:
        pass
print(set(line.strip().split(":", 2)[2] for line in open("/proc/self/cgroup")))
"""
    *said, group = answer(code).splitlines()
    assert {line.split()[1] for line in said} <= {"b''", "[]"}
    assert group == "{'/'}"
