"""Processor time and memory of processes, and the cores that they may use (Linux)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Usage:
    """User and system time of all threads so far, and resident memory now."""

    cpu_s: float
    memory_mb: float

    @classmethod
    def of(cls, pid: int) -> "Usage":
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return cls(
            sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"),
            pages * os.sysconf("SC_PAGE_SIZE") / MIB,
        )


def all_cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


@contextmanager
def on_cores(*cores: int) -> Iterator[None]:
    """Whatever is started within the block runs on these cores alone, and so does its caller."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def busy_s() -> float:
    """Processor time that all programs of this machine have taken since it started."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, fields)
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
