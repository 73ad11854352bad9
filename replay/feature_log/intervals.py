"""Sets of Kafka offsets, as sorted half-open intervals that do not touch."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Offsets:
    """A set of offsets: `((0, 100), (150, 200))` holds 0 to 99 and 150 to 199."""

    intervals: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, intervals: Iterable[tuple[int, int]]) -> "Offsets":
        """The union of intervals in any order, overlapping or not; empty ones are left out."""
        joined: list[tuple[int, int]] = []
        for first, end in sorted(intervals):
            if first >= end:
                continue
            if joined and first <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(joined[-1][1], end))
            else:
                joined.append((first, end))
        return cls(tuple(joined))

    def __bool__(self) -> bool:
        return bool(self.intervals)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self.intervals)

    @property
    def end(self) -> int:
        """The offset behind the last; 0 for the empty set."""
        return self.intervals[-1][1] if self.intervals else 0

    def count(self) -> int:
        return sum(end - first for first, end in self.intervals)

    def union(self, other: "Offsets") -> "Offsets":
        return Offsets.of((*self.intervals, *other.intervals))

    def minus(self, other: "Offsets") -> "Offsets":
        """What is here and not in `other`."""
        left = []
        for first, end in self.intervals:
            at = first
            for other_first, other_end in other.intervals:
                if other_end <= at or other_first >= end:
                    continue
                left.append((at, other_first))
                at = other_end
            left.append((at, end))
        return Offsets.of(left)

    def holes(self) -> "Offsets":
        """What lies between the first and the last offset and is not here."""
        return Offsets.of([(self.intervals[0][0], self.end)]).minus(self) if self else self

    def covers(self, first: int, end: int) -> bool:
        return not Offsets.of([(first, end)]).minus(self)

    def mask(self, offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of the offsets are in the set."""
        bounds = np.array(self.intervals, np.int64).reshape(-1)
        inside: NDArray[np.bool_] = np.searchsorted(bounds, offsets, "right") % 2 == 1
        return inside
