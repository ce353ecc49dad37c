"""What of /proc and /sys tells about the host, or invites attacks, and no program needs."""

from pathlib import Path

FILES = tuple(
    f"/proc/{name}"
    for name in """
    buddyinfo cmdline config.gz consoles crypto diskstats dma fb interrupts iomem ioports kallsyms
    kcore key-users keys kmsg kpagecgroup kpagecount kpageflags latency_stats locks mdstat misc
    modules mtrr pagetypeinfo partitions sched_debug schedstat slabinfo softirqs swaps sysrq-trigger
    timer_list timer_stats vmallocinfo zoneinfo
    """.split()
)
FOLDERS = tuple(
    f"/proc/{name}" for name in "acpi asound bus driver fs irq pressure scsi tty".split()
)


def present(paths: tuple[str, ...]) -> list[str]:
    """Those that this kernel has."""
    return [path for path in paths if Path(path).exists()]
