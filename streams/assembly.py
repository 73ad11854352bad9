"""Assembling one partition: source messages in, windows, late events and dead letters out.

No Kafka in here: the agent feeds it in production, and a direct pass over a recording feeds it
without a broker. What comes out depends on the messages and their order within each topic alone,
never on how the topics interleave or on a clock:

- an event is late when its own topic's watermark has passed its segment's end plus the allowed
  lateness, even if other topics still hold that segment open;
- a segment closes when the watermarks of all three topics have passed that same moment.
"""

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import orjson

from limelight.streams import metrics
from limelight.streams.dead_letters import Origin, encode_dead_letter, encode_late
from limelight.streams.records import (
    MalformedRecord,
    RoomEnd,
    Watermark,
    parse_mark,
)
from limelight.streams.room_assembly import (
    ClosedSegment,
    OpenSegment,
    RoomAssembly,
    RoomKey,
    TableSlot,
)
from limelight.streams.settings import AssemblerSettings
from limelight.streams.source_messages import (
    SourceMessage,
    SourceRecord,
    read_records,
)
from limelight.streams.topics import MODALITY_TOPICS
from limelight.streams.watermark import Hold, SourceWatermark


@dataclass(slots=True, weakref_slot=True)
class Emission:
    """A message to send; once delivered, `table` is written and then `holds` are released.

    An emission without a topic has nothing to send. `entries` counts, for each modality topic, the
    source entries that a window's newest segment was made of; they are open until it is delivered.
    """

    topic: str | None
    key: bytes
    value: bytes = b""
    headers: list[tuple[str, bytes]] = field(default_factory=list)
    table: dict[bytes, bytes | None] = field(default_factory=dict)
    holds: list[Hold] = field(default_factory=list)
    entries: dict[str, int] = field(default_factory=dict)
    open_entries: Counter[str] = field(default_factory=Counter)
    settled: bool = False

    def settle(self) -> None:
        self.settled = True
        self.open_entries.subtract(self.entries)
        for topic, count in self.entries.items():
            metrics.counter(metrics.windowed_total, topic).inc(count)
        for hold in self.holds:
            hold.release()
        self.holds = []


class _Due(NamedTuple):
    """When a room wants to be looked at next, in event time."""

    at_ms: int
    key: RoomKey


@dataclass(slots=True)
class _Place:
    """An open segment, for all records of its room from `start_ms` to before `end_ms`."""

    room_id: str
    room_started_ms: int | None
    start_ms: int
    end_ms: int
    room: RoomAssembly
    index: int
    segment: OpenSegment
    taken: bool = False

    def takes(self, record: SourceRecord) -> bool:
        return (
            self.start_ms <= record.event_time_ms < self.end_ms
            and record.room_id == self.room_id
            and record.room_started_ms == self.room_started_ms
        )


