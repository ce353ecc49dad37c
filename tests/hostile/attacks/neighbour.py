"""Another run, with something in every place where runs could meet: `NAME PORT KEY GREEDY`."""

import ctypes
import os
import socket
import sys

IPC_CREAT = 0o1000


def main() -> None:
    name, port, key, greedy = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "1"
    libc = ctypes.CDLL(None, use_errno=True)
    paths = [f"/tmp/{name}", f"/dev/shm/{name}"]
    for path in paths:
        with open(path, "w") as file:
            file.write("the neighbour's")
    with socket.socket(socket.AF_UNIX) as abstract, socket.create_server(("127.0.0.1", port)):
        abstract.bind(f"\0{name}")
        abstract.listen()
        shared = libc.shmget(key, 4096, IPC_CREAT | 0o666)
        semaphore = libc.semget(key, 1, IPC_CREAT | 0o666)
        assert shared >= 0 <= semaphore
        watches = list(iter(lambda: libc.inotify_init1(0), -1)) if greedy else []
        sys.stdout.write("up\n")  # at once, however it is buffered
        sys.stdout.flush()
        sys.stdin.read()
    libc.shmctl(shared, 0, None)
    libc.semctl(semaphore, 0, 0)
    for path in paths:
        os.unlink(path)
    del watches


if __name__ == "__main__":
    main()
