"""What a run came to, without its timings, and how two runs differ."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple, TypeVar

import orjson

from limelight.engine.score import Score
from limelight.streams.highlight_records import decode_highlight
from limelight.streams.score_records import decode_score, score_id

# A batch of another size rounds differently.
CTR_TOLERANCE = 1e-6
V = TypeVar("V")


class HighlightTold(NamedTuple):
    """What must not differ of a highlight event."""

    event_id: str
    kind: str
    start_ms: int
    end_ms: int


@dataclass(slots=True)
class Outcome:
    """Windows as digests of their bytes, scores, and each room's highlight events in order.

    `contradictions` are results that came twice under one id with different contents.
    """

    windows: dict[str, bytes] = field(default_factory=dict)
    scores: dict[str, Score] = field(default_factory=dict)
    highlights: dict[str, list[HighlightTold]] = field(default_factory=dict)
    contradictions: list[str] = field(default_factory=list)

    def see(self, topic: str, record: Any) -> None:
        """Take a record of an observed topic; the others are ignored.

        Raises:
            MalformedRecord, ValueError, KeyError, TypeError: it is none of ours.
        """
        value = record.value
        if topic == "windows":
            self.see_window(value)
        elif topic == "scores":
            self.see_score(decode_score(value, max_bytes=len(value))[0])
        elif topic == "highlights":
            self.see_highlight(value)

    def see_window(self, value: bytes) -> None:
        self._keep("window", self.windows, orjson.loads(value)["id"], blake2b(value).digest())

    def see_score(self, score: Score) -> None:
        self._keep("score", self.scores, score_id(score), score, same_score)

    def see_highlight(self, value: bytes) -> None:
        event = decode_highlight(value, max_bytes=len(value))
        data = event["data"]
        told = HighlightTold(event["id"], data["kind"], data["start_ms"], data["end_ms"])
        events = self.highlights.setdefault(data["room_id"], [])
        former = [each for each in events if each.event_id == told.event_id]
        if not former:
            events.append(told)
        elif former != [told]:
            self.contradictions.append(f"highlight {told.event_id}: {former[0]} and {told}")

    def _keep(
        self,
        what: str,
        kept: dict[str, V],
        name: str,
        value: V,
        same: Callable[[V, V], bool] = lambda one, other: one == other,
    ) -> None:
        if not same(kept.setdefault(name, value), value):
            self.contradictions.append(f"{what} {name}: sent twice with different contents")

    def differences(self, other: "Outcome") -> list[str]:
        """One sentence for each kind of difference, none if both runs came to the same."""
        found = [f"contradiction: {text}" for text in self.contradictions + other.contradictions]
        found += _compared("windows", self.windows, other.windows, lambda a, b: a == b)
        found += _compared("scores", self.scores, other.scores, same_score)
        found += _compared(
            "rooms' highlights", self.highlights, other.highlights, lambda a, b: a == b
        )
        return found


def same_score(one: Score, other: Score) -> bool:
    """Whether two scores are one, up to the rounding of a batch."""
    return (
        abs(one.ctr - other.ctr) <= CTR_TOLERANCE
        and one.energy == other.energy
        and one.decided_by == other.decided_by
    )


def _compared(
    what: str,
    mine: Mapping[str, V],
    theirs: Mapping[str, V],
    same: Callable[[V, V], bool],
) -> list[str]:
    lost = sorted(mine.keys() - theirs.keys())
    extra = sorted(theirs.keys() - mine.keys())
    wrong = sorted(
        name for name in mine.keys() & theirs.keys() if not same(mine[name], theirs[name])
    )
    return [
        f"{len(names)} {what} {how}, {names[0]} first"
        for how, names in (("missing", lost), ("too many", extra), ("different", wrong))
        if names
    ]
