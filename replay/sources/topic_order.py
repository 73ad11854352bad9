"""One topic-partition's records in event-time order, without changing what is late.

The assembler calls a record late by the mark that stood when it came. So a record is placed at its
event time, or at the mark that it came behind, whichever is later:

    offset      0         1       2       3         4       5
                mark 100  t=130   t=110   mark 120  t=115   t=125
    placed at             130     110               120     125     -> 2, 4 (late), 5, 1

Sent in this order, with marks that go no further than the place, and a mark of its own before each
late record, every record finds the watermark on the same side as it once did.
"""

import heapq
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
from aiokafka import ConsumerRecord

from limelight.streams.records import (
    TIME_LIMIT_MS,
    MalformedRecord,
    RoomEnd,
    Watermark,
    header_map,
    parse_mark,
)
from limelight.streams.topics import MARKED_SOURCE_TOPICS
from limelight.streams.watermark import SourceWatermark, no_ack

# Waiting for a mark; beyond it the oldest go, so that a partition without marks fits into memory.
MAX_HELD_BYTES = 8_000_000


class Placed(NamedTuple):
    """A record at its place; `late_mark_ms` is the mark that it is behind, None if it is in time.

    `newest_ms` is the newest event time in it.
    """

    at_ms: int
    offset: int
    record: ConsumerRecord
    late_mark_ms: int | None
    newest_ms: int


class PartitionOrder:
    """Takes a topic-partition's records by offset and gives them by place.

    Args:
        topic: without prefix. One without marks is in order as it is; its own times are its marks.
        max_ahead_ms: what the assembler would refuse stays where it stood.
    """

    def __init__(self, topic: str, max_ahead_ms: int) -> None:
        self._topic = topic
        self._is_marked = topic in MARKED_SOURCE_TOPICS
        self._watermark = SourceWatermark(max_ahead_ms)
        self._max_ahead_ms = max_ahead_ms
        self._held: list[Placed] = []
        self._held_bytes = 0
        self._newest_given_ms: int | None = None
        self.is_over = False
        self.unplaced = 0  # without anything before them that has a time

    @property
    def watermark_ms(self) -> int | None:
        """Every record that is still to be taken has its place here or later."""
        return self._watermark.watermark_ms

    def take(self, record: ConsumerRecord) -> None:
        headers = header_map(record.headers)
        self._watermark.read(record.offset)
        try:
            mark = parse_mark(headers)
        except MalformedRecord:
            self._hold(record, None)
            return
        if isinstance(mark, Watermark):
            self._watermark.advance(mark.event_time_ms, no_ack)
            return
        times = _event_times(self._topic, record, headers, mark)
        if times and not self._is_marked:
            self._watermark.advance(times[1], no_ack)
        self._hold(record, times)

    def finish(self) -> None:
        """Nothing more is to come."""
        self.is_over = True

    def next(self) -> Placed | None:
        """The next record by place; None as long as one before it may still come."""
        if not self._held:
            return None
        watermark_ms = self.watermark_ms
        is_due = watermark_ms is not None and self._held[0].at_ms <= watermark_ms
        if not (is_due or self.is_over or self._held_bytes > MAX_HELD_BYTES):
            return None
        placed = heapq.heappop(self._held)
        self._held_bytes -= _size(placed.record)
        self._newest_given_ms = placed.at_ms
        return placed

    def _hold(self, record: ConsumerRecord, times: tuple[int, int] | None) -> None:
        stood_ms = self.watermark_ms if self.watermark_ms is not None else self._newest_given_ms
        late_ms = None
        if stood_ms is not None and times is not None and self._is_marked and times[0] < stood_ms:
            late_ms = stood_ms
        if times is None or (stood_ms is not None and times[0] - stood_ms > self._max_ahead_ms):
            if stood_ms is None:
                self.unplaced += 1
                return
            times = stood_ms, stood_ms
        at_ms = max(times[0], stood_ms or 0, self._newest_given_ms or 0)
        heapq.heappush(self._held, Placed(at_ms, record.offset, record, late_ms, times[1]))
        self._held_bytes += _size(record)


def _event_times(
    topic: str, record: ConsumerRecord, headers: Mapping[str, str], mark: RoomEnd | None
) -> tuple[int, int] | None:
    """The oldest and the newest event time in a record, None where there is none to be read."""
    if mark is not None:
        # A room that ends at T has nothing at T any more.
        return (mark.event_time_ms - 1,) * 2
    if topic == "frames":
        text = headers.get("event_time_ms", "")
        times: list[Any] = (
            [int(text)] if text.isascii() and text.isdigit() and len(text) <= 13 else []
        )
    else:
        try:
            value = orjson.loads(record.value or b"")
        except orjson.JSONDecodeError:
            return None
        name = "event_time_ms" if topic == "comments" else "end_ms"
        entries = value if isinstance(value, list) else [value]
        times = [entry.get(name) for entry in entries if isinstance(entry, dict)]
    known: list[int] = [time_ms for time_ms in times if _is_time(time_ms)]
    return (min(known), max(known)) if known else None


def _is_time(value: Any) -> bool:
    return type(value) is int and 0 <= value < TIME_LIMIT_MS


def _size(record: ConsumerRecord) -> int:
    return len(record.value or b"") + 500
