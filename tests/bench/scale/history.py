"""What rooms have been through before a measurement: 20 closed segments each, in the table's log.

Windows are full, and a worker that starts reads its rooms from the table, as after any restart.
That takes seconds, where sending ten minutes of 10,000 rooms would take minutes and a broker's
memory.

A few hundred rooms are assembled by the assembler itself, of segments like those of the load: a
feature, six lines of speech, a segment's comments. The others are told like one of these, under
their own names and times.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic

from limelight.replay.load import LoadOptions, LoadRooms
from limelight.streams.assembly import PartitionAssembly
from limelight.streams.kafka import connect_admin, connection_options
from limelight.streams.records import Watermark, header_map
from limelight.streams.room_assembly import RoomKey, TableSlot
from limelight.streams.segments import SegmentClock
from limelight.streams.settings import AssemblerSettings, KafkaSettings
from limelight.streams.source_messages import SourceMessage
from limelight.streams.topics import MODALITY_TOPICS
from limelight.streams.watermark import no_ack

CHANGELOG = "limelight-worker-assembler-segments-changelog"
_ASSEMBLED_ROOMS = 200
_LINES_A_SEGMENT = 6
# What comes beyond 50 is counted in a segment and not kept.
_MOST_COMMENTS = 60
_SAMPLED_SLICES = 100
_MAX_MESSAGE_BYTES = 1_000_000

# Partition, key and value of a record of the table's log.
Entry = tuple[int, bytes, bytes]


def room_history(
    options: LoadOptions, settings: AssemblerSettings, partitions: int
) -> Iterator[list[Entry]]:
    """For each room of the load, what the table holds of the 20 segments before `base_ms`."""
    rooms = LoadRooms(options, segment_ms=settings.segment_ms, partitions=partitions)
    assembled = _assemble(rooms, options, settings)
    for number, key in enumerate(rooms.keys):
        room = RoomKey(key.decode(), int(rooms.started_ms[number]))
        clock = _clock(room, settings)
        newest = clock.index_of(options.base_ms) - 1
        slots = assembled[number % len(assembled)]
        entries = []
        for back, slot in enumerate(reversed(slots)):
            index = newest - back
            value = _told_like(slot, room, index, clock.start_ms(index)).value
            slot_key = room.slot_key(index % settings.window_length)
            partition = rooms.partition[number]
            entries.append((partition, b"%d\x00%s" % (partition, slot_key), value))
        yield entries[::-1]


def _told_like(slot: TableSlot, room: RoomKey, index: int, start_ms: int) -> TableSlot:
    """The slot as that of another room and time."""
    segment = orjson.loads(slot.segment)
    moved_ms = start_ms - segment["start_ms"]
    segment |= {
        "index": index,
        "start_ms": start_ms,
        "frame_times_ms": [time_ms + moved_ms for time_ms in segment["frame_times_ms"]],
    }
    own = {"room_id": room.room_id, "started_ms": room.started_ms, "index": index}
    return TableSlot.of({**slot.fields, **own}, orjson.dumps(segment))


def _clock(room: RoomKey, settings: AssemblerSettings) -> SegmentClock:
    return SegmentClock.of_room(room.room_id, room.room_started_ms, settings.segment_ms)


def _assemble(
    rooms: LoadRooms, options: LoadOptions, settings: AssemblerSettings
) -> list[list[TableSlot]]:
    """The slots of the first rooms, oldest first, as the assembler writes them."""
    sample = _Sample(rooms, options)
    rng = np.random.default_rng(options.seed)
    assembly = PartitionAssembly(
        0, settings, max_message_bytes=_MAX_MESSAGE_BYTES, wall_ms=lambda: 0
    )
    slots: dict[bytes, list[TableSlot]] = {key: [] for key in rooms.keys[:_ASSEMBLED_ROOMS]}
    offset = 0
    for back in reversed(range(settings.window_length)):
        for number, key in enumerate(slots):
            room = RoomKey(key.decode(), int(rooms.started_ms[number]))
            clock = _clock(room, settings)
            start_ms = clock.start_ms(clock.index_of(options.base_ms) - 1 - back)
            comments = min(rng.poisson(rooms.comment_rate[number] * 30), _MOST_COMMENTS)
            for topic, value in sample.segment(rng, room, start_ms, comments, offset):
                offset += 1
                body = orjson.dumps(value)
                assert not assembly.process(SourceMessage(topic, 0, offset, body, {}, no_ack))
        mark_ms = options.base_ms + settings.allowed_lateness_ms - back * settings.segment_ms
        mark = header_map(Watermark(mark_ms).encode())
        for topic in MODALITY_TOPICS:
            offset += 1
            for emission in assembly.process(SourceMessage(topic, 0, offset, b"", mark, no_ack)):
                slots[emission.key] += [
                    TableSlot(value) for value in emission.table.values() if value
                ]
                emission.settle()
    assert {len(each) for each in slots.values()} == {settings.window_length}
    return list(slots.values())


class _Sample:
    """Features, lines and comments as the load sends them, to make whole segments of."""

    def __init__(self, rooms: LoadRooms, options: LoadOptions) -> None:
        self._found: dict[str, list[dict[str, Any]]] = {topic: [] for topic in MODALITY_TOPICS}
        for number in range(_SAMPLED_SLICES):
            for message in rooms.slice(options.base_ms + number * 100):
                value = orjson.loads(message.value)
                self._found[message.topic] += value if isinstance(value, list) else [value]

    def segment(
        self,
        rng: np.random.Generator,
        room: RoomKey,
        start_ms: int,
        comments: int,
        frame_offset: int,
    ) -> Iterator[tuple[str, Any]]:
        own = {"room_id": room.room_id, "room_started_ms": room.started_ms, "streamer_id": "s"}
        lines, features = self._found["asr"], self._found["frame-features"]
        feature = features[frame_offset % len(features)]
        at = {"event_time_ms": start_ms + 15_000, "frame_offset": frame_offset}
        yield "frame-features", {**feature, **own, **at}
        first = int(rng.integers(len(lines) - _LINES_A_SEGMENT))
        text = " ".join(line["text"] for line in lines[first : first + _LINES_A_SEGMENT])
        yield "asr", {**own, "start_ms": start_ms, "end_ms": start_ms + 29_000, "text": text}
        if comments:
            pool = self._found["comments"]
            first = int(rng.integers(len(pool)))
            said = [pool[(first + k) % len(pool)] for k in range(comments)]
            yield (
                "comments",
                [
                    {**each, **own, "event_time_ms": start_ms + k * 400}
                    for k, each in enumerate(said)
                ],
            )


async def write_history(
    options: LoadOptions, settings: AssemblerSettings, kafka: KafkaSettings
) -> None:
    """Create the table's log and write the rooms' history to it."""
    admin = await connect_admin(kafka)
    try:
        compacted = {"cleanup.policy": "compact"}
        topic = NewTopic(CHANGELOG, kafka.partitions, 1, topic_configs=compacted)
        await admin.create_topics([topic])
    finally:
        await admin.close()
    producer = AIOKafkaProducer(
        **connection_options(kafka), acks="all", max_batch_size=500_000, linger_ms=5
    )
    await producer.start()
    try:
        for room in room_history(options, settings, kafka.partitions):
            for partition, key, value in room:
                await producer.send(CHANGELOG, value, key=key, partition=partition)
        await producer.flush()
    finally:
        await producer.stop()
