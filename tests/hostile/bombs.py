"""Programs that use up whatever they can: each names how it has to end."""

from dataclasses import dataclass, field

from graders.sandbox import EndReason

EXITED, TIMEOUT = EndReason.EXITED, EndReason.TIMEOUT
OUT_OF_MEMORY, OUTPUT_LIMIT = EndReason.OUT_OF_MEMORY, EndReason.OUTPUT_LIMIT

MEMORY_MB, PIDS = 96, 40
# Of a bomb that runs until its time is over, and of one that has to end in another way.
SECONDS, PATIENCE = 1.2, 10.0


@dataclass(frozen=True)
class Bomb:
    """`ends`: the reasons that are right. `says`: what it must have printed, if it may finish."""

    code: str
    ends: tuple[EndReason, ...]
    says: str | None = None
    limits: dict[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return SECONDS if TIMEOUT in self.ends else PATIENCE


# Until the kernel says no; then it says so itself, and ends.
UNTIL_REFUSED = """
import ctypes, os, socket, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def until_refused(step):
    held = []
    try:
        for i in range(10**6): held.append(step(i))
    except (OSError, MemoryError, RuntimeError, BlockingIOError) as error:
        print("refused", flush=True)
        return held
    print("never refused", flush=True)
    return held
def crowd(work):
    for _ in range(30):
        try:
            if os.fork() == 0:
                work()
                os._exit(0)
        except OSError:
            break
    while True:
        try: os.wait()
        except ChildProcessError: break
def check(result):
    if result < 0: raise OSError(ctypes.get_errno(), "refused")
    return result
"""
REFUSED = "refused"


def refused(step: str, **limits: float) -> Bomb:
    """Ends by itself once refused."""
    code = f"{UNTIL_REFUSED}\nuntil_refused({step})\nos._exit(0)"
    return Bomb(code, (EXITED,), REFUSED, limits)


def crowded(work: str, *ends: EndReason) -> Bomb:
    """The same in many processes at once."""
    code = f"{UNTIL_REFUSED}\ndef work():\n    {work}\ncrowd(work)"
    return Bomb(code, ends or (EXITED, TIMEOUT, OUT_OF_MEMORY))


BOMBS = {
    # Processes
    "fork": Bomb(
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        (TIMEOUT,),
    ),
    "vfork": Bomb(
        "import subprocess, sys\n"
        "held = []\n"
        "while True:\n"
        "    try: held.append(subprocess.Popen([sys.executable, '-c', 'input()'], stdin=-1))\n"
        "    except OSError: pass",
        (TIMEOUT, OUT_OF_MEMORY),
    ),
    "threads": Bomb(
        "import threading, time\n"
        "while True:\n"
        "    try: threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "    except RuntimeError: time.sleep(0.01)",
        (TIMEOUT,),
    ),
    "threads with huge stacks": refused(
        "lambda i: (threading.stack_size(1 << 30), threading.Thread(target=time.sleep, "
        "args=(60,), daemon=True).start())"
    ),
    "zombies": Bomb(
        "import os, time\n"
        "while True:\n"
        "    try:\n"
        "        if os.fork() == 0: os._exit(0)\n"
        "    except OSError: time.sleep(60)",
        (TIMEOUT,),
    ),
    "daemon that is left behind": Bomb(
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        os.closerange(0, 256)\n"
        "        time.sleep(600)\n"
        "    os._exit(0)\n"
        "os.wait(); print('gone', flush=True)",
        (EXITED,),
        "gone",
    ),
    "daemon that holds the output open": Bomb(
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid(); time.sleep(600)\n"
        "print('gone', flush=True)",
        (EXITED,),
        "gone",
    ),
    "exec without end": Bomb(
        "import os, sys\nos.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])", (TIMEOUT,)
    ),
    "kill everything": Bomb("import os, signal\nos.kill(-1, signal.SIGKILL)", (EXITED,)),
    "kill the first process": Bomb(
        "import os, signal\n"
        "for n in range(1, 65):\n"
        "    try: os.kill(1, n)\n"
        "    except OSError: pass\n"
        "import time; time.sleep(600)",
        (TIMEOUT, EXITED),
    ),
    "stop everything": Bomb(
        "import os, signal\n"
        "os.fork() or signal.pause()\n"
        "os.kill(-1, signal.SIGSTOP)\n"
        "signal.pause()",
        (TIMEOUT,),
    ),
    "ignore every signal": Bomb(
        "import signal, time\n"
        "for n in range(1, 65):\n"
        "    try: signal.signal(n, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\n"
        "while True: time.sleep(1)",
        (TIMEOUT,),
    ),
    # Memory
    "heap": Bomb("held = []\nwhile True: held.append(bytearray(8 << 20))", (OUT_OF_MEMORY,)),
    "heap in many processes": crowded(
        "held = [bytearray(1 << 20) for _ in range(1000)]", OUT_OF_MEMORY
    ),
    "shared mappings": Bomb(
        "import mmap\nheld = []\n"
        "while True:\n    held.append(mmap.mmap(-1, 8 << 20)); held[-1].write(b'x' * (8 << 20))",
        (OUT_OF_MEMORY,),
    ),
    "tables of pages": Bomb(
        "import mmap\n"
        "m = mmap.mmap(-1, 1 << 42, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000,\n"
        "              prot=mmap.PROT_READ)\n"
        "for at in range(0, 1 << 42, 2 << 20): m[at]",
        (OUT_OF_MEMORY, TIMEOUT),
    ),
    "files in memory": Bomb(
        "import os\nheld = []\n"
        "while True:\n"
        "    held.append(os.memfd_create('x'))\n"
        "    os.write(held[-1], b'x' * (8 << 20))",
        (OUT_OF_MEMORY,),
    ),
    "shared memory of System V": Bomb(
        UNTIL_REFUSED + "libc.shmat.restype = ctypes.c_void_p\n"
        "while True:\n"
        "    at = libc.shmat(check(libc.shmget(0, 8 << 20, 0o1600)), None, 0)\n"
        "    ctypes.memset(at, 1, 8 << 20)",
        (OUT_OF_MEMORY,),
    ),
    "semaphores of System V": Bomb(
        UNTIL_REFUSED + "until_refused(lambda i: check(libc.semget(0, 32000, 0o1600)))",
        (EXITED, TIMEOUT, OUT_OF_MEMORY),
    ),
    "message queues": refused("lambda i: check(libc.syscall(240, b'x', 0o102, 0o600, None))"),
    "pages read from disk": Bomb(
        "import os\n"
        "while True:\n"
        "    for top, _, names in os.walk('/usr'):\n"
        "        for name in names:\n"
        "            try: open(os.path.join(top, name), 'rb').read()\n"
        "            except OSError: pass",
        (TIMEOUT,),
    ),
    "names that are not there": Bomb(
        "import os\ni = 0\n"
        "while True:\n"
        "    i += 1\n"
        "    os.path.exists(f'/tmp/{i}')",
        (TIMEOUT, OUT_OF_MEMORY),
    ),
    "zip bomb": Bomb(
        "import zlib\n"
        "packed = zlib.compress(bytes(1 << 23), 1)\n"
        "held = []\n"
        "while True: held.append(zlib.decompress(packed))",
        (OUT_OF_MEMORY,),
    ),
    "deep recursion": Bomb(
        "import sys\nsys.setrecursionlimit(1 << 30)\n"
        "class Deep:\n    def __getattr__(self, name): return getattr(self, name + 'x')\n"
        "f = lambda: f()\n"
        "try: Deep().x\nfinally: f()",
        (EXITED, OUT_OF_MEMORY, TIMEOUT),
    ),
    # Processor
    "spin": Bomb("while True: pass", (TIMEOUT,)),
    "spin in many processes": crowded("while True: pass", TIMEOUT),
    "regular expression": Bomb("import re\nre.match('(a+)+$', 'a' * 64 + 'b')", (TIMEOUT,)),
    "power": Bomb("9 ** 9 ** 9", (TIMEOUT, OUT_OF_MEMORY)),
    "number to text": Bomb(
        "import sys\nsys.set_int_max_str_digits(0)\nstr(1 << (1 << 26))", (TIMEOUT,)
    ),
    "sleep": Bomb("import time\ntime.sleep(600)", (TIMEOUT,)),
    # Files
    "fill /tmp": refused(
        "lambda i: open(f'/tmp/{i // 30}', 'ab').write(b'x' * (1 << 20))", tmp_mb=24
    ),
    "fill /tmp past the memory": Bomb(
        "f = 0\n"
        "while True:\n"
        "    f += 1\n"
        "    open(f'/tmp/{f}', 'wb').write(b'x' * (8 << 20))",
        (OUT_OF_MEMORY,),
        limits={"tmp_mb": 512},
    ),
    "files in /tmp": refused("lambda i: open(f'/tmp/{i}', 'w').close()"),
    "fill /dev/shm": refused("lambda i: open('/dev/shm/x', 'ab').write(b'x' * (1 << 20))"),
    "files in /dev/shm": refused("lambda i: open(f'/dev/shm/{i}', 'w').close()"),
    "sparse file": refused("lambda i: os.truncate(open(f'/tmp/{i}', 'w').name, 1 << 40)"),
    "deep folders": refused("lambda i: (os.mkdir('d'), os.chdir('d'))"),
    "links": refused("lambda i: os.symlink('x' * 4000, f'/tmp/{i}')"),
    "core dump": Bomb("import os\nos.abort()", (EXITED,)),
    "huge arguments": refused("lambda i: os.execv(sys.executable, ['x' * (1 << 22)])"),
    "locks on files": Bomb(
        "import fcntl, os\nf = os.open('/tmp/x', os.O_CREAT | os.O_RDWR)\ni = 0\n"
        "while True:\n    fcntl.lockf(f, fcntl.LOCK_EX, 1, i); i += 2",
        (TIMEOUT, OUT_OF_MEMORY),
    ),
    # What the kernel keeps for a process
    "open files": refused("lambda i: os.open('/dev/null', os.O_RDONLY)"),
    "open files in many processes": crowded(
        "until_refused(lambda i: os.open('/dev/null', os.O_RDONLY)); time.sleep(1)"
    ),
    "pipes": crowded(
        "import fcntl\n"
        "    def fill(i):\n"
        "        r, w = os.pipe()\n"
        "        os.set_blocking(w, False)\n"
        "        fcntl.fcntl(w, 1031, 1 << 20)\n"
        "        return r, w, os.write(w, b'x' * (1 << 20))\n"
        "    until_refused(fill); time.sleep(1)"
    ),
    "sockets of a folder": crowded(
        "def fill(i):\n"
        "        a, b = socket.socketpair()\n"
        "        a.setblocking(False)\n"
        "        while True:\n"
        "            try: a.send(b'x' * 4096)\n"
        "            except BlockingIOError: return a, b\n"
        "    held = until_refused(fill); time.sleep(1)"
    ),
    "sockets of the loopback": crowded(
        "s = socket.create_server(('127.0.0.1', 0))\n"
        "    def fill(i):\n"
        "        a = socket.create_connection(s.getsockname())\n"
        "        b = s.accept()[0]\n"
        "        a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)\n"
        "        a.setblocking(False)\n"
        "        while True:\n"
        "            try: a.send(b'x' * 65536)\n"
        "            except BlockingIOError: return a, b\n"
        "    held = until_refused(fill); time.sleep(1)"
    ),
    "datagrams": crowded(
        "def fill(i):\n"
        "        r = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "        r.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 30)\n"
        "        r.bind(('127.0.0.1', 0))\n"
        "        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:\n"
        "            for _ in range(200): s.sendto(b'x' * 60000, r.getsockname())\n"
        "        return r\n"
        "    held = until_refused(fill); time.sleep(1)"
    ),
    "epoll": crowded(
        "import select\n"
        "    p = os.pipe()\n"
        "    def watch(i):\n"
        "        e = select.epoll()\n"
        "        e.register(p[0])\n"
        "        return e\n"
        "    held = until_refused(watch); time.sleep(1)"
    ),
    "timers": crowded(
        "until_refused(lambda i: check(libc.timer_create(1, None, ctypes.create_string_buffer(8))))"
    ),
    "inotify": refused("lambda i: check(libc.inotify_init1(0))"),
    "inotify watches": Bomb(
        UNTIL_REFUSED + "n = check(libc.inotify_init1(0))\n"
        "def watch(i):\n"
        "    os.mkdir(f'/tmp/{i}')\n"
        "    return check(libc.inotify_add_watch(n, f'/tmp/{i}'.encode(), 0xfff))\n"
        "until_refused(watch)\nos._exit(0)",
        (EXITED,),
        REFUSED,
    ),
    "queued signals": Bomb(
        UNTIL_REFUSED + "import signal\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [40])\n"
        "until_refused(lambda i: check(libc.sigqueue(os.getpid(), 40, None)))\nos._exit(0)",
        (EXITED, OUT_OF_MEMORY),
    ),
    "terminals": refused("lambda i: os.open('/dev/ptmx', os.O_RDWR | os.O_NOCTTY)"),
    "locked memory": refused("lambda i: check(libc.mlock(bytes(1 << 20), 1 << 20))"),
    # Output
    "flood of output": Bomb("import os\nwhile True: os.write(1, b'x' * 65536)", (OUTPUT_LIMIT,),
                            limits={"output_mb": 4}),
    "flood of errors": Bomb("import os\nwhile True: os.write(2, b'x' * 65536)", (TIMEOUT,)),
    "flood from many processes": Bomb(
        "import os\n"
        "for _ in range(5): os.fork()\n"
        "while True: os.write(1, b'x' * 4096)",
        (OUTPUT_LIMIT,),
        limits={"output_mb": 4, "seconds": 6.0},
    ),
    "closed streams": Bomb("import os, time\nos.closerange(0, 3)\ntime.sleep(600)", (TIMEOUT,)),
    "lines without end": Bomb(
        "import sys\nwhile True: print('x' * (1 << 20), end='')", (OUTPUT_LIMIT, TIMEOUT),
        limits={"output_mb": 4},
    ),
}  # fmt: skip