class PartitionAssembly:
    """All rooms of one partition.

    Args:
        partition: its number, kept in the table so that a restart finds its own rooms.
        settings: segment length, lateness, limits.
        max_message_bytes: larger messages are rejected unread.
        wall_ms: the wall clock, only for the header that tells when a window closed.
        committed: for a topic, the offset at which reading begins again after a crash.
    """

    def __init__(
        self,
        partition: int,
        settings: AssemblerSettings,
        *,
        max_message_bytes: int,
        wall_ms: Callable[[], int],
        committed: Callable[[str], float] = lambda topic: math.inf,
    ) -> None:
        self.rooms: dict[RoomKey, RoomAssembly] = {}
        self.partition = partition
        # Taken in and in no delivered window yet, for each topic.
        self.open_entries: Counter[str] = Counter()
        self.sources = {topic: SourceWatermark(settings.max_ahead_ms) for topic in MODALITY_TOPICS}
        self._settings = settings
        self._max_message_bytes = max_message_bytes
        self._wall_ms = wall_ms
        self._committed = committed
        self._due: list[_Due] = []
        self._scheduled: dict[RoomKey, int] = {}
        # Weak: a window lives until it is delivered, and a room far longer.
        self._newest_window: WeakValueDictionary[RoomKey, Emission] = WeakValueDictionary()

    @property
    def watermark_ms(self) -> int | None:
        """How far the slowest modality has come; None until each has sent a mark."""
        times_ms = [
            source.watermark_ms - self._offset_ms(topic)
            for topic, source in self.sources.items()
            if source.watermark_ms is not None
        ]
        return min(times_ms) if len(times_ms) == len(self.sources) else None

    def _offset_ms(self, topic: str) -> int:
        """How much earlier than its time an event of the topic counts."""
        return self._settings.comment_offset_ms if topic == "comments" else 0

    def _has_passed(self, topic: str, room: RoomAssembly, index: int) -> bool:
        """Whether the topic's own watermark has closed the segment to its events."""
        end_ms = room.clock.end_ms(index) + self._settings.allowed_lateness_ms
        return self.sources[topic].has_passed(end_ms + self._offset_ms(topic))

    @property
    def _table_prefix(self) -> bytes:
        return b"%d\x00" % self.partition

    def restore(self, table: Iterable[tuple[bytes, bytes]]) -> None:
        """Take over what a former worker has closed, of this partition, from the table."""
        slots: dict[RoomKey, list[TableSlot]] = {}
        prefix = self._table_prefix
        for name, value in table:
            if not name.startswith(prefix):
                continue
            slot = TableSlot(value)
            fields = slot.fields
            if fields["segment_ms"] != self._settings.segment_ms:
                continue  # of another grid: its indexes mean nothing here
            slots.setdefault(RoomKey(fields["room_id"], fields["started_ms"]), []).append(slot)
        for key, entries in slots.items():
            room = self.rooms[key] = RoomAssembly(key, self._settings)
            room.restore(entries)
            self._schedule(room)

    def process(self, message: SourceMessage) -> list[Emission]:
        """Everything that follows from one message; never raises for what a message contains."""
        source = self.sources[message.topic]
        source.read(message.offset)
        try:
            mark = parse_mark(message.headers) if message.headers else None
        except MalformedRecord as error:
            return [self._refused_mark(message, source.hold(message.ack), str(error))]
        if isinstance(mark, Watermark):
            return [*self._advance(source, mark, message), *self._close_due()]
        hold = source.hold(message.ack)
        if isinstance(mark, RoomEnd):
            emissions = self._end_room(mark, message, hold)
        else:
            emissions = self._add_data(message, hold)
        hold.release()
        return emissions

    def _advance(
        self, source: SourceWatermark, mark: Watermark, message: SourceMessage
    ) -> Iterator[Emission]:
        refuted = source.advance(mark.event_time_ms, message.ack, message)
        if refuted is not None:
            reason = (
                f"mark: found {refuted.mark_ms}, more than {self._settings.max_ahead_ms} ms ahead,"
                f" and then {mark.event_time_ms}, expected the next mark to confirm it"
            )
            yield self._refused_mark(refuted.message, refuted.hold, reason)

    def _add_data(self, message: SourceMessage, hold: Hold) -> list[Emission]:
        topic = message.topic
        try:
            entries = read_records(message, self._max_message_bytes, self._settings)
        except MalformedRecord as error:
            metrics.counter(metrics.events_total, topic).inc()
            return [self._dead_letter(message, hold.retain(), str(error))]
        metrics.counter(metrics.events_total, topic).inc(len(entries.records))
        emissions: list[Emission] = []
        place: _Place | None = None
        new = 0
        for number, record in enumerate(entries.records):
            element = number if entries.is_list else None
            try:
                if isinstance(record, MalformedRecord):
                    raise record
                self._check_not_ahead(record.event_time_ms, topic)
                # A list is mostly of one room and segment: looked up, and held, once.
                if place is None or not place.takes(record):
                    place = self._find_place(record, message, element, hold, emissions)
                    if place is None:
                        continue
                if place.segment.add(record, message.offset, number):
                    new += 1
                else:
                    metrics.counter(metrics.repeated_total, topic).inc()
                if not place.taken:
                    self._take(place, hold)
            except MalformedRecord as error:
                origin = Origin(topic, message.partition, message.offset, element)
                text = message.value if element is None else _entry_bytes(entries.values[number])
                emissions.append(
                    self._dead_letter(message, hold.retain(), str(error), origin, text)
                )
        self.open_entries[topic] += new
        return emissions

    def _check_not_ahead(self, event_time_ms: int, topic: str) -> None:
        """Raise MalformedRecord for a time that would hold its message for hours, or for ever."""
        watermark_ms = self.sources[topic].watermark_ms
        if watermark_ms is None:
            return
        ahead_ms = event_time_ms - watermark_ms
        if ahead_ms > self._settings.max_ahead_ms:
            raise MalformedRecord(
                f"event time: found {event_time_ms}, {ahead_ms} ms ahead of the"
                f" watermark, expected at most {self._settings.max_ahead_ms}"
            )

    def _find_place(
        self,
        record: SourceRecord,
        message: SourceMessage,
        element: int | None,
        hold: Hold,
        emissions: list[Emission],
    ) -> "_Place | None":
        """Where a record goes; None when its segment can no longer change.

        Raises:
            MalformedRecord: there is no room for a further room.
        """
        topic = message.topic
        key = RoomKey.of(record.room_id, record.room_started_ms)
        # Kept only once it holds something: a late or broken record must not leave a room behind.
        room = self.rooms.get(key) or RoomAssembly(key, self._settings)
        offset_ms = self._offset_ms(topic)
        index = room.clock.index_of(max(0, record.event_time_ms - offset_ms))
        if self._has_passed(topic, room, index):
            metrics.late_total.labels(topic).inc()
            origin = Origin(topic, message.partition, message.offset, element)
            fields = record.model_dump()
            emissions.append(
                self._late(record.room_id, index, record.event_time_ms, origin, fields, hold)
            )
            return None
        if room.last_closed_index is not None and index <= room.last_closed_index:
            # On time by its own watermark and yet closed: it was in, at an earlier reading.
            metrics.counter(metrics.repeated_total, topic).inc()
            self._wait_for_newest(key, hold)
            return None
        self._check_room_left(key)
        segment = room.open.get(index) or OpenSegment(self._settings)
        start_ms = room.clock.start_ms(index) + offset_ms
        return _Place(
            record.room_id,
            record.room_started_ms,
            start_ms,
            start_ms + room.clock.segment_ms,
            room,
            index,
            segment,
        )

    def _take(self, place: "_Place", hold: Hold) -> None:
        """Keep the message until the segment is delivered, and the segment, if it is new."""
        place.taken = True
        place.segment.holds.append(hold.retain())
        room = place.room
        if place.index not in room.open:
            room.open[place.index] = place.segment
            self.rooms[room.key] = room
            self._schedule(room)

    def _check_room_left(self, key: RoomKey) -> None:
        """Raise MalformedRecord for one room too many: who makes up ids must not take all memory.

        Here alone the outcome may differ when the log is read again: rooms may have gone meanwhile.
        """
        most = self._settings.max_rooms_a_partition
        if key not in self.rooms and len(self.rooms) >= most:
            raise MalformedRecord(
                f"room_id: found a new room, {key.room_id!r:.60}, expected at most {most} rooms in"
                " a partition (LIMELIGHT_ASSEMBLER_MAX_ROOMS_A_PARTITION)"
            )

    def _end_room(self, mark: RoomEnd, message: SourceMessage, hold: Hold) -> list[Emission]:
        if message.topic != "comments":
            reason = f"header kind: found 'room-end' on {message.topic}, expected it on comments"
            return [self._refused_mark(message, hold.retain(), reason)]
        try:
            self._check_not_ahead(mark.event_time_ms, message.topic)
        except MalformedRecord as error:
            return [self._refused_mark(message, hold.retain(), str(error))]
        key = RoomKey.of(mark.room_id, mark.room_started_ms)
        room = self.rooms.get(key) or RoomAssembly(key, self._settings)
        last_index = room.clock.index_of(mark.event_time_ms - 1)
        if self._has_passed(message.topic, room, last_index):
            metrics.events_total.labels(message.topic).inc()
            metrics.late_total.labels(message.topic).inc()
            origin = Origin(message.topic, message.partition, message.offset)
            fields = {"kind": "room-end", "event_time_ms": mark.event_time_ms}
            return [self._late(mark.room_id, last_index, mark.event_time_ms, origin, fields, hold)]
        if room.last_closed_index is not None and last_index <= room.last_closed_index:
            self._wait_for_newest(key, hold)
            return []
        try:
            self._check_room_left(key)
        except MalformedRecord as error:
            return [self._refused_mark(message, hold.retain(), str(error))]
        self.rooms[key] = room
        room.ends.setdefault(last_index, []).append(hold.retain())
        self._schedule(room)
        return []

    def _wait_for_newest(self, key: RoomKey, hold: Hold) -> None:
        """What a closed segment holds already is done when the room's windows are out.

        Without waiting for them, a crash right now would lose a window that is still on its way.
        """
        newest = self._newest_window.get(key)
        if newest is not None and not newest.settled:
            newest.holds.append(hold.retain())

    def _late(
        self,
        room_id: str,
        segment_index: int,
        event_time_ms: int,
        origin: Origin,
        record: Any,
        hold: Hold,
    ) -> Emission:
        value = encode_late(
            origin,
            room_id=room_id,
            segment_index=segment_index,
            event_time_ms=event_time_ms,
            watermark_ms=self.sources[origin.topic].watermark_ms or 0,
            record=record,
        )
        return Emission("late", room_id.encode(), value, holds=[hold.retain()])

    def _close_due(self) -> Iterator[Emission]:
        """Close what the slowest watermark has passed, in order of time and then of room id."""
        watermark_ms = self.watermark_ms
        while watermark_ms is not None and self._due and self._due[0].at_ms <= watermark_ms:
            due = heapq.heappop(self._due)
            room = self.rooms.get(due.key)
            if room is None or self._scheduled.get(due.key) != due.at_ms:
                continue  # the room has been rescheduled since
            del self._scheduled[due.key]
            if room.next_index is not None:
                yield self._window(room, room.close_next())
                room.closed_at_offsets = {
                    topic: source.last_offset for topic, source in self.sources.items()
                }
            elif room.ends:
                # The room ended without a segment of its own left to close.
                holds = room.take_ends(min(room.ends))
                yield Emission(None, due.key.room_id.encode(), holds=holds)
            elif self._may_be_read_again(room):
                # Forgotten now, it would be assembled once more of what is left of it in the log.
                self._look_at(room.key, watermark_ms + 1)
                continue
            else:
                yield self._forget(room)
                continue
            self._schedule(room)

    def _window(self, room: RoomAssembly, closed: ClosedSegment) -> Emission:
        metrics.segments_total.inc()
        for modality, present in (
            ("frames", closed.segment.has_picture),
            ("asr", bool(closed.segment.speech)),
            ("comments", closed.segment.comment_count > 0),
        ):
            if not present:
                metrics.missing_total.labels(modality).inc()
        window = Emission(
            "windows",
            room.key.room_id.encode(),
            closed.window,
            headers=[("closed_at_ms", b"%d" % self._wall_ms())],
            table={self._table_prefix + closed.slot_key: closed.table_value},
            holds=closed.holds,
            entries=closed.entries,
            open_entries=self.open_entries,
        )
        # Emissions settle in order: once this one has, so have the room's older ones.
        self._newest_window[room.key] = window
        return window

    def _may_be_read_again(self, room: RoomAssembly) -> bool:
        return any(
            self._committed(topic) <= offset for topic, offset in room.closed_at_offsets.items()
        )

    def _forget(self, room: RoomAssembly) -> Emission:
        """Free a finished room; by now whatever could still arrive for it is late."""
        del self.rooms[room.key]
        slots = range(self._settings.window_length)
        return Emission(
            None,
            room.key.room_id.encode(),
            table={self._table_prefix + room.key.slot_key(slot): None for slot in slots},
        )

    def _schedule(self, room: RoomAssembly) -> None:
        """Look at the room again when its next segment may close, or when it may be forgotten."""
        lateness_ms = self._settings.allowed_lateness_ms
        index = room.next_index
        if index is not None:
            at_ms = room.clock.end_ms(index) + lateness_ms
        elif room.ends:
            at_ms = room.clock.end_ms(min(room.ends)) + lateness_ms
        elif room.last_closed_index is not None:
            end_ms = room.clock.end_ms(room.last_closed_index)
            at_ms = end_ms + lateness_ms + self._settings.max_ahead_ms
        else:
            # It never had a segment, and its end has been dealt with.
            del self.rooms[room.key]
            return
        self._look_at(room.key, at_ms)

    def _look_at(self, key: RoomKey, at_ms: int) -> None:
        if self._scheduled.get(key) != at_ms:
            self._scheduled[key] = at_ms
            heapq.heappush(self._due, _Due(at_ms, key))

    def _refused_mark(self, message: SourceMessage, hold: Hold, reason: str) -> Emission:
        """Marks are no events; one that goes to `dlq` counts as one, so that the sums agree."""
        metrics.events_total.labels(message.topic).inc()
        return self._dead_letter(message, hold, reason)

    def _dead_letter(
        self,
        message: SourceMessage,
        hold: Hold,
        reason: str,
        origin: Origin | None = None,
        value: bytes | None = None,
    ) -> Emission:
        metrics.dead_letters_total.labels(message.topic).inc()
        origin = origin or Origin(message.topic, message.partition, message.offset)
        return Emission(
            "dlq",
            str(origin).encode(),
            encode_dead_letter(
                origin, reason, message.value if value is None else value, message.headers
            ),
            holds=[hold],
        )


def _entry_bytes(fields: Any) -> bytes:
    """A list's entry as JSON again, nothing for one that is nested too deep to be written."""
    try:
        return orjson.dumps(fields)
    except TypeError:
        return b""
