"""What a replay of topics sends: their records as they were, with marks made anew."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import orjson

from limelight.replay.marks import Marks, closing_mark_ms, mark
from limelight.replay.scripted_message import ScriptedMessage
from limelight.replay.sources.topic_order import Placed
from limelight.streams.dead_letter_log import room_of
from limelight.streams.records import Headers, header_map
from limelight.streams.topics import partition_of

_TIMES = ("event_time_ms", "start_ms", "end_ms", "room_started_ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicScript:
    """How records become messages.

    Args:
        partitions: of the target, for the origin may have another number of them.
        room_ids: only these, or all if there are none.
        from_ms, to_ms: places in `[from_ms, to_ms)`; None for as far as there is anything.
        shift_ms: how much later all event times are sent.
    """

    origin_prefix: str
    partitions: int
    segment_ms: int
    closing_delay_ms: int
    mark_interval_ms: int
    room_ids: frozenset[str] = frozenset()
    from_ms: int | None = None
    to_ms: int | None = None
    shift_ms: int = 0

    async def messages(
        self, placed_records: AsyncGenerator[Placed, None]
    ) -> AsyncGenerator[ScriptedMessage, None]:
        """The interval's records as messages, with new marks between them.

        Args:
            placed_records: all records by place.
        """
        async with aclosing(placed_records):
            async for message in self._messages(placed_records):
                yield message

    async def _messages(
        self, placed_records: AsyncGenerator[Placed, None]
    ) -> AsyncGenerator[ScriptedMessage, None]:
        marks: Marks | None = None
        shift_ms = self.shift_ms
        newest_ms = at_ms = 0
        async for placed in placed_records:
            if self.from_ms is not None and placed.at_ms < self.from_ms:
                continue
            if self.to_ms is not None and placed.at_ms >= self.to_ms:
                break
            room_id = _room_id(placed)
            if self.room_ids and room_id not in self.room_ids:
                continue
            at_ms = placed.at_ms + shift_ms
            if marks is None:
                start_ms = at_ms if self.from_ms is None else self.from_ms + shift_ms
                marks = Marks(
                    start_ms, interval_ms=self.mark_interval_ms, partitions=self.partitions
                )
                for each in marks.first():
                    yield each
            for each in marks.up_to(at_ms):
                yield each
            topic = placed.record.topic.removeprefix(self.origin_prefix)
            if room_id is None:
                partition = placed.record.partition % self.partitions
            else:
                partition = partition_of(room_id, self.partitions)
            if placed.late_mark_ms is not None:
                yield mark(at_ms, topic, partition, placed.late_mark_ms + shift_ms)
            newest_ms = max(newest_ms, placed.newest_ms + shift_ms, at_ms)
            yield _message(placed, topic, partition, shift_ms)
        if marks is not None:
            closing_ms = closing_mark_ms(newest_ms, self.segment_ms, self.closing_delay_ms)
            for each in marks.last(at_ms, closing_ms):
                yield each


def _room_id(placed: Placed) -> str | None:
    record = placed.record
    if record.key:
        try:
            return bytes(record.key).decode()
        except UnicodeDecodeError:
            pass
    return room_of(record.value or b"", header_map(record.headers))


def _message(placed: Placed, topic: str, partition: int, shift_ms: int) -> ScriptedMessage:
    record = placed.record
    value, headers = record.value or b"", list(record.headers)
    if shift_ms:
        value, headers = _shifted(topic, value, headers, shift_ms)
    return ScriptedMessage(placed.at_ms + shift_ms, topic, partition, record.key, value, headers)


def _shifted(topic: str, value: bytes, headers: Headers, shift_ms: int) -> tuple[bytes, Headers]:
    """The record with its event times moved; what cannot be read stays as it is."""
    headers = [
        (name, b"%d" % (int(text) + shift_ms) if name in _TIMES and text.isdigit() else text)
        for name, text in headers
    ]
    if topic == "frames" or not value:
        return value, headers
    try:
        entries = orjson.loads(value)
    except orjson.JSONDecodeError:
        return value, headers
    for entry in entries if isinstance(entries, list) else [entries]:
        if isinstance(entry, dict):
            for name in _TIMES:
                if type(entry.get(name)) is int:
                    entry[name] += shift_ms
    try:
        return orjson.dumps(entries), headers
    except TypeError:
        return value, headers
