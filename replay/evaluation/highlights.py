"""Highlights that predictions would have caused, and the intervals that they should have found."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from limelight.engine.score import Reasons, Score
from limelight.replay.evaluation.rooms import JudgedRoom
from limelight.streams.detection import HighlightDetector, HighlightEvent, RoomTrend
from limelight.streams.settings import DetectorSettings

_NO_REASONS = Reasons(modality_shares={}, strongest_comments=(), key_frame_ms=None, comment_count=0)


@dataclass(frozen=True, slots=True)
class Interval:
    """A stretch of event time, `[start_ms, end_ms)`."""

    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Detected:
    """A highlight of the live detector; `opened_ms` is when it was known, at a segment's end."""

    start_ms: int
    end_ms: int
    opened_ms: int
    peak_start_ms: int
    peak: float


def detect(
    room: JudgedRoom, model: str, settings: DetectorSettings, *, is_energy: bool
) -> list[Detected]:
    """The highlights that the live detector opens when the model scores the room, in order."""
    opened_ms: dict[str, int] = {}
    found: list[Detected] = []
    for event in detected_events(room, model, settings, is_energy=is_energy):
        if event.kind == "opened":
            opened_ms[event.highlight_id] = event.segment_end_ms
        elif event.kind == "closed":
            found.append(
                Detected(
                    start_ms=event.start_ms,
                    end_ms=event.end_ms,
                    opened_ms=opened_ms[event.highlight_id],
                    peak_start_ms=event.peak["start_ms"],
                    peak=event.peak["value"],
                )
            )
    return found


def detected_events(
    room: JudgedRoom, model: str, settings: DetectorSettings, *, is_energy: bool
) -> Iterator[HighlightEvent]:
    """What the live detector would publish when the model scores the room, in order."""
    detector, trend = HighlightDetector(settings), RoomTrend()
    decided_by = "energy" if is_energy else "network"
    starts = room.start_ms.tolist()
    for start_ms, value in zip(starts, room.predictions[model].tolist(), strict=True):
        score = Score(
            room_id=room.room_id,
            streamer_id=room.streamer_id,
            room_started_ms=None,
            segment_index=start_ms // room.segment_ms,
            start_ms=start_ms,
            end_ms=start_ms + room.segment_ms,
            ctr=value,
            energy=value,
            decided_by=decided_by,  # type: ignore[arg-type]
            decision=value,
            model_version=model,
            reasons=_NO_REASONS,
            final=start_ms == starts[-1],
        )
        yield from detector.update(trend, score)


def best_segments(measured: NDArray[np.floating], top_share: float) -> NDArray[np.bool_]:
    """(S,) which segments are a room's best: the top share of those measured, ties included.

    None where all that is measured is equal, or nothing is: then no segment is better than another.
    """
    known = measured[~np.isnan(measured)]
    if not known.size or known.min() == known.max():
        return np.zeros(len(measured), np.bool_)
    # Down to the CTR of the last one that the share holds; NaN is never above it.
    count = max(1, math.floor(top_share * known.size + 1e-9))
    threshold = np.partition(known, -count)[-count]
    best = np.asarray(measured >= threshold)
    # A low top that all reach but the worst would not be a top.
    return best if threshold > known.min() else np.asarray(measured > threshold)


def true_intervals(room: JudgedRoom, best: NDArray[np.bool_]) -> list[Interval]:
    """What people marked, else the runs of the room's best segments, in order."""
    if room.intervals is not None:
        return [Interval(start, end) for start, end in room.intervals.tolist()]
    runs: list[Interval] = []
    for start_ms in room.start_ms[best].tolist():
        end_ms = start_ms + room.segment_ms
        if runs and runs[-1].end_ms == start_ms:
            runs[-1] = Interval(runs[-1].start_ms, end_ms)
        else:
            runs.append(Interval(start_ms, end_ms))
    return runs


def matches(
    highlights: list[Detected], intervals: list[Interval], tolerance_ms: int
) -> list[tuple[int, int]]:
    """As many pairs of (highlight, interval) as there can be, each in one pair at most, by time.

    A pair overlaps once the interval is longer by the tolerance on both sides. Both lists are in
    order and without overlap, so taking the earliest that fits leaves most to those that follow.
    """
    pairs: list[tuple[int, int]] = []
    highlight = interval = 0
    while highlight < len(highlights) and interval < len(intervals):
        found, wanted = highlights[highlight], intervals[interval]
        if found.end_ms <= wanted.start_ms - tolerance_ms:
            highlight += 1
        elif wanted.end_ms + tolerance_ms <= found.start_ms:
            interval += 1
        else:
            pairs.append((highlight, interval))
            highlight, interval = highlight + 1, interval + 1
    return pairs
