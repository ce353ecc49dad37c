"""From requirements to a folder that can be mounted, with nothing run outside a sandbox.

    index.py      the package index: its pages, its files, what may be downloaded
    peeking.py    a wheel's metadata, read from a part of the wheel
    relay.py      answers what the build sandbox asks of the index: GET, listed files, nothing else
    driven.py     a builder in its sandbox, driven over frames
    session.py    one that resolves and builds
    preparing.py  one that calls a version's data step
    compiling.py  one that compiles what a bundle's environments import
    hosts.py      where data may come from
    origin.py     fetches it
    depot.py      keeps it, and links it into bundles
    toolchain.py  the compiler that builds may use
    resolving.py  from requirements to a lock, wheels built where there are none
    lock.py       the lock: one wheel of each package, by hash
    picking.py    which of the files that a lock allows is used
    wheels.py     unpacks wheels, which runs none of their code
    store.py      downloads, unpacked wheels and bundles, by their digests, within a disk budget
    stock.py      from a lock to a folder of linked files

Pure: no Django.
"""
