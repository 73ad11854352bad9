"""What each room adds to each measure, worked out once; all resampling is of these sums.

Every measure but AUC is a function of sums over rooms. Most are one sum over another: a mean over
windows, segments, impressions, rooms or highlights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limelight.kernels.ranking import average_precision, hit_at_1
from limelight.models.training.evaluation import known_taus, log_losses, window_taus
from limelight.replay.evaluation.highlights import (
    Detected,
    Interval,
    best_segments,
    detect,
    matches,
    true_intervals,
)
from limelight.replay.evaluation.options import EvaluationOptions
from limelight.replay.evaluation.rooms import JudgedRoom

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

# The measures that are one sum over another.
RATIOS = (
    "tau",
    "room_tau",
    "log_loss",
    "mean_ratio",
    "ratio_of_means",
    "map",
    "hit_at_1",
    "precision",
    "recall",
    "time_to_detect_s",
    "highlights_an_hour",
)
_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Found:
    """A model's highlights and what became of the true intervals, over all rooms, row by row.

    A highlight's and an interval's place is the segment it begins in, counted over all rooms. Only
    judged highlights were where something is known. `delay_s` is NaN where nothing was detected.
    """

    highlight_at: NDArray[np.int64]
    is_judged: Mask
    is_right: Mask
    interval_at: NDArray[np.int64]
    is_detected: Mask
    delay_s: Floats


@dataclass(frozen=True, slots=True)
class Judged:
    """All rooms' segments after each other, n in all, and what does not depend on a slice.

    `places` is each segment's room among `rooms`; `owner` its room id's number, since a room may
    come in several pieces, and pieces of one room are drawn together. `positive` and `negative` are
    impressions with and without a click where the CTR is known, else 0; a CTR without counts is
    one impression.
    """

    rooms: Sequence[JudgedRoom]
    owners: int
    places: NDArray[np.int64]
    owner: NDArray[np.int64]
    measured: NDArray[np.float32]
    positive: Floats
    negative: Floats
    best: Mask
    predicted: dict[str, NDArray[np.float32]]
    found: dict[str, Found]


@dataclass(frozen=True, slots=True)
class Statistics:
    """One model's sums: (R, measures) above and below, (R, bins, 3) impressions, sums of predicted
    and of measured CTR over them."""

    above: Floats
    below: Floats
    bins: Floats

    def of_rooms(self, rooms: NDArray[np.int64]) -> "Statistics":
        """Those of some rooms alone."""
        return Statistics(self.above[rooms], self.below[rooms], self.bins[rooms])


def judge(rooms: Sequence[JudgedRoom], models: Sequence[str], options: EvaluationOptions) -> Judged:
    """The rooms made ready."""
    lengths = np.array([len(room) for room in rooms])
    numbers: dict[str, int] = {}
    owner_of_room = [numbers.setdefault(room.room_id, len(numbers)) for room in rooms]
    measured = np.concatenate([np.asarray(room.measured, np.float32) for room in rooms])
    viewers = np.concatenate([np.asarray(room.viewers, np.float64) for room in rooms])
    clicks = np.concatenate([np.asarray(room.clicks, np.float64) for room in rooms])
    counted = viewers > 0
    ctr = measured.astype(np.float64)
    positive = np.where(counted, clicks, ctr)
    negative = np.where(counted, viewers - clicks, 1 - ctr)
    unknown = np.isnan(measured)
    positive[unknown] = negative[unknown] = 0
    best = [best_segments(room.measured, options.top_share) for room in rooms]
    intervals = [true_intervals(room, own) for room, own in zip(rooms, best, strict=True)]
    return Judged(
        rooms=rooms,
        owners=len(numbers),
        places=np.repeat(np.arange(len(rooms)), lengths),
        owner=np.repeat(np.array(owner_of_room), lengths),
        measured=measured,
        positive=positive,
        negative=negative,
        best=np.concatenate(best),
        predicted={
            model: np.concatenate(
                [np.asarray(room.predictions[model], np.float32) for room in rooms]
            )
            for model in models
        },
        found={model: _found(rooms, intervals, model, options) for model in models},
    )


def room_statistics(
    judged: Judged, model: str, seen: Mask, options: EvaluationOptions
) -> Statistics:
    """What each of the R rooms adds, looking only at the segments that are `seen`, (n,)."""
    predicted = judged.predicted[model].astype(np.float64)
    # CTRs are compared as they came, in float32: rounding must not break their ties.
    measured = np.where(seen, judged.measured, np.float32(np.nan))
    known = ~np.isnan(measured)
    owner, weight = judged.owner, judged.positive + judged.negative
    ctr = np.where(known, measured, 0).astype(np.float64)
    sums: dict[str, tuple[Floats, Floats]] = {}

    def add(name: str, at: NDArray[np.int64], above: NDArray[Any], below: NDArray[Any]) -> None:
        sums[name] = _sum(at, above, judged.owners), _sum(at, below, judged.owners)

    def mean(name: str, at: NDArray[np.int64], values: Floats) -> None:
        defined = ~np.isnan(values)
        add(name, at, np.where(defined, values, 0), defined)

    ends = np.cumsum([len(room) for room in judged.rooms])
    by_room = np.split(judged.predicted[model], ends[:-1]), np.split(measured, ends[:-1])
    taus = window_taus(*by_room, options.window_length)
    owner_of_room = owner[ends - 1]
    mean("tau", np.repeat(owner_of_room, [len(each) for each in taus]), np.concatenate(taus))
    whole = _of_rooms(judged, model, measured)
    for name, values in zip(("room_tau", "map", "hit_at_1"), whole, strict=True):
        mean(name, owner_of_room, values)
    # Judged on what was clicked: a CTR's weight is its impressions.
    losses = log_losses(predicted, np.divide(judged.positive, weight, where=known, out=ctr.copy()))
    impressions = np.where(known, weight, 0.0)
    add("log_loss", owner, losses * impressions, impressions)
    clicked = ctr > 0
    ratio = np.divide(predicted, ctr, out=np.zeros_like(ctr), where=clicked)
    add("mean_ratio", owner, ratio, clicked)
    add("ratio_of_means", owner, np.where(known, predicted, 0), ctr)
    found = judged.found[model]
    is_judged = found.is_judged & seen[found.highlight_at]
    add("precision", owner[found.highlight_at], is_judged & found.is_right, is_judged)
    wanted = seen[found.interval_at]
    mean("recall", owner[found.interval_at], np.where(wanted, found.is_detected * 1.0, np.nan))
    mean("time_to_detect_s", owner[found.interval_at], np.where(wanted, found.delay_s, np.nan))
    hours = np.array([room.segment_ms for room in judged.rooms])[judged.places] / _HOUR_MS
    opened = seen[found.highlight_at]
    sums["highlights_an_hour"] = (
        _sum(owner[found.highlight_at], opened, judged.owners),
        _sum(owner, np.where(seen, hours, 0), judged.owners),
    )
    return Statistics(
        above=np.stack([sums[name][0] for name in RATIOS], axis=1),
        below=np.stack([sums[name][1] for name in RATIOS], axis=1),
        bins=_bins(judged, predicted, known, options),
    )


def _sum(at: NDArray[np.int64], values: NDArray[Any], owners: int) -> Floats:
    return np.bincount(at, values, owners).astype(np.float64)


def _of_rooms(
    judged: Judged, model: str, measured: NDArray[np.float32]
) -> tuple[Floats, Floats, Floats]:
    """Kendall's tau, average precision and hit at 1 of each room, NaN where it has none."""
    known = ~np.isnan(measured)
    counts = np.bincount(judged.places[known], minlength=len(judged.rooms))
    tau, precision, hits = (np.full(len(judged.rooms), np.nan) for _ in range(3))
    for count in np.unique(counts[counts >= 2]):
        rooms = counts == count
        rows = known & rooms[judged.places]
        scores = judged.predicted[model][rows].reshape(-1, count)
        best = judged.best[rows].reshape(-1, count)
        tau[rooms] = known_taus(scores, measured[rows].reshape(-1, count))
        differs = best.any(axis=1) & ~best.all(axis=1)
        precision[rooms] = np.where(differs, average_precision(scores, best), np.nan)
        hits[rooms] = np.where(differs, hit_at_1(scores, best), np.nan)
    return tau, precision, hits


