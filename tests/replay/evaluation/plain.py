"""The same measures the long way: SciPy, scikit-learn and loops, one room at a time."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from limelight.engine.score import Reasons, Score
from limelight.replay.evaluation.rooms import JudgedRoom
from limelight.streams.detection import HighlightDetector, RoomTrend
from limelight.streams.settings import DetectorSettings

NAN = float("nan")


def mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else NAN


def tau(predicted: np.ndarray, measured: np.ndarray) -> float:
    known = ~np.isnan(measured)
    varies = known.sum() > 1 and np.ptp(measured[known]) > 0 and np.ptp(predicted[known]) > 0
    if not varies:
        return NAN
    return float(stats.kendalltau(predicted[known], measured[known]).statistic)


def best(measured: np.ndarray, share: float = 0.2) -> np.ndarray:
    """A room's best segments, by sorting: the highest, with all that equal the last of them."""
    order = sorted(measured[~np.isnan(measured)], reverse=True)
    if not order or order[0] == order[-1]:
        return np.zeros(len(measured), bool)
    last = order[max(1, int(share * len(order) + 1e-9)) - 1]
    if last == order[-1]:
        return np.array([ctr > last for ctr in measured])
    return np.array([ctr >= last for ctr in measured])


def highlights(
    room: JudgedRoom, model: str, detector: DetectorSettings
) -> list[tuple[int, int, int]]:
    """(start, end, opened) in ms of each highlight."""
    live, trend, opened, found = HighlightDetector(detector), RoomTrend(), 0, []
    for number, (start, ctr) in enumerate(zip(room.start_ms, room.predictions[model], strict=True)):
        score = Score(
            room_id="room",
            streamer_id="",
            room_started_ms=0,
            segment_index=number,
            start_ms=int(start),
            end_ms=int(start) + room.segment_ms,
            ctr=float(ctr),
            energy=0.0,
            decided_by="network",
            decision=float(ctr),
            model_version="",
            reasons=Reasons({}, (), None, 0),
            final=number == len(room) - 1,
        )
        for event in live.update(trend, score):
            if event.kind == "opened":
                opened = score.end_ms
            if event.kind == "closed":
                found.append((event.start_ms, event.end_ms, opened))
    return found


def intervals(room: JudgedRoom) -> list[tuple[int, int]]:
    if room.intervals is not None:
        return [(start, end) for start, end in room.intervals.tolist()]
    flags = [False, *best(room.measured), False]
    rises = [
        at for at in range(len(room) + 1) if flags[at + 1 : at + 2] == [True] != flags[at : at + 1]
    ]
    found = []
    for first in rises:
        last = first
        while flags[last + 2]:
            last += 1
        found.append((int(room.start_ms[first]), int(room.start_ms[last]) + room.segment_ms))
    return found


def in_time(fits: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of (highlight, interval): each interval takes the first highlight that is left."""
    pairs: list[tuple[int, int]] = []
    for interval in range(fits.shape[1]):
        taken = {highlight for highlight, _ in pairs}
        free = [h for h in range(fits.shape[0]) if fits[h, interval] and h not in taken]
        pairs += [(h, interval) for h in free[:1]]
    return pairs


def measures(
    rooms: Sequence[JudgedRoom],
    model: str,
    *,
    bins: Sequence[float] | None = None,
    detector: DetectorSettings | None = None,
    tolerance: int = 1,
) -> dict[str, float]:
    """Every measure over the rooms; `bins` are the highest predictions of the reliability bins."""
    taus, room_taus, precisions, hits = [], [], [], []
    count, told, right, wanted, detected, delays, hours = 0, 0, 0, 0, 0, [], 0.0
    for room in rooms:
        predicted, measured = room.predictions[model], room.measured
        for first in range(0, len(room) - 19, 20):
            taus.append(tau(predicted[first : first + 20], measured[first : first + 20]))
        room_taus.append(tau(predicted, measured))
        known = ~np.isnan(measured)
        relevant = best(measured)
        if relevant.any() and not relevant[known].all():
            precisions.append(average_precision_score(relevant[known], predicted[known]))
            hits.append(float(relevant[known][np.argmax(predicted[known])]))
        found = highlights(room, model, detector or DetectorSettings())
        true = intervals(room)
        slack = tolerance * room.segment_ms
        fits = np.array(
            [[s < b + slack and e > a - slack for a, b in true] for s, e, _ in found], bool
        ).reshape(len(found), len(true))
        pairs = in_time(fits)
        judged = [
            room.intervals is not None
            or any(k and s <= at < e for k, at in zip(known, room.start_ms, strict=True))
            for s, e, _ in found
        ]
        count += len(found)
        told += sum(judged)
        right += sum(judged[h] for h, _ in pairs)
        wanted += len(true)
        detected += len(pairs)
        delays += [(found[h][2] - true[t][0]) / 1000 for h, t in pairs]
        hours += len(room) * room.segment_ms / 3_600_000
    return {
        "tau": mean(taus),
        "room_tau": mean(room_taus),
        **clicked(rooms, model, bins),
        "map": mean(precisions),
        "hit_at_1": mean(hits),
        "precision": right / told if told else NAN,
        "recall": detected / wanted if wanted else NAN,
        "time_to_detect_s": mean(delays),
        "highlights_an_hour": count / hours,
    }


def clicked(
    rooms: Sequence[JudgedRoom], model: str, bins: Sequence[float] | None = None
) -> dict[str, float]:
    """The measures over impressions and segments."""
    known = [~np.isnan(room.measured) for room in rooms]

    def flat(arrays: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([each[k] for each, k in zip(arrays, known, strict=True)]).astype(
            float
        )

    predicted = flat([room.predictions[model] for room in rooms])
    measured = flat([room.measured for room in rooms])
    clicks, viewers = flat([room.clicks for room in rooms]), flat([room.viewers for room in rooms])
    uncounted = viewers == 0
    clicks[uncounted], viewers[uncounted] = measured[uncounted], 1
    labels = np.repeat([1, 0], len(predicted))
    weights = np.concatenate([clicks, viewers - clicks])
    both = np.tile(predicted, 2)
    some = measured > 0
    has_order = 0 < clicks.sum() < viewers.sum()
    place = np.searchsorted(bins, predicted) if bins is not None else np.zeros(len(predicted), int)
    distance = [
        abs(np.sum(viewers[place == b] * predicted[place == b]) - np.sum(clicks[place == b]))
        for b in np.unique(place)
    ]
    return {
        "auc": roc_auc_score(labels, both, sample_weight=weights) if has_order else NAN,
        "log_loss": log_loss(labels, both, sample_weight=weights, labels=[0, 1])
        if len(predicted)
        else NAN,
        "mean_ratio": mean(list(predicted[some] / measured[some])),
        "ratio_of_means": predicted.sum() / measured.sum() if measured.sum() else NAN,
        "calibration_error": sum(distance) / viewers.sum() if len(predicted) else NAN,
    }
