"""DTW of many matrices side by side, one in each lane: sixteen of float32, eight of float64.

One matrix offers little to do at once: a cell needs its left neighbour. Matrices side by side are
independent, so every step works on full vectors. Their costs are turned round into lane
order first (`_Group`: as many rows as fit the cache), and the answer of each lane is read off.

A matrix may be shorter than (N, M): lanes then run on over padding that no earlier cell depends on.
"""

import math
from typing import Any

import numpy as np
from numba import njit

from limelight.kernels.lane_order import find_starts, to_lanes
from limelight.kernels.lane_powers import exponent, floor, mantissa, two_to, two_to_fraction
from limelight.kernels.lanes import (
    LANE_BYTES,
    bits,
    load,
    maximum,
    minimum,
    splat,
    store,
    transpose,
)

# Numbers of a matrix that are brought into lane order together: 64 KB in float32.
_GROUP = 1_024
_LOG2_E = 1 / math.log(2)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _clear_padding(
    lanes: Any, first_row: int, rows: int, columns: int, lengths: Any, first: int, width: int
) -> None:
    """Zeros beyond each lane's lengths: what stands there may be anything."""
    for lane in range(width):
        pair = min(first + lane, len(lengths) - 1)
        for row in range(rows):
            kept = lengths[pair, 1] if first_row + row < lengths[pair, 0] else 0
            for column in range(kept, columns):
                lanes[(row * columns + column) * width + lane] = 0


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def hard_blocks(
    cost: Any,
    batch: int,
    rows: int,
    columns: int,
    lengths: Any,
    band: int,
    first_block: int,
    last_block: int,
    distances: Any,
    mask: Any,
) -> bool:
    """Hard distances of blocks of lanes, and their paths where `mask` is not empty.

    Returns whether all costs that were looked at and all distances are finite.

    Args:
        cost: (B * N * M,), flat.
        lengths: (B, 2), or (0, 2) where all matrices are (N, M).
        band: largest |i - j|.
        distances: (B,) to fill.
        mask: (B * N * M,) of zeros to set to one along the path, or (0,).
    """
    width = LANE_BYTES // cost.itemsize
    size = rows * columns
    group = max(1, _GROUP // columns)
    lanes = np.empty(max(min(group, rows) * columns, width) * width, cost.dtype)
    above = np.empty(columns * width, cost.dtype)
    steps = np.empty(size if len(mask) else 0, np.uint32)
    found = np.empty(width, cost.dtype)
    starts = np.empty(width, np.intp)
    infinite = splat(cost.dtype.type(np.inf))
    zero = splat(cost.dtype.type(0))
    is_finite = True
    for block in range(first_block, last_block):
        base = block * width
        find_starts(base, batch, size, starts)
        total = zero
        for column in range(columns):
            store(above, column * width, infinite)
        for row in range(rows):
            if row % group == 0:
                taken = min(group, rows - row)
                to_lanes(cost, starts, row * columns, taken * columns, lanes)
                if len(lengths):
                    _clear_padding(lanes, row, taken, columns, lengths, base, width)
            first, last = min(columns, max(0, row - band)), min(columns, row + band + 1)
            left = infinite
            diagonal = infinite if row else zero
            if first:
                diagonal = load(above, (first - 1) * width)
            place = (row % group) * columns
            for column in range(first, last):
                own = load(lanes, (place + column) * width)
                up = load(above, column * width)
                straight = minimum(up, left)
                if len(steps):
                    across, upward = bits(diagonal <= straight), bits(up <= left)
                    steps[np.uint64(row * columns + column)] = (
                        across | upward | (across | ~upward) << np.uint32(16)
                    )
                total = total + own * zero
                left = own + minimum(diagonal, straight)
                store(above, column * width, left)
                diagonal = up
            if len(lengths):
                for lane in range(width):
                    pair = min(base + lane, batch - 1)
                    if lengths[pair, 0] == row + 1:
                        found[lane] = above[(lengths[pair, 1] - 1) * width + lane]
        if not len(lengths):
            store(found, 0, load(above, (columns - 1) * width))
        store(lanes, 0, total)
        for lane in range(min(width, batch - base)):
            # A path must not be followed through NaN: it would leave the matrix.
            distances[base + lane] = found[lane] if np.isfinite(lanes[lane]) else np.nan
            is_finite &= bool(np.isfinite(distances[base + lane]))
        if len(mask):
            _mark_paths(steps, columns, distances, lengths, starts, base, mask)
    return is_finite


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _mark_paths(
    steps: Any, columns: int, distances: Any, lengths: Any, starts: Any, base: int, mask: Any
) -> None:
    """Walks back through the matrices of a block, four side by side so that no step waits.

    Bit `lane` of a cell's steps says whether the path came from the row above, bit `16 + lane`
    whether from the column before. The border is never left: beyond it all sums are infinite.
    """
    steps[0] = 0
    places = np.zeros(len(starts), np.intp)
    for lane in range(len(starts)):
        pair = min(base + lane, len(distances) - 1)
        if np.isfinite(distances[pair]):
            places[lane] = len(steps) - 1
            if len(lengths):
                places[lane] = (lengths[pair, 0] - 1) * columns + lengths[pair, 1] - 1
    # Unsigned indexes: Numba looks whether any other is negative, at each step.
    width = np.uint64(columns)
    for lane in range(0, min(len(starts), len(distances) - base), 4):
        a, b = np.uint64(places[lane]), np.uint64(places[lane + 1])
        c, d = np.uint64(places[lane + 2]), np.uint64(places[lane + 3])
        in_a, in_b = np.uint64(starts[lane]), np.uint64(starts[lane + 1])
        in_c, in_d = np.uint64(starts[lane + 2]), np.uint64(starts[lane + 3])
        while a | b | c | d:
            mask[in_a + a] = mask[in_b + b] = mask[in_c + c] = mask[in_d + d] = 1
            a -= _step_back(steps[a] >> np.uint32(lane), width)
            b -= _step_back(steps[b] >> np.uint32(lane + 1), width)
            c -= _step_back(steps[c] >> np.uint32(lane + 2), width)
            d -= _step_back(steps[d] >> np.uint32(lane + 3), width)
        mask[in_a] = mask[in_b] = mask[in_c] = mask[in_d] = 1


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _step_back(step: Any, columns: Any) -> Any:
    up, left = step & np.uint32(1), step >> np.uint32(16) & np.uint32(1)
    return (columns if up else np.uint64(0)) + np.uint64(left)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def soft_blocks(
    cost: Any,
    batch: int,
    rows: int,
    columns: int,
    lengths: Any,
    band: int,
    gamma: float,
    first_block: int,
    last_block: int,
    distances: Any,
    alignment: Any,
) -> bool:
    """Soft distances of blocks of lanes, and expected alignments where `alignment` is not empty.

    A cell's soft distance d is kept as z = 2**(-d / gamma / ln 2), a mantissa and an exponent of
    its own: nothing under- or overflows, and adding up three predecessors takes no logarithm.
    What each predecessor had of the sum is the chance of the step from it; the expected alignment
    is these chances multiplied back from the last cell.

    Arguments as in `hard_blocks`; `alignment` is (B * N * M,) to fill, or (0,). Returns whether all
    sums were finite; if not, a cost may be infinite or NaN.
    """
    width = LANE_BYTES // cost.itemsize
    dtype = cost.dtype.type
    size = rows * columns
    group = max(1, _GROUP // columns)
    lanes = np.empty(max(min(group, rows) * columns, width) * width, cost.dtype)
    above = np.empty(columns * width, cost.dtype)
    above_exponent = np.empty(columns * width, cost.dtype)
    chances = np.empty(3 * max(size, width) * width if len(alignment) else 0, cost.dtype)
    ends = np.empty((width, 2), np.intp)
    found = np.empty((width, 2), cost.dtype)
    starts = np.empty(width, np.intp)
    in_bits = splat(dtype(-_LOG2_E / gamma))
    half, one, zero = splat(dtype(0.5)), splat(dtype(1)), splat(dtype(0))
    # The exponent of nothing. Where nothing comes from anywhere, all chances are 0.
    lowest = splat(dtype(-np.inf))
    tiny = splat(np.finfo(cost.dtype).tiny)
    is_finite = True
    for block in range(first_block, last_block):
        base = block * width
        find_starts(base, batch, size, starts)
        for lane in range(width):
            pair = min(base + lane, batch - 1)
            ends[lane, 0] = (lengths[pair, 0] if len(lengths) else rows) - 1
            ends[lane, 1] = (lengths[pair, 1] if len(lengths) else columns) - 1
        total = zero
        for column in range(columns):
            store(above, column * width, zero)
            store(above_exponent, column * width, lowest)
        for row in range(rows):
            if row % group == 0:
                taken = min(group, rows - row)
                to_lanes(cost, starts, row * columns, taken * columns, lanes)
                if len(lengths):
                    _clear_padding(lanes, row, taken, columns, lengths, base, width)
            first, last = min(columns, max(0, row - band)), min(columns, row + band + 1)
            left, left_exponent = zero, lowest
            diagonal, diagonal_exponent = zero, lowest
            if row == 0:
                diagonal, diagonal_exponent = one, zero
            if first:
                diagonal = load(above, (first - 1) * width)
                diagonal_exponent = load(above_exponent, (first - 1) * width)
            place = (row % group) * columns
            for column in range(first, last):
                own = load(lanes, (place + column) * width)
                total = total + own * zero
                own = own * in_bits
                own_exponent = floor(own + half)
                own = two_to_fraction(own - own_exponent)
                up = load(above, column * width)
                up_exponent = load(above_exponent, column * width)
                common = maximum(diagonal_exponent, maximum(up_exponent, left_exponent))
                from_diagonal = diagonal * two_to(diagonal_exponent - common)
                from_up = up * two_to(up_exponent - common)
                from_left = left * two_to(left_exponent - common)
                gathered = from_diagonal + (from_up + from_left)
                if len(chances):
                    share = one / maximum(gathered, tiny)
                    cell = 3 * (row * columns + column) * width
                    store(chances, cell, from_diagonal * share)
                    store(chances, cell + width, from_up * share)
                    store(chances, cell + 2 * width, from_left * share)
                product = gathered * own
                left_exponent = common + own_exponent + exponent(product)
                left = mantissa(product)
                store(above, column * width, left)
                store(above_exponent, column * width, left_exponent)
                diagonal, diagonal_exponent = up, up_exponent
            for lane in range(width):
                if ends[lane, 0] == row:
                    found[lane, 0] = above[ends[lane, 1] * width + lane]
                    found[lane, 1] = above_exponent[ends[lane, 1] * width + lane]
        store(lanes, 0, total)
        for lane in range(min(width, batch - base)):
            logarithm = math.log2(np.float64(found[lane, 0])) + np.float64(found[lane, 1])
            distance = -gamma / _LOG2_E * logarithm
            distances[base + lane] = distance if np.isfinite(lanes[lane]) else np.nan
            is_finite &= bool(np.isfinite(distances[base + lane]))
        if len(alignment):
            _expect_alignment(chances, ends, rows, columns, band, above)
            _from_lanes(chances, starts, size, alignment)
    return is_finite


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _expect_alignment(
    chances: Any, ends: Any, rows: int, columns: int, band: int, arriving: Any
) -> None:
    """How likely a path goes through each cell; it replaces the cell's first chance.

    `arriving` holds what comes into each column of the row from the row below, along both steps.
    """
    width = len(ends)
    zero = splat(chances.dtype.type(0))
    for column in range(columns):
        store(arriving, column * width, zero)
    for row in range(rows - 1, -1, -1):
        first, last = min(columns, max(0, row - band)), min(columns, row + band + 1)
        for lane in range(width):
            if ends[lane, 0] == row:
                arriving[ends[lane, 1] * width + lane] += 1
        for column in range(last, columns):
            store(chances, 3 * (row * columns + column) * width, zero)
        for column in range(first):
            store(chances, 3 * (row * columns + column) * width, zero)
        from_right, from_corner = zero, zero
        for column in range(last - 1, first - 1, -1):
            cell = 3 * (row * columns + column) * width
            expected = load(arriving, column * width) + from_right
            up = expected * load(chances, cell + width)
            store(arriving, column * width, up + from_corner)
            from_corner = expected * load(chances, cell)
            from_right = expected * load(chances, cell + 2 * width)
            store(chances, cell, expected)
        if first:
            store(arriving, (first - 1) * width, from_corner)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _from_lanes(chances: Any, starts: Any, size: int, alignment: Any) -> None:
    """The first chances of all cells back to each lane's own matrix."""
    width = len(starts)
    square = np.empty(width * width, chances.dtype)
    cells = np.arange(width) * 3 * width
    if size < width:
        for cell in range(size):
            for lane in range(width):
                alignment[starts[lane] + cell] = chances[3 * cell * width + lane]
        return
    for number in range(0, size, width):
        cell = min(number, size - width)
        transpose(chances, cells, 3 * cell * width, square, 0)
        for lane in range(width):
            store(alignment, starts[lane] + cell, load(square, lane * width))
