"""What a benchmark hands back."""

from dataclasses import dataclass

# The other benchmarks take them from here.
from limelight.engine.bench.timing import Timing, interleaved

__all__ = ["Result", "Timing", "interleaved"]


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
