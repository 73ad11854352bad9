"""What a demo has seen: scores, highlights, deliveries, and the figures made of them."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import orjson

from limelight.engine.score import Score
from limelight.kernels.ranking import kendall_tau
from limelight.replay.accounting import Accounts
from limelight.streams.highlight_records import ENRICHED, decode_highlight
from limelight.streams.records import header_map
from limelight.streams.score_records import decode_score

# What the summary tells of a highlight.
_TOLD = ("room_id", "kind", "start_ms", "end_ms", "decided_by", "baseline", "rise", "reason")


@dataclass(slots=True)
class RoomSeen:
    """One room's curve and what came of it."""

    scores: dict[int, Score] = field(default_factory=dict)
    highlights: dict[str, dict[str, Any]] = field(default_factory=dict)  # newest event by highlight
    measured: dict[int, float] = field(default_factory=dict)  # CTR by the segment's start, ms
    true: dict[int, float] = field(default_factory=dict)  # likewise, of simulated rooms
    latency_ms: int = 0
    comment_lag_ms: int | None = None  # the newest that showed
    finished: bool = False

    @property
    def tau(self) -> float | None:
        """Kendall's tau of predicted against measured CTR over the whole room, if there is one."""
        pairs = [
            (score.ctr, self.measured[score.start_ms])
            for _, score in sorted(self.scores.items())
            if score.start_ms in self.measured
        ]
        if len(pairs) < 2:
            return None
        predicted, measured = np.array(pairs, np.float64).T[:, None]
        tau = float(kendall_tau(predicted, measured)[0])
        return None if np.isnan(tau) else tau

    @property
    def newest(self) -> Score | None:
        return self.scores[max(self.scores)] if self.scores else None


