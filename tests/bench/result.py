"""What a benchmark hands back."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter


@dataclass(frozen=True, slots=True)
class Result:
    """A table: column names, rows of cells, and what a reader must know to repeat it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float, ...], ...]
    note: str

    def table(self) -> str:
        """The rows as Markdown."""
        lines = [self.columns, tuple("---" for _ in self.columns), *self.rows]
        return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


@dataclass(frozen=True, slots=True)
class Timing:
    min_ms: float
    median_ms: float


def interleaved(peers: dict[str, Callable[[], object]], *, repeats: int) -> dict[str, Timing]:
    """Minimum and median time of each peer, after one warm-up, taking turns in one process.

    Taking turns spreads what else the machine does evenly over the peers.
    """
    times_ms: dict[str, list[float]] = {name: [] for name in peers}
    for turn in range(repeats + 1):
        for name, run in peers.items():
            start = perf_counter()
            run()
            if turn:
                times_ms[name].append((perf_counter() - start) * 1000)
    return {name: Timing(min(times), median(times)) for name, times in times_ms.items()}
