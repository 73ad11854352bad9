"""The loops behind `ranking`: arithmetic only, the arguments are checked there.

Rank correlations compare all pairs of a window, so windows lie side by side, one in each lane: a
comparison answers for sixteen windows of float32 or eight of float64, and nothing is sorted.
Precision compares a row's relevant items, side by side in lanes, with all items of that row.

Every function takes blocks [first_block, last_block) and says whether all sums of numbers were
finite; if not, a number may be infinite or NaN, and what was filled in means nothing.
"""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from limelight.kernels.lane_marks import (
    below,
    differ,
    either,
    equal,
    minus_marks,
    plus_marks,
    store_counts,
)
from limelight.kernels.lane_order import find_starts, to_lanes
from limelight.kernels.lanes import LANE_BYTES, load, splat, store


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _is_finite(total: Any, scratch: Any) -> bool:
    store(scratch, 0, total)
    return bool(np.isfinite(scratch).all())


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def kendall_blocks(
    predicted: Any,
    actual: Any,
    batch: int,
    length: int,
    first_block: int,
    last_block: int,
    tau: NDArray[np.float64],
) -> bool:
    """Kendall's tau of windows; both arrays are (B * N,), flat, `tau` is (B,) to fill."""
    width = LANE_BYTES // predicted.itemsize
    ours = np.empty(length * width, predicted.dtype)
    theirs = np.empty(length * width, predicted.dtype)
    starts = np.empty(width, np.intp)
    counts = np.empty(3 * width)
    none = splat(predicted.dtype.type(0))
    pairs = float(length * (length - 1) // 2)
    total = none
    for block in range(first_block, last_block):
        find_starts(block * width, batch, length, starts)
        to_lanes(predicted, starts, 0, length, ours)
        to_lanes(actual, starts, 0, length, theirs)
        # A pair takes 1 from the agreement when it is tied in either, 2 when it stands in opposite
        # order and is tied in neither.
        tied_ours, tied_theirs, taken = none, none, none
        for i in range(length):
            our, their = load(ours, i * width), load(theirs, i * width)
            total = total + (our + their)
            for j in range(i):
                our_other, their_other = load(ours, j * width), load(theirs, j * width)
                our_tie, their_tie = equal(our, our_other), equal(their, their_other)
                tied_ours = plus_marks(tied_ours, our_tie)
                tied_theirs = plus_marks(tied_theirs, their_tie)
                tie = either(our_tie, their_tie)
                unlike = either(tie, differ(below(our, our_other), below(their, their_other)))
                taken = plus_marks(plus_marks(taken, unlike), differ(unlike, tie))
        store_counts(counts, 0, tied_ours)
        store_counts(counts, width, tied_theirs)
        store_counts(counts, 2 * width, taken)
        for lane in range(min(width, batch - block * width)):
            untied = (pairs - counts[lane]) * (pairs - counts[width + lane])
            agreement = pairs - counts[2 * width + lane]
            # The root of k * k is exactly k, so full agreement is exactly 1; 0 / 0 is NaN.
            tau[block * width + lane] = agreement / math.sqrt(untied)
    return bool(_is_finite(total, np.empty(width, predicted.dtype)))


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def spearman_blocks(
    predicted: Any,
    actual: Any,
    batch: int,
    length: int,
    first_block: int,
    last_block: int,
    rho: NDArray[np.float64],
) -> bool:
    """Spearman's rho of windows; arguments as in `kendall_blocks`."""
    width = LANE_BYTES // predicted.itemsize
    ours = np.empty(length * width, predicted.dtype)
    theirs = np.empty(length * width, predicted.dtype)
    starts = np.empty(width, np.intp)
    ranks = np.empty(2 * width)
    sums = np.empty((3, width))
    none = splat(predicted.dtype.type(0))
    total = none
    for block in range(first_block, last_block):
        find_starts(block * width, batch, length, starts)
        to_lanes(predicted, starts, 0, length, ours)
        to_lanes(actual, starts, 0, length, theirs)
        sums[...] = 0
        # Twice the distance of a mean rank from the middle one is a whole number: how many items
        # are smaller, less how many are larger.
        for i in range(length):
            our, their = load(ours, i * width), load(theirs, i * width)
            total = total + (our + their)
            our_rank, their_rank = none, none
            for j in range(length):
                our_other, their_other = load(ours, j * width), load(theirs, j * width)
                our_rank = plus_marks(our_rank, below(our_other, our))
                our_rank = minus_marks(our_rank, below(our, our_other))
                their_rank = plus_marks(their_rank, below(their_other, their))
                their_rank = minus_marks(their_rank, below(their, their_other))
            store_counts(ranks, 0, our_rank)
            store_counts(ranks, width, their_rank)
            for lane in range(width):
                sums[0, lane] += ranks[lane] * ranks[width + lane]
                sums[1, lane] += ranks[lane] * ranks[lane]
                sums[2, lane] += ranks[width + lane] * ranks[width + lane]
        for lane in range(min(width, batch - block * width)):
            rho[block * width + lane] = sums[0, lane] / math.sqrt(sums[1, lane] * sums[2, lane])
    return bool(_is_finite(total, np.empty(width, predicted.dtype)))


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def precision_rows(
    scores: Any,
    relevant: Any,
    length: int,
    is_interpolated: bool,
    first_row: int,
    last_row: int,
    precision: NDArray[np.float64],
) -> bool:
    """Average precision of rows; `scores` and `relevant` are (B * N,), flat, a row is a block.

    At a relevant item's score, `seen` items lie at or above it and `hits` of them are relevant:
    hits / seen is the precision there, whatever the order among equal scores.
    """
    width = LANE_BYTES // scores.itemsize
    wanted = np.empty(length + width, scores.dtype)
    others = np.empty(length + 1, scores.dtype)
    hits = np.empty(length + width)
    seen = np.empty(length + width)
    best = np.empty(length + 1 if is_interpolated else 0)
    none = splat(scores.dtype.type(0))
    wanted[:] = 0
    finite = True
    for row in range(first_row, last_row):
        found, rest, total = 0, 0, scores.dtype.type(0)
        for item in range(row * length, (row + 1) * length):
            # Both are written and one is kept: no branch to guess.
            wanted[found] = others[rest] = scores[item]
            total += scores[item]
            found += relevant[item]
            rest += 1 - relevant[item]
        finite &= bool(np.isfinite(total))
        for first in range(0, found, width):
            own, under = load(wanted, first), none
            for item in range(found):
                under = plus_marks(under, below(splat(wanted[item]), own))
            store_counts(hits, first, under)
            for item in range(rest):
                under = plus_marks(under, below(splat(others[item]), own))
            store_counts(seen, first, under)
        if not found:
            precision[row] = np.nan
        elif is_interpolated:
            precision[row] = _interpolated(hits, seen, found, length, best)
        else:
            sum_ = 0.0
            for item in range(found):
                sum_ += (found - hits[item]) / (length - seen[item])
            precision[row] = sum_ / found
    return finite


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _interpolated(hits: Any, seen: Any, found: int, length: int, best: Any) -> float:
    """Mean of the best precision from each distinct score of a relevant item downwards."""
    best[:] = 0
    for item in range(found):
        best[length - int(seen[item])] = (found - hits[item]) / (length - seen[item])
    sum_, distinct, largest = 0.0, 0, 0.0
    for place in range(length, 0, -1):
        if best[place]:
            largest = max(largest, best[place])
            sum_ += largest
            distinct += 1
    return sum_ / distinct


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def trapezoid_rows(
    scores: Any,
    relevant: Any,
    length: int,
    k: int,
    first_row: int,
    last_row: int,
    area: NDArray[np.float64],
) -> bool:
    """Area under precision over recall among the best k; arguments as in `precision_rows`."""
    finite = True
    for row in range(first_row, last_row):
        own = scores[row * length : (row + 1) * length]
        finite &= bool(np.isfinite(own).all())
        order = np.argsort(-own, kind="mergesort")
        hits, sum_, before = 0, 0.0, 1.0
        for place in range(min(k, length)):
            hit = relevant[row * length + order[place]]
            hits += hit
            here = hits / (place + 1)
            sum_ += hit * (before + here) / 2
            before = here
        area[row] = sum_ / hits if hits else 0.0
    return finite


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def ndcg_rows(
    scores: Any,
    gains: Any,
    length: int,
    k: int,
    first_row: int,
    last_row: int,
    ndcg: NDArray[np.float64],
) -> bool:
    """NDCG of rows; `scores` and `gains` are (B * N,), flat, a row is a block."""
    # discounts[p] is what places before p are worth together.
    discounts = np.empty(length + 1)
    discounts[0] = 0
    for place in range(length):
        own_share = 1 / math.log2(place + 2) if place < k else 0.0
        discounts[place + 1] = discounts[place] + own_share
    finite = True
    for row in range(first_row, last_row):
        own = scores[row * length : (row + 1) * length]
        gain = gains[row * length : (row + 1) * length]
        finite &= bool(np.isfinite(own).all() and np.isfinite(gain).all())
        order = np.argsort(-own)
        ideal = -np.sort(-gain)
        reached, possible, first = 0.0, 0.0, 0
        while first < min(k, length):
            # Equal scores share their places: any order among them is as likely.
            last, together = first, 0.0
            while last < length and own[order[last]] == own[order[first]]:
                together += gain[order[last]]
                last += 1
            if last == first:
                return False
            reached += together / (last - first) * (discounts[last] - discounts[first])
            first = last
        for place in range(min(k, length)):
            possible += ideal[place] * (discounts[place + 1] - discounts[place])
        # Sums of ties may round to a little more than 1.
        ndcg[row] = min(1.0, reached / possible) if possible else np.nan
    return finite
