"""Deciding when a room's score is a highlight: opened, updated by a higher peak, closed.

Worked example with floor 0.58, spread_factor 1.5, close_spread_factor 0.5, min_spread 0.02, after
the warm-up, for a room whose scores have been 0.50 and 0.51 in turn (mean 0.505, spread 0.005):

    score   0.50  0.66    0.71     0.60   0.52   0.51   0.51
    event         opened  updated                closed
    why           at least max(0.58, 0.505 + 1.5 * 0.02) and above the score before
                          a higher peak
                                   0.60 and 0.52 are not below 0.505 + 0.5 * 0.02 = 0.515
                                                 0.51 is

Every comparison is of numbers rounded to four digits, so that a decision never hangs on the last
bits of a float, which change with the batch a score was computed in.
"""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from limelight.engine.score import Score
from limelight.streams.settings import DetectorSettings

Kind = Literal["opened", "updated", "closed"]
HOUR_MS = 3_600_000


def _rounded(number: float) -> float:
    return round(number, 4)


@dataclass(slots=True)
class OpenHighlight:
    """A highlight that has opened and not closed."""

    first_index: int
    start_ms: int
    end_ms: int
    closing_threshold: float
    baseline: float
    peak: dict[str, Any]
    room_started_ms: int | None = None


@dataclass(slots=True)
class RoomTrend:
    """What the detector remembers of a room; plain JSON types, for the table."""

    room_started_ms: int | None = None
    last_index: int = -1
    seen: int = 0
    mean: float = 0.0
    variance: float = 0.0
    previous: float = 0.0
    cool_until_index: int = -1
    opened_ms: list[int] = field(default_factory=list)
    highlight: OpenHighlight | None = None

    def repeats(self, score: Score) -> bool:
        """Whether the room has had this score, or a newer one, or has restarted since."""
        if not self.seen:
            return False
        known = None not in (self.room_started_ms, score.room_started_ms)
        if known and self.room_started_ms != score.room_started_ms:
            return (score.room_started_ms or 0) < (self.room_started_ms or 0)
        return score.segment_index <= self.last_index

    def begin_anew(self) -> None:
        """Forget all but the hour's budget and the cool-down."""
        self.last_index, self.seen = -1, 0
        self.mean = self.variance = self.previous = 0.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "RoomTrend":
        highlight = fields.pop("highlight")
        return cls(**fields, highlight=OpenHighlight(**highlight) if highlight else None)


@dataclass(frozen=True, slots=True)
class HighlightEvent:
    """One of the three events of a highlight; times in ms, the interval is [start_ms, end_ms)."""

    kind: Kind
    event_id: str
    highlight_id: str
    room_id: str
    streamer_id: str
    segment_index: int
    segment_end_ms: int
    start_ms: int
    end_ms: int
    baseline: float
    peak: dict[str, Any]
    decided_by: str
    model_version: str
    room_started_ms: int | None = None

    @property
    def rise(self) -> float:
        """How far the peak stands above the room's usual."""
        return _rounded(self.peak["value"] - self.baseline)


