"""The rooms that are on air during a run: known messages, with moments worth a highlight.

No room is older than the window at its end, so what an engine knows after a restart is all there is
to know, and its scores must equal those of an engine that never died.
"""

import io
import random
from collections.abc import Iterator

from PIL import Image

from limelight.replay.script import ScriptedMessage
from limelight.streams.records import (
    Comment,
    FrameHeaders,
    RoomEnd,
    Speech,
    Watermark,
    to_json,
)
from limelight.streams.topics import MARKED_SOURCE_TOPICS, partition_of

BASE_MS = 1_700_000_000_000
SEGMENT_MS = 30_000
ROOMS = 6
SEGMENTS = 20
# Rooms start apart, so that their segments do not close together.
STAGGER_MS = 4_700
INTERVAL_MS = 6_000
END_MS = BASE_MS + ROOMS * STAGGER_MS + SEGMENTS * SEGMENT_MS + SEGMENT_MS + 10_000


def world(partitions: int, seed: int = 0) -> list[ScriptedMessage]:
    """Every message of all rooms in event order; marks are `marks`."""
    messages: list[ScriptedMessage] = []
    for number in range(ROOMS):
        room_id = f"room-{number}"
        started_ms = BASE_MS + number * STAGGER_MS
        partition = partition_of(room_id, partitions)
        rng = random.Random(f"{seed}/{number}")
        messages += _room(room_id, started_ms, partition, rng)
    return sorted(messages, key=lambda message: message.at_ms)


def marks(mark_ms: int, partitions: int) -> Iterator[ScriptedMessage]:
    """The marks of all sources at one moment."""
    headers = Watermark(mark_ms).encode()
    for topic in MARKED_SOURCE_TOPICS:
        for partition in range(partitions):
            yield ScriptedMessage(mark_ms, topic, partition, None, b"", headers)


def _room(
    room_id: str, started_ms: int, partition: int, rng: random.Random
) -> Iterator[ScriptedMessage]:
    key = room_id.encode()
    bursts = set(rng.sample(range(6, SEGMENTS - 1), 2))
    for segment in range(SEGMENTS):
        start_ms = started_ms + segment * SEGMENT_MS
        for third in range(3):
            at_ms = start_ms + 5_000 + third * 10_000
            headers = FrameHeaders(room_id, "streamer", at_ms, started_ms).encode()
            yield ScriptedMessage(at_ms, "frames", partition, key, _picture(rng), headers)
        for number in range(4):
            at_ms = start_ms + number * 7_000 + rng.randrange(3_000)
            line = Speech(
                room_id=room_id,
                room_started_ms=started_ms,
                start_ms=at_ms,
                end_ms=at_ms + 3_000,
                text=f"line {segment}.{number} {rng.random():.3f}",
            )
            yield ScriptedMessage(line.end_ms, "asr", partition, key, to_json(line), [])
        count = 70 if segment in bursts else rng.randrange(5, 9)
        times = sorted(start_ms + rng.randrange(SEGMENT_MS) for _ in range(count))
        for at in range(0, count, 5):
            comments = [
                to_json(
                    Comment(
                        room_id=room_id,
                        room_started_ms=started_ms,
                        event_time_ms=time_ms,
                        comment_id=f"{segment}.{at + place}",
                        user=f"user {rng.randrange(1_000)}",
                        text=f"comment {rng.random():.4f}",
                    )
                )
                for place, time_ms in enumerate(times[at : at + 5])
            ]
            value = b"[" + b",".join(comments) + b"]"
            yield ScriptedMessage(times[at : at + 5][-1], "comments", partition, key, value, [])
    end_ms = started_ms + SEGMENTS * SEGMENT_MS
    end = RoomEnd(room_id, end_ms, started_ms)
    yield ScriptedMessage(end_ms, "comments", partition, key, b"", end.encode())


def in_order(partitions: int) -> Iterator[ScriptedMessage]:
    """Messages and marks as a faultless producer sends them."""
    messages, place = world(partitions), 0
    for mark_ms in range(BASE_MS, END_MS + INTERVAL_MS, INTERVAL_MS):
        while place < len(messages) and messages[place].at_ms < mark_ms:
            yield messages[place]
            place += 1
        yield from marks(mark_ms, partitions)


def _picture(rng: random.Random) -> bytes:
    image = Image.new("RGB", (64, 64), tuple(rng.randrange(256) for _ in range(3)))
    picture = io.BytesIO()
    image.save(picture, "JPEG")
    return picture.getvalue()
