"""Rows of a flat array brought into lane order, each row in a lane of its own."""

from typing import Any

from numba import njit

from limelight.kernels.lanes import transpose


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def find_starts(first: int, batch: int, size: int, starts: Any) -> None:
    """Where the row of each lane begins, from row `first` on; beyond the batch, the last row's."""
    for lane in range(len(starts)):
        starts[lane] = min(first + lane, batch - 1) * size


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def to_lanes(values: Any, starts: Any, first: int, count: int, lanes: Any) -> None:
    """`count` numbers of each row from `first` on, into `lanes[width * number + lane]`."""
    width = len(starts)
    if count < width:
        for number in range(count):
            for lane in range(width):
                lanes[number * width + lane] = values[starts[lane] + first + number]
        return
    for number in range(0, count - width + 1, width):
        transpose(values, starts, first + number, lanes, number * width)
    # The last run overlaps the one before.
    transpose(values, starts, first + count - width, lanes, (count - width) * width)
