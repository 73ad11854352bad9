"""Intervals by drawing rooms anew, and tests by swapping two models room by room.

Rooms, not segments, are the unit: the segments of a room resemble each other, and intervals over
segments would be too narrow.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from limelight.kernels.auc import resampled_auc
from limelight.replay.evaluation.options import EvaluationOptions
from limelight.replay.evaluation.result import MEASURES, Estimate
from limelight.replay.evaluation.statistics import RATIOS, Floats, Judged, Mask, Statistics

_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Swaps:
    """(B, R) which rooms' models are swapped; `is_exact` where these are all there are."""

    swapped: NDArray[np.bool_]
    is_exact: bool


@dataclass(frozen=True, slots=True)
class ClickOrder:
    """A model's segments for AUC: predictions, impressions with and without a click, their room."""

    predicted: Floats
    positive: Floats
    negative: Floats
    owner: NDArray[np.int64]

    def renumbered(self, number_of: NDArray[np.int64]) -> "ClickOrder":
        """With rooms counted anew."""
        return ClickOrder(self.predicted, self.positive, self.negative, number_of[self.owner])


def draw_rooms(rooms: int, options: EvaluationOptions) -> Floats:
    """(B, R) how often each resample has each room; every row sums to R."""
    random = np.random.default_rng([options.seed, 0])
    drawn = random.integers(0, rooms, (options.resamples, rooms))
    drawn += np.arange(options.resamples)[:, None] * rooms
    counts = np.bincount(drawn.ravel(), minlength=options.resamples * rooms)
    return counts.reshape(options.resamples, rooms).astype(np.float64)


def draw_swaps(rooms: int, options: EvaluationOptions) -> Swaps:
    """Random swaps, or all of them where there are no more than resamples."""
    if 2**rooms <= options.resamples:
        every = np.arange(2**rooms)[:, None] >> np.arange(rooms)
        return Swaps((every & 1).astype(np.bool_), is_exact=True)
    random = np.random.default_rng([options.seed, 1])
    return Swaps(random.random((options.resamples, rooms)) < 0.5, is_exact=False)


def click_order(judged: Judged, model: str, seen: Mask) -> ClickOrder:
    """What AUC is counted over; segments whose CTR nobody knows stand for no impression."""
    at = np.flatnonzero(seen & (judged.positive + judged.negative > 0))
    # A share of its own model's predictions: swapping models of different scales swaps orders only.
    _, places, counts = np.unique(
        judged.predicted[model][at], return_inverse=True, return_counts=True
    )
    ranks = (np.cumsum(counts) - (counts - 1) / 2) / max(1, len(at))
    return ClickOrder(ranks[places], judged.positive[at], judged.negative[at], judged.owner[at])


def resampled_measures(
    statistics: Statistics, clicks: ClickOrder, counts: Floats, options: EvaluationOptions
) -> dict[str, Floats]:
    """(B,) of each measure, NaN where a resample has none; `counts` is (B, R)."""
    found = _of_sums(
        counts @ statistics.above,
        counts @ statistics.below,
        np.tensordot(counts, statistics.bins, 1),
    )
    found["auc"] = resampled_auc(
        clicks.predicted,
        clicks.positive,
        clicks.negative,
        clicks.owner,
        counts.T,
        threads=options.threads,
    )
    return {name: found[name] for name in MEASURES}


def swapped_differences(
    ours: tuple[Statistics, ClickOrder],
    theirs: tuple[Statistics, ClickOrder],
    swapped: NDArray[np.bool_],
    options: EvaluationOptions,
) -> dict[str, Floats]:
    """(B,) of each measure: the difference that is left once rooms are swapped."""
    swap = swapped.astype(np.float64)
    names = ("above", "below", "bins")
    first, second = [], []
    for name in names:
        our, their = getattr(ours[0], name), getattr(theirs[0], name)
        moved = np.tensordot(swap, their - our, 1)
        first.append(our.sum(axis=0) + moved)
        second.append(their.sum(axis=0) - moved)
    of, minus = _of_sums(*first), _of_sums(*second)
    both = [
        np.concatenate([getattr(ours[1], name), getattr(theirs[1], name)])
        for name in ("predicted", "positive", "negative")
    ]
    # Each model's rooms are groups of their own, and a resample has a room from one of the two.
    groups = np.concatenate([ours[1].owner, theirs[1].owner + swap.shape[1]])
    of["auc"], minus["auc"] = (
        resampled_auc(
            both[0], both[1], both[2], groups, np.vstack(weights), threads=options.threads
        )
        for weights in ((1 - swap.T, swap.T), (swap.T, 1 - swap.T))
    )
    return {name: of[name] - minus[name] for name in MEASURES}


def estimate(value: float, resampled: Floats, rooms: int, options: EvaluationOptions) -> Estimate:
    """The value with its percentile interval; one room cannot say how rooms differ."""
    defined = resampled[~np.isnan(resampled)]
    if np.isnan(value) or rooms < 2 or not defined.size:
        return Estimate(float(value), _NAN, _NAN)
    tail = (1 - options.confidence) / 2
    low, high = np.quantile(defined, (tail, 1 - tail))
    return Estimate(float(value), float(low), float(high))


def p_value(difference: float, swapped: Floats, *, is_exact: bool) -> float:
    """The share of swaps that leave at least such a difference; random ones count the one found."""
    defined = swapped[~np.isnan(swapped)]
    if np.isnan(difference) or not defined.size:
        return _NAN
    # Sums in another order differ in their last bits.
    as_large = int((np.abs(defined) >= abs(difference) - 1e-9 * (1 + abs(difference))).sum())
    if is_exact:
        return as_large / defined.size
    return (1 + as_large) / (1 + defined.size)


def reliability(statistics: Statistics) -> tuple[tuple[float, float, float], ...]:
    """(mean predicted, mean measured, impressions) of each bin that has any."""
    return tuple(
        (float(predicted / weight), float(clicks / weight), float(weight))
        for weight, predicted, clicks in statistics.bins.sum(axis=0)
        if weight > 0
    )


def _of_sums(above: Floats, below: Floats, bins: Floats) -> dict[str, Floats]:
    """(B,) of each measure but AUC, from (B, measures) and (B, bins, 3) sums."""
    # What a swap takes away again leaves dust where nothing was.
    below = np.where(below > 1e-9, below, np.nan)
    values = above / below
    found = {name: values[:, column] for column, name in enumerate(RATIOS)}
    weight = bins[..., 0].sum(axis=1)
    distance = np.abs(bins[..., 1] - bins[..., 2]).sum(axis=1)
    found["calibration_error"] = distance / np.where(weight > 1e-9, weight, np.nan)
    return found
