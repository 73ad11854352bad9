"""Soft DTW of one large matrix, cell by cell in double precision."""

import math
from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def soft_distance(cost: Any, gamma: float, band: int, alignment: Any) -> float:
    """The soft distance; fills `alignment`, zeros of (N, M), unless it is (0, 0).

    The recursions of Cuturi and Blondel (2017), algorithms 1 and 2.

    Args:
        cost: (N, M).
        gamma: more than 0.
        band: largest |i - j|.
    """
    rows, columns = cost.shape
    sums = np.full((rows + 1 if alignment.size else 2, columns + 1), np.inf)
    keep = alignment.size > 0
    sums[0, 0] = 0
    for row in range(rows):
        above, own = (row, row + 1) if keep else (row % 2, 1 - row % 2)
        sums[own] = np.inf
        for column in range(max(0, row - band), min(columns, row + band + 1)):
            sums[own, column + 1] = cost[row, column] + _soft_minimum(
                sums[above, column], sums[above, column + 1], sums[own, column], gamma
            )
    distance = sums[rows if keep else rows % 2, columns]
    if not keep or not np.isfinite(distance):
        return float(distance)
    # What comes into each column of a row from the row below.
    arriving = np.zeros(columns + 1)
    arriving[columns - 1] = 1
    for row in range(rows - 1, -1, -1):
        first, last = max(0, row - band), min(columns, row + band + 1)
        from_right = from_corner = 0.0
        for column in range(last - 1, first - 1, -1):
            expected = arriving[column] + from_right
            alignment[row, column] = expected
            across, up, left = _chances(
                sums[row, column], sums[row, column + 1], sums[row + 1, column], gamma
            )
            arriving[column] = from_corner + expected * up
            from_corner = expected * across
            from_right = expected * left
        if first:
            arriving[first - 1] = from_corner
    return float(distance)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _soft_minimum(across: float, up: float, left: float, gamma: float) -> float:
    lowest = min(across, up, left)
    if not np.isfinite(lowest):
        return lowest
    total = 0.0
    for each in (across, up, left):
        total += math.exp((lowest - each) / gamma)
    return lowest - gamma * math.log(total)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _chances(across: float, up: float, left: float, gamma: float) -> tuple[float, float, float]:
    """What each predecessor has of the sum; 0 for all where none can be reached."""
    lowest = min(across, up, left)
    if not np.isfinite(lowest):
        return 0.0, 0.0, 0.0
    from_across = math.exp((lowest - across) / gamma)
    from_up = math.exp((lowest - up) / gamma)
    from_left = math.exp((lowest - left) / gamma)
    total = from_across + from_up + from_left
    return from_across / total, from_up / total, from_left / total