@dataclass(slots=True)
class DemoState:
    """Fed by the observer of the topics and by the receiver."""

    rooms: dict[str, RoomSeen]
    events_in: Counter[str] = field(default_factory=Counter)
    window_ids: set[str] = field(default_factory=set)
    event_kinds: dict[str, str] = field(default_factory=dict)  # highlight event id -> kind
    delivered: dict[str, int] = field(default_factory=dict)  # event id -> close-to-delivery ms
    to_delivery_ms: dict[str, int] = field(default_factory=dict)  # those of the detector
    to_enriched_ms: dict[str, int] = field(default_factory=dict)  # those of the enricher
    delivered_again: int = 0
    late: list[dict[str, Any]] = field(default_factory=list)
    dead_letters: list[dict[str, Any]] = field(default_factory=list)
    close_to_score_ms: list[int] = field(default_factory=list)
    accounts: Accounts = field(default_factory=Accounts)
    # Whether highlights are pushed to a receiver, and it is to be waited for.
    pushed: bool = True
    # Whether an enricher runs, and each closed highlight is to be enriched.
    enriched: bool = False

    def see(self, topic: str, record: Any) -> None:
        """Take a record of an observed topic.

        Raises:
            MalformedRecord, ValueError, KeyError, TypeError: it is none of ours.
        """
        self.accounts.see(topic, record)
        value = record.value
        if topic == "scores":
            self.see_score(*decode_score(value, max_bytes=len(value)))
        elif topic == "highlights":
            self.see_highlight(decode_highlight(value, max_bytes=len(value)))
        elif topic == "windows":
            self.window_ids.add(orjson.loads(value)["id"])
        elif topic == "late":
            self.see_late(orjson.loads(value))
        elif topic == "dlq" and "kind" not in header_map(record.headers):
            self.see_dead_letter(orjson.loads(value))

    def see_score(self, score: Score, timings: dict[str, int]) -> None:
        room = self.rooms.setdefault(score.room_id, RoomSeen())
        if score.segment_index in room.scores:
            return
        room.scores[score.segment_index] = score
        room.latency_ms = timings["scored_at_ms"] - timings["closed_at_ms"]
        if score.comment_lag_ms is not None:
            room.comment_lag_ms = score.comment_lag_ms
        room.finished = room.finished or score.final
        self.close_to_score_ms.append(room.latency_ms)

    def see_highlight(self, event: dict[str, Any]) -> None:
        self.event_kinds[event["id"]] = event["data"]["kind"]
        room = self.rooms.setdefault(event["data"]["room_id"], RoomSeen())
        room.highlights[event["subject"]] = event

    def see_delivery(self, event: dict[str, Any], now_ms: int) -> None:
        data = event["data"]
        latency_ms = now_ms - data["timings"].get("closed_at_ms", now_ms)
        self.delivered[event["id"]] = latency_ms
        latencies = self.to_enriched_ms if data.get("kind") == ENRICHED else self.to_delivery_ms
        latencies[event["id"]] = latency_ms

    def see_late(self, letter: dict[str, Any]) -> None:
        if not any(letter["id"] == known["id"] for known in self.late):
            self.late.append(letter)

    def see_dead_letter(self, letter: dict[str, Any]) -> None:
        if not any(letter["id"] == known["id"] for known in self.dead_letters):
            self.dead_letters.append(letter)

    @property
    def is_complete(self) -> bool:
        """Every room is scored to its end, every highlight has closed and every event arrived."""
        kinds = Counter(self.event_kinds.values())
        rejected = sum(letter["topic"] == "highlights" for letter in self.dead_letters)
        return (
            all(room.finished for room in self.rooms.values())
            and kinds["opened"] == kinds["closed"]
            and (not self.enriched or kinds["enriched"] == kinds["closed"])
            and (not self.pushed or len(self.delivered) + rejected >= len(self.event_kinds))
        )

    def progress(self) -> tuple[int, ...]:
        """Numbers that change whenever anything does."""
        return (
            len(self.window_ids),
            len(self.close_to_score_ms),
            len(self.event_kinds),
            len(self.delivered),
            len(self.late),
            len(self.dead_letters),
        )

    def missing(self) -> str:
        """What a demo that does not end is waiting for."""
        open_rooms = sorted(room_id for room_id, room in self.rooms.items() if not room.finished)
        undelivered = sorted(set(self.event_kinds) - set(self.delivered))
        kinds = Counter(self.event_kinds.values())
        return (
            f"rooms not scored to their end: {open_rooms or 'none'};"
            f" highlight events not delivered: {undelivered or 'none'};"
            f" highlights opened {kinds['opened']}, closed {kinds['closed']},"
            f" enriched {kinds['enriched']}"
        )

    def summary(self) -> dict[str, Any]:
        """The figures of `summary.json`; latencies in ms, None where nothing was measured."""
        kinds = Counter(self.event_kinds.values())
        scores = [score for room in self.rooms.values() for score in room.scores.values()]
        return {
            "rooms": len(self.rooms),
            "events_in": dict(sorted(self.events_in.items())),
            "segments": len({(score.room_id, score.segment_index) for score in scores}),
            "windows": len(self.window_ids),
            "scores": len(scores),
            "decided_by": dict(Counter(score.decided_by for score in scores)),
            "model_versions": sorted({score.model_version for score in scores}),
            "highlights_opened": kinds["opened"],
            "highlights_closed": kinds["closed"],
            "highlights_enriched": kinds["enriched"],
            "highlight_events": len(self.event_kinds),
            "delivered": len(self.delivered),
            "delivered_again": self.delivered_again,
            "late": len(self.late),
            "dead_letters": len(self.dead_letters),
            "accounts": {topic: asdict(line) for topic, line in self.accounts.lines().items()},
            "close_to_score_ms": _percentiles(self.close_to_score_ms),
            "close_to_delivery_ms": _percentiles(list(self.to_delivery_ms.values())),
            "close_to_enriched_delivery_ms": _percentiles(list(self.to_enriched_ms.values())),
            "tau_predicted_against_measured_ctr": {
                room_id: None if room.tau is None else round(room.tau, 4)
                for room_id, room in self.rooms.items()
                if room.measured
            },
            "comment_lag_ms": {
                room_id: room.comment_lag_ms for room_id, room in self.rooms.items()
            },
            "highlights": [
                {"id": highlight_id, **{name: event["data"][name] for name in _TOLD}}
                for room in self.rooms.values()
                for highlight_id, event in sorted(room.highlights.items())
            ],
        }

    def told(self) -> list[str]:
        """The summary in a few lines, for a person."""
        figures = self.summary()
        score, delivery = figures["close_to_score_ms"], figures["close_to_delivery_ms"]
        enriched = figures["close_to_enriched_delivery_ms"]
        return [
            f"{figures['rooms']} rooms, {sum(figures['events_in'].values())} events in,"
            f" {figures['scores']} segments scored by {', '.join(figures['decided_by'])};"
            f" {figures['late']} late, {figures['dead_letters']} dead letters",
            self.accounts.told(),
            f"{figures['highlights_opened']} highlights, {figures['highlights_enriched']} enriched;"
            f" {figures['delivered']} of"
            f" {figures['highlight_events']} events delivered,"
            f" {figures['delivered_again']} delivered twice",
            f"segment close to score {score['p50']} ms (p99 {score['p99']}), to delivery"
            f" {delivery['p50']} ms (p99 {delivery['p99']}), to the enriched event's"
            f" {enriched['p50']} ms",
            *(
                f"{room_id}: predicted CTR against clicks, Kendall's tau {room.tau:.2f}"
                for room_id, room in self.rooms.items()
                if room.tau is not None
            ),
        ]


def _percentiles(values: list[int]) -> dict[str, float | None]:
    if not values:
        return {"p50": None, "p99": None}
    p50, p99 = np.percentile(values, [50, 99])
    return {"p50": round(float(p50), 1), "p99": round(float(p99), 1)}
