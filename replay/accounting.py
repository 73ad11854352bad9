"""Balancing the books from the topics alone: what went in, and what came of each of it.

    frames          = frame-features + dlq
    frame-features  = in windows + late + dlq
    asr, comments   = in windows + late + dlq
    windows         = scores + dlq

Counted are entries (one comment of a list, one picture, ...); marks are no entries. What went to
`late` or `dlq` is known by its place in the log. Of the rest each counts once, by its content,
however often a producer or a restarted process sent it.
"""

from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from limelight.streams.dead_letters import Origin
from limelight.streams.records import header_map
from limelight.streams.topics import MODALITY_TOPICS

BALANCED_TOPICS = ("frames", *MODALITY_TOPICS, "windows")


@dataclass(slots=True)
class Line:
    """One topic's books; `entered` and the rest count entries, `repeated` those seen again."""

    entered: int = 0
    passed_on: int = 0
    late: int = 0
    dead: int = 0
    repeated: int = 0

    @property
    def missing(self) -> int:
        """How many entries nobody can account for; negative when more came out than went in."""
        return self.entered - self.passed_on - self.late - self.dead


@dataclass(slots=True)
class Accounts:
    """Fed with the records of all topics, in any order between topics."""

    # What each place in a topic holds.
    _entered: dict[str, dict[str, Hashable]] = field(default_factory=dict)
    _windows: dict[Hashable, dict[str, int]] = field(default_factory=dict)
    _scored: set[Hashable] = field(default_factory=set)
    _late: dict[str, set[str]] = field(default_factory=dict)
    _dead: dict[str, set[str]] = field(default_factory=dict)

    def see(self, topic: str, record: Any) -> None:
        """Count a record (an aiokafka `ConsumerRecord`); `topic` without prefix.

        Raises:
            ValueError, KeyError, TypeError: a record of ours that is none; sources never raise.
        """
        if topic in ("frames", *MODALITY_TOPICS):
            self._entered.setdefault(topic, {}).update(_entries(topic, record))
        elif topic == "windows":
            self._see_window(record)
        elif topic == "scores":
            score = orjson.loads(record.value)
            self._scored.add((score["room_id"], score["start_ms"]))
        elif topic == "late":
            letter = orjson.loads(record.value)
            if letter["record"].get("kind") != "room-end":
                self._late.setdefault(letter["topic"], set()).add(letter["id"])
        elif topic == "dlq" and "kind" not in header_map(record.headers):
            letter = orjson.loads(record.value)
            if "kind" not in letter["headers"]:
                self._dead.setdefault(letter["topic"], set()).add(letter["id"])

    def _see_window(self, record: Any) -> None:
        place = _place("windows", record)
        entered = self._entered.setdefault("windows", {})
        try:
            window = orjson.loads(record.value)
            # Two lives of one room on the same grid share an id, and have entries of their own.
            life = window["id"], window.get("room_started_ms")
            self._windows[life] = window["segments"][-1]["entries"]
            entered[place] = (window["room_id"], window["segments"][-1]["start_ms"])
        except (KeyError, TypeError, ValueError):
            entered[place] = place  # somebody else's; it goes to dlq

    def lines(self) -> dict[str, Line]:
        """The books of each topic."""
        windowed: Counter[str] = Counter()
        for entries in self._windows.values():
            windowed.update(entries)
        lines = {}
        for topic in BALANCED_TOPICS:
            late, dead = self._late.get(topic, set()), self._dead.get(topic, set())
            entered = self._entered.get(topic, {})
            rejected = late | dead
            # A list may be rejected as a whole, and is one entry then.
            live = [
                what
                for place, what in entered.items()
                if place not in rejected and _message(place) not in rejected
            ]
            contents = set(live)
            out = len(rejected & (entered.keys() | {_message(place) for place in entered}))
            line = lines[topic] = Line(
                entered=len(contents) + out,
                passed_on=windowed[topic],
                late=len(late),
                dead=len(dead),
                repeated=len(live) - len(contents),
            )
            if topic == "frames":
                encoded = set(self._entered.get("frame-features", {}).values())
                line.passed_on = len(encoded & contents)
            elif topic == "windows":
                line.passed_on = len(self._scored)
        return lines

    @property
    def is_balanced(self) -> bool:
        return not any(line.missing for line in self.lines().values())

    def told(self) -> str:
        """The sums in one line, for a person."""
        lines = self.lines()
        missing = {topic: line.missing for topic, line in lines.items() if line.missing}
        if missing:
            return f"NOT accounted for (in minus windows, late and dlq): {missing}"
        sources = [lines[topic] for topic in MODALITY_TOPICS]
        return (
            f"all accounted for: {sum(line.entered for line in sources)} entries ="
            f" {sum(line.passed_on for line in sources)} in windows +"
            f" {sum(line.late for line in sources)} late +"
            f" {sum(line.dead for line in sources)} in dlq"
        )


def _entries(topic: str, record: Any) -> Iterator[tuple[str, Hashable]]:
    """The place of each entry of a source record, and what tells it from every other."""
    headers = header_map(record.headers)
    if "kind" in headers:
        return
    place = _place(topic, record)
    if topic == "frames":
        yield place, _identity(topic, headers, place)
        return
    try:
        value = orjson.loads(record.value or b"")
    except ValueError:
        yield place, place
        return
    if not isinstance(value, list):
        yield place, _identity(topic, value, place)
    elif topic == "comments":
        for element, fields in enumerate(value):
            place = _place(topic, record, element)
            yield place, _identity(topic, fields, place)
    else:
        yield place, place


def _identity(topic: str, fields: Any, place: str) -> Hashable:
    """By its content where that tells it apart, as the assembler does, else by its place."""
    try:
        identity = _content(topic, fields)
        hash(identity)
    except (AttributeError, KeyError, TypeError):
        return place
    return identity or place


def _content(topic: str, fields: Any) -> tuple[Hashable, ...] | None:
    room = (fields["room_id"], str(fields.get("room_started_ms")))
    if topic in ("frames", "frame-features"):
        return (*room, str(fields["event_time_ms"]))
    if topic == "asr":
        return (*room, fields["start_ms"], fields["end_ms"], fields["text"])
    if comment_id := fields.get("comment_id"):
        return (*room, comment_id)
    if user := fields.get("user"):
        return (*room, fields["event_time_ms"], user, fields["text"])
    return None


def _place(topic: str, record: Any, element: int | None = None) -> str:
    return str(Origin(topic, record.partition, record.offset, element))


def _message(place: str) -> str:
    """The place of the message that holds an entry."""
    return place.partition("#")[0]
