"""Area under the ROC curve of counted items, of many resamples of their groups at once.

An item is a segment with its clicks (positive) and its impressions without one (negative); a group
is a room. A resample weighs groups anew; items are sorted once for all of them.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from limelight.kernels.threads import run_in_threads

Floats = NDArray[np.float64]
# Resamples that go over the items together: their sums stay in the first cache.
_TOGETHER = 64


def resampled_auc(
    scores: NDArray[np.floating[Any]],
    positive: NDArray[np.floating[Any]],
    negative: NDArray[np.floating[Any]],
    groups: NDArray[np.integer[Any]],
    weights: NDArray[np.floating[Any]],
    *,
    threads: int = 1,
) -> Floats:
    """(B,) the chance that a positive scores above a negative, a tie counting half.

    NaN where a resample has no positive or no negative.

    Worked example: scores 2 and 1, the first with 3 positive and 1 negative, the second with 1 and
    1, one group of weight 1: of 4 * 2 pairs 3 are in order, 3 + 1 are ties, 1 is not: 5 / 8.

    Args:
        scores: (n,) finite, higher is more likely positive.
        positive, negative: (n,) how many of each an item stands for, 0 or more.
        groups: (n,) each item's group, 0 to G - 1.
        weights: (G, B) how often a resample has a group, 0 or more.
        threads: how many to use; the GIL is not held.

    Raises:
        ValueError: lengths that differ, a group outside of `weights`, scores that are not finite,
            counts or weights below 0 or not finite.
    """
    for name, array in (("positive", positive), ("negative", negative), ("groups", groups)):
        if array.shape != scores.shape or scores.ndim != 1:
            raise ValueError(
                f"{name}: found shape {array.shape}, expected one axis, {scores.shape} as scores"
            )
    if weights.ndim != 2:
        raise ValueError(f"weights: found shape {weights.shape}, expected (groups, resamples)")
    if not np.isfinite(scores).all():
        raise ValueError("scores: found NaN or infinity, expected finite numbers")
    for name, array in (("positive", positive), ("negative", negative), ("weights", weights)):
        if not (np.isfinite(array) & (array >= 0)).all():
            raise ValueError(f"{name}: found one below 0 or not finite, expected 0 or more")
    if groups.size and not (groups.min() >= 0 and groups.max() < len(weights)):
        raise ValueError(
            f"groups: found {groups.min()} to {groups.max()}, expected 0 to {len(weights) - 1}"
        )
    answers = np.empty(weights.shape[1])
    if not weights.shape[1]:
        return answers
    # Nothing that stands for no one takes part.
    counted = (positive > 0) | (negative > 0)
    order = np.argsort(scores[counted], kind="stable")
    ordered = scores[counted][order]
    ends_tie = np.ones(len(order), np.bool_)
    ends_tie[:-1] = ordered[1:] != ordered[:-1]
    inputs = (
        positive[counted][order].astype(np.float64),
        negative[counted][order].astype(np.float64),
        groups[counted][order].astype(np.intp),
        ends_tie,
        _blocks_of(weights),
    )
    blocks = len(inputs[-1])
    run_in_threads(_auc_blocks, inputs, blocks, (answers,), threads)
    return answers


def _blocks_of(weights: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """(blocks, G, 64): each block's weights together, so that a block stays in a cache."""
    groups, resamples = weights.shape
    blocks = -(-resamples // _TOGETHER)
    padded = np.zeros((groups, blocks * _TOGETHER), np.float32)
    padded[:, :resamples] = weights
    return np.ascontiguousarray(padded.reshape(groups, blocks, _TOGETHER).swapaxes(0, 1))


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _auc_blocks(
    positive: Any,
    negative: Any,
    groups: Any,
    ends_tie: Any,
    weights: Any,
    first_block: int,
    last_block: int,
    auc: Any,
) -> bool:
    """Fill `auc` for blocks of resamples; items are in ascending order of their scores."""
    area = np.empty(_TOGETHER)
    below = np.empty(_TOGETHER)
    total = np.empty(_TOGETHER)
    tied_positive = np.zeros(_TOGETHER)
    tied_negative = np.zeros(_TOGETHER)
    for block in range(first_block, last_block):
        area[:] = 0
        below[:] = 0
        total[:] = 0
        in_tie = False
        for item in range(len(groups)):
            own = weights[block, groups[item]]
            hits, misses = positive[item], negative[item]
            if ends_tie[item] and not in_tie:
                for i in range(_TOGETHER):
                    missed = misses * own[i]
                    hit = hits * own[i]
                    area[i] += hit * (below[i] + 0.5 * missed)
                    below[i] += missed
                    total[i] += hit
                continue
            in_tie = True
            for i in range(_TOGETHER):
                tied_positive[i] += hits * own[i]
                tied_negative[i] += misses * own[i]
            if ends_tie[item]:
                for i in range(_TOGETHER):
                    area[i] += tied_positive[i] * (below[i] + 0.5 * tied_negative[i])
                    below[i] += tied_negative[i]
                    total[i] += tied_positive[i]
                    tied_positive[i] = 0.0
                    tied_negative[i] = 0.0
                in_tie = False
        for i in range(_TOGETHER):
            at = block * _TOGETHER + i
            if at < len(auc):
                pairs = total[i] * below[i]
                auc[at] = area[i] / pairs if pairs > 0 else np.nan
    return True
