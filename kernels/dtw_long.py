"""DTW of one long pair: a strip of rows at a time, each row one column behind the row above it.

In such a skewed strip the cells of one step do not depend on each other, so they fill a vector:
lane r of step t holds row `first_row + r`, column t - r. Its left neighbour is the same lane one
step ago, the cell above is the lane before it one step ago, and the cell across is the lane before
it two steps ago. Columns outside the matrix cost infinitely much.
"""

from typing import Any

import numpy as np
from numba import njit

from limelight.kernels.lanes import (
    LANE_BYTES,
    bits,
    choose,
    lane,
    load,
    minimum,
    pushed,
    splat,
    store,
    top,
    transpose,
)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def series_distance(x: Any, y: Any, band: int) -> float:
    """Distance of two series by squared differences; the costs are never stored.

    Args:
        x: (N,) finite numbers.
        y: (M,) of the same dtype.
        band: largest |i - j|.
    """
    width = LANE_BYTES // x.itemsize
    rows, columns = len(x), len(y)
    infinite = splat(x.dtype.type(np.inf))
    # Column c is at c + width, so that every lane of every step has a place in it.
    above = np.full(columns + 2 * width, np.inf, x.dtype)
    values = np.empty(width, x.dtype)
    beyond = np.full(columns + width, np.inf, x.dtype)
    beyond[:columns] = y
    left = infinite
    for first_row in range(0, rows, width):
        first, last = _steps_of(first_row, rows, columns, width, band)
        for row in range(width):
            values[row] = x[first_row + row] if first_row + row < rows else np.inf
        own_x, passing_y = load(values, 0), infinite
        left, diagonal = infinite, _first_diagonal(first_row, first, above, infinite, values)
        # Lanes behind lane 0 are in columns before it, where y has gone by already.
        for step in range(max(0, first - width + 1), first):
            passing_y = pushed(passing_y, y[step])
        for step in range(first, last):
            passing_y = pushed(passing_y, beyond[np.uint64(step)])
            difference = own_x - passing_y
            own = difference * difference
            if band < rows + columns:
                own = _within_band(own, infinite, first_row, step, band, values)
            up = pushed(left, above[np.uint64(step + width)])
            left = own + minimum(minimum(diagonal, left), up)
            diagonal = up
            above[np.uint64(step + 1)] = top(left)
    return float(lane(left, (rows - 1) % width))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def matrix_distance(
    cost: Any, rows: int, columns: int, band: int, directions: Any
) -> tuple[float, bool]:
    """Distance of one matrix, and where each cell came from if `directions` is not empty.

    Args:
        cost: (N * M,), flat.
        band: largest |i - j|.
        directions: one for each step of each strip, two bits a lane as in `dtw_batch`: uint32 for
            float32, uint16 for float64; or empty.

    Returns the distance, and whether all sums were finite; if not, a cost may be infinite or NaN.
    """
    width = LANE_BYTES // cost.itemsize
    infinite = splat(cost.dtype.type(np.inf))
    total = splat(cost.dtype.type(0))
    # Column c is at c + width, so that every lane of every step has a place in it.
    above = np.full(columns + 2 * width, np.inf, cost.dtype)
    square = np.empty(width * width, cost.dtype)
    values = np.empty(width, cost.dtype)
    starts = np.empty(width, np.intp)
    is_finite = True
    left = infinite
    for first_row in range(0, rows, width):
        first, last = _steps_of(first_row, rows, columns, width, band)
        for row in range(width):
            starts[row] = (first_row + row) * columns - row
        left, diagonal = infinite, _first_diagonal(first_row, first, above, infinite, values)
        strip = first_row // width * (columns + width - 1)
        for block in range(first, last, width):
            is_whole = block >= width and block + width <= columns
            if is_whole and first_row + width <= rows:
                transpose(cost, starts, block, square, 0)
                for step in range(width):
                    total = total + load(square, step * width)
            else:
                is_finite &= _gather_edge(cost, first_row, rows, columns, block, square)
            for step in range(block, min(block + width, last)):
                own = load(square, (step - block) * width)
                if band < rows + columns:
                    own = _within_band(own, infinite, first_row, step, band, values)
                up = pushed(left, above[np.uint64(step + width)])
                straight = minimum(up, left)
                if len(directions):
                    across, upward = bits(diagonal <= straight), bits(up <= left)
                    directions[np.uint64(strip + step)] = (
                        across | upward | (across | ~upward) << np.uint32(width)
                    )
                left = own + minimum(diagonal, straight)
                diagonal = up
                above[np.uint64(step + 1)] = top(left)
    found = lane(left, (rows - 1) % width)
    store(values, 0, total)
    return float(found), is_finite and bool(np.isfinite(values.sum() + found))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def walk_back(directions: Any, rows: int, columns: int, width: int, path: Any) -> int:
    """Writes the path's cells into `path`, (N + M - 1, 2), last cell first; returns how many."""
    row, column, count = rows - 1, columns - 1, 0
    while True:
        path[count, 0], path[count, 1] = row, column
        count += 1
        if row == 0 and column == 0:
            return count
        inner = row % width
        step: Any = np.intp(directions[row // width * (columns + width - 1) + column + inner])
        row -= step >> inner & 1
        column -= step >> (width + inner) & 1


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _steps_of(first_row: int, rows: int, columns: int, width: int, band: int) -> tuple[int, int]:
    """Steps of a strip: from lane 0's first column in the band to the last row's last one."""
    inner = min(width, rows - first_row) - 1
    return max(0, first_row - band), min(columns, first_row + inner + band + 1) + inner


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _first_diagonal(first_row: int, first: int, above: Any, infinite: Any, values: Any) -> Any:
    if first_row == 0:
        return pushed(infinite, above.dtype.type(0))
    return pushed(infinite, above[first - 1 + len(values)])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _within_band(own: Any, infinite: Any, first_row: int, step: int, band: int, values: Any) -> Any:
    """`own` with an infinite cost in the lanes whose |row - column| is more than `band`."""
    offset = step - first_row  # column - row of lane 0; each further lane has 2 less
    if -band <= offset - 2 * (len(values) - 1) and offset <= band:
        return own
    for row in range(len(values)):
        values[row] = abs(offset - 2 * row)
    return choose(load(values, 0) <= splat(values.dtype.type(band)), own, infinite)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _gather_edge(
    cost: Any, first_row: int, rows: int, columns: int, block: int, square: Any
) -> bool:
    """A square of steps that reaches beyond the matrix; whether its costs are finite."""
    width = int(np.sqrt(len(square)))
    is_finite = True
    for step in range(width):
        for inner in range(width):
            row, column = first_row + inner, block + step - inner
            number = cost.dtype.type(np.inf)
            if row < rows and 0 <= column < columns:
                number = cost[row * columns + column]
                is_finite &= bool(np.isfinite(number))
            square[step * width + inner] = number
    return is_finite