def _bins(judged: Judged, predicted: Floats, known: Mask, options: EvaluationOptions) -> Floats:
    """(R, bins, 3) sums of the reliability curve, bins of equal impressions over all rooms."""
    number = options.reliability_bins
    weight = judged.positive + judged.negative
    at = np.flatnonzero(known & (weight > 0))
    order = at[np.argsort(predicted[at], kind="stable")]
    ordered, before = predicted[order], np.cumsum(weight[order]) - weight[order]
    place = np.floor(before / max(weight[order].sum(), 1e-12) * number).astype(np.int64)
    # Equal predictions share the bin of the first of them.
    first = np.searchsorted(ordered, ordered, side="left")
    bin_of = place[first].clip(0, number - 1) if len(order) else place
    rows = judged.owner[order] * number + bin_of
    shape = (judged.owners, number)
    return np.stack(
        [
            np.bincount(rows, values[order], judged.owners * number).reshape(shape)
            for values in (weight, weight * predicted, judged.positive)
        ],
        axis=2,
    )


def _found(
    rooms: Sequence[JudgedRoom],
    intervals: Sequence[list[Interval]],
    model: str,
    options: EvaluationOptions,
) -> Found:
    highlight_at: list[int] = []
    judged: list[bool] = []
    right: list[bool] = []
    interval_at: list[int] = []
    delays: list[float] = []
    first = 0
    for room, wanted in zip(rooms, intervals, strict=True):
        found = detect(room, model, options.detector, is_energy=model in options.energies)
        pairs = matches(found, wanted, options.tolerance * room.segment_ms)
        matched = {highlight for highlight, _ in pairs}
        detected = {interval: found[highlight] for highlight, interval in pairs}
        for number, each in enumerate(found):
            start, end = np.searchsorted(room.start_ms, (each.start_ms, each.end_ms))
            highlight_at.append(first + int(start))
            judged.append(
                room.intervals is not None or not np.isnan(room.measured[start:end]).all()
            )
            right.append(number in matched)
        for number, interval in enumerate(wanted):
            at = int(np.searchsorted(room.start_ms, interval.start_ms, side="right")) - 1
            interval_at.append(first + max(0, at))
            delays.append(_delay_s(interval, detected.get(number)))
        first += len(room)
    delay_s = np.array(delays, np.float64)
    return Found(
        highlight_at=np.array(highlight_at, np.int64),
        is_judged=np.array(judged, np.bool_),
        is_right=np.array(right, np.bool_),
        interval_at=np.array(interval_at, np.int64),
        is_detected=~np.isnan(delay_s),
        delay_s=delay_s,
    )


def _delay_s(interval: Interval, found: Detected | None) -> float:
    return (found.opened_ms - interval.start_ms) / 1000 if found else float("nan")