class HighlightDetector:
    """The rules; all state is in the `RoomTrend` that is passed in and changed."""

    def __init__(self, settings: DetectorSettings) -> None:
        self._settings = settings
        self._decay = 1.0 - 0.5 ** (1.0 / settings.baseline_half_life_segments)

    def update(self, trend: RoomTrend, score: Score) -> list[HighlightEvent]:
        """The events that one more score of the room causes, in order.

        A score that the room has already had changes nothing. A restarted room begins anew, and a
        highlight that its former life left open is closed.
        """
        if trend.repeats(score):
            return []
        events: list[HighlightEvent] = []
        if trend.seen and trend.room_started_ms != score.room_started_ms:
            events += self._close(trend, score)
            trend.begin_anew()
        trend.room_started_ms = score.room_started_ms
        value = _rounded(score.decision)
        if trend.highlight is None:
            if self._opens(trend, score, value):
                events.append(self._open(trend, score, value))
        else:
            events += self._follow(trend, trend.highlight, score, value)
        if score.final:
            events += self._close(trend, score)
        self._learn(trend, score, value)
        return events

    def _opens(self, trend: RoomTrend, score: Score, value: float) -> bool:
        settings = self._settings
        floor = settings.ctr_floor if score.decided_by == "network" else settings.floor
        trend.opened_ms = [ms for ms in trend.opened_ms if ms > score.start_ms - HOUR_MS]
        return (
            trend.seen >= settings.warm_up_segments
            and score.segment_index > trend.cool_until_index
            and len(trend.opened_ms) < settings.hourly_budget
            and value > trend.previous
            and value >= self._threshold(trend, settings.spread_factor, floor)
        )

    def _threshold(self, trend: RoomTrend, factor: float, floor: float) -> float:
        spread = max(math.sqrt(trend.variance), self._settings.min_spread)
        return _rounded(max(floor, trend.mean + factor * spread))

    def _open(self, trend: RoomTrend, score: Score, value: float) -> HighlightEvent:
        trend.opened_ms.append(score.start_ms)
        trend.highlight = OpenHighlight(
            first_index=score.segment_index,
            start_ms=score.start_ms,
            end_ms=score.end_ms,
            closing_threshold=self._threshold(trend, self._settings.close_spread_factor, 0.0),
            baseline=_rounded(trend.mean),
            peak=_peak(score, value),
            room_started_ms=score.room_started_ms,
        )
        return self._event("opened", trend.highlight, score)

    def _follow(
        self, trend: RoomTrend, highlight: OpenHighlight, score: Score, value: float
    ) -> list[HighlightEvent]:
        length = score.segment_index - highlight.first_index
        if value < highlight.closing_threshold or length >= self._settings.max_highlight_segments:
            return self._close(trend, score)
        highlight.end_ms = score.end_ms
        if value <= highlight.peak["value"]:
            return []
        highlight.peak = _peak(score, value)
        return [self._event("updated", highlight, score)]

    def _close(self, trend: RoomTrend, score: Score) -> list[HighlightEvent]:
        if trend.highlight is None:
            return []
        highlight, trend.highlight = trend.highlight, None
        trend.cool_until_index = score.segment_index + self._settings.cool_down_segments
        return [self._event("closed", highlight, score)]

    def _learn(self, trend: RoomTrend, score: Score, value: float) -> None:
        """Exponential mean and variance; the first scores weigh alike, so none dominates."""
        trend.seen += 1
        weight = max(self._decay, 1.0 / trend.seen)
        deviation = value - trend.mean
        trend.mean += weight * deviation
        trend.variance = (1.0 - weight) * (trend.variance + weight * deviation * deviation)
        trend.previous = value
        trend.last_index = score.segment_index

    def _event(self, kind: Kind, highlight: OpenHighlight, score: Score) -> HighlightEvent:
        # Ids travel in HTTP headers, which are ASCII.
        room, model = quote(score.room_id, safe=""), quote(score.model_version, safe="")
        return HighlightEvent(
            kind=kind,
            event_id=f"{room}/{score.start_ms}/{kind}/{model}",
            highlight_id=f"{room}/{highlight.start_ms}/{model}",
            room_id=score.room_id,
            streamer_id=score.streamer_id,
            segment_index=score.segment_index,
            segment_end_ms=score.end_ms,
            start_ms=highlight.start_ms,
            end_ms=highlight.end_ms,
            baseline=highlight.baseline,
            peak=highlight.peak,
            decided_by=score.decided_by,
            model_version=score.model_version,
            room_started_ms=highlight.room_started_ms,
        )


def _peak(score: Score, value: float) -> dict[str, Any]:
    """The peak's place, value, and why the score says it is one."""
    return {
        "segment_index": score.segment_index,
        "start_ms": score.start_ms,
        "value": value,
        "ctr": _rounded(score.ctr),
        "energy": _rounded(score.energy),
        "modality_shares": {
            name: _rounded(share) for name, share in score.reasons.modality_shares.items()
        },
        "strongest_comments": list(score.reasons.strongest_comments),
        "comment_count": score.reasons.comment_count,
        "key_frame_ms": score.reasons.key_frame_ms,
        "speech": score.reasons.speech,
    }
