"""What is judged: a room's segments, what viewers did in them, and what each model said."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class JudgedRoom:
    """One room's S consecutive segments.

    Args:
        start_ms: (S,) int64 event time at which each segment starts, since 1970; a room whose
            times nobody knows starts at 0.
        measured: (S,) float32 CTR, NaN where there is no label.
        clicks, viewers: (S,) float32 counts that `measured` is of; 0 where nothing was counted.
        present: (S, 2) bool; False where a segment has no picture, no text.
        predictions: (S,) float32 CTR of each model by its name; every room has the same names.
        category: what kind of room it is, empty if nobody knows.
        intervals: (n, 2) int64 event times [start_ms, end_ms) that people marked as highlights, in
            order; None where nobody looked, which is not the same as none found.

    Raises:
        ValueError: lengths that differ, segments or intervals out of order, or a prediction that
            is not finite.
    """

    room_id: str
    streamer_id: str
    segment_ms: int
    start_ms: NDArray[np.int64]
    measured: NDArray[np.float32]
    clicks: NDArray[np.float32]
    viewers: NDArray[np.float32]
    present: NDArray[np.bool_]
    predictions: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    category: str = ""
    intervals: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.measured)

    def __post_init__(self) -> None:
        arrays: dict[str, NDArray[Any]] = {
            "start_ms": self.start_ms,
            "clicks": self.clicks,
            "viewers": self.viewers,
            "present": self.present,
            **{f"prediction of {name}": each for name, each in self.predictions.items()},
        }
        for name, array in arrays.items():
            if len(array) != len(self):
                raise ValueError(
                    f"room {self.room_id}: {name}: found {len(array)} segments, expected"
                    f" {len(self)} as measured"
                )
        for name, predicted in self.predictions.items():
            if not np.isfinite(predicted).all():
                at = int(np.argmin(np.isfinite(predicted)))
                raise ValueError(
                    f"room {self.room_id}: prediction of {name}: found {predicted[at]} in segment"
                    f" {at}, expected a finite number"
                )
        if (np.diff(self.start_ms) <= 0).any():
            at = int(np.argmax(np.diff(self.start_ms) <= 0))
            raise ValueError(
                f"room {self.room_id}: start_ms: found {self.start_ms[at + 1]} after"
                f" {self.start_ms[at]}, expected ascending times"
            )
        if self.intervals is not None and (np.diff(self.intervals.ravel()) < 0).any():
            raise ValueError(
                f"room {self.room_id}: intervals: found {self.intervals.tolist()}, expected pairs"
                " of start and end, in order and apart"
            )
