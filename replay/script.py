"""What a replay sends, in order: the messages of recordings as a live platform would send them.

All recordings start together at `base_ms`. Comments go out in lists of two seconds, which is what
keeps an assembler fast. Marks are exact: one at M follows every message with an older event time,
because both lists and marks sit on the same two-second grid.
"""

import heapq
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import orjson
from PIL import Image

from limelight.replay.frames import FrameReader, segment_frame_offsets
from limelight.replay.marks import MARK_GRID_MS, Marks, closing_mark_ms
from limelight.replay.readers.lines import CommentLine, EngagementLine, SpeechLine
from limelight.replay.recording import Recording
from limelight.replay.scripted_message import ScriptedMessage as ScriptedMessage
from limelight.streams.records import (
    Comment,
    Engagement,
    FrameHeaders,
    Headers,
    RoomEnd,
    Speech,
    to_json,
)
from limelight.streams.topics import partition_of
from limelight.streams.user_ids import hash_user

# On the marks' grid, so that a mark never parts a list.
COMMENT_LIST_MS = MARK_GRID_MS
FRAMES_A_SEGMENT = 3
JPEG_QUALITY = 85
# Encoders look at 224 pixels; a frame of this size stays far below Kafka's usual message limit.
MAX_SIDE_PIXELS = 640
MAX_COMMENT_LIST_BYTES = 200_000
_COUNTS = frozenset(Engagement.model_fields) - {"room_id", "streamer_id", "room_started_ms", "paid"}


class Told(Protocol):
    """What a room tells beside its pictures; times in ms since its start. `Recording` is one."""

    @property
    def room_id(self) -> str: ...
    @property
    def streamer_id(self) -> str: ...
    @property
    def align_to_start(self) -> bool: ...
    @property
    def duration_ms(self) -> int: ...

    def read_speech(self) -> Iterator[SpeechLine]: ...
    def read_comments(self) -> Iterator[CommentLine]: ...
    def read_engagement(self) -> Iterator[EngagementLine]: ...


@dataclass(frozen=True, slots=True)
class ScriptedRoom:
    """A recording as a live room: its ids, and where its messages go."""

    recording: Told
    base_ms: int
    partition: int
    user_key: bytes

    @property
    def started_ms(self) -> int | None:
        return self.base_ms if self.recording.align_to_start else None

    def message(
        self, at_ms: int, topic: str, value: bytes, headers: Headers | None = None
    ) -> ScriptedMessage:
        key = self.recording.room_id.encode()
        return ScriptedMessage(at_ms, topic, self.partition, key, value, headers or [])

    def picture(self, at_ms: int, image: Image.Image) -> ScriptedMessage:
        told, data = self.recording, io.BytesIO()
        image.save(data, "JPEG", quality=JPEG_QUALITY)
        headers = FrameHeaders(told.room_id, told.streamer_id, at_ms, self.started_ms)
        return self.message(at_ms, "frames", data.getvalue(), headers.encode())


def script(
    recordings: Sequence[Recording],
    *,
    base_ms: int,
    segment_ms: int,
    partitions: int,
    mark_interval_ms: int,
    closing_delay_ms: int,
    user_key: bytes,
    from_ms: int | None = None,
    to_ms: int | None = None,
) -> Iterator[ScriptedMessage]:
    """Every message of the recordings and the marks between them, in event-time order.

    User ids are hashed with `user_key` before they go anywhere. With `from_ms` or `to_ms` only the
    messages due in `[from_ms, to_ms)`; a room that ends at `to_ms` ends.

    Raises:
        ValueError: no recordings, two with one room id, or marks off the comments' grid.
        MalformedRecording: a file turns out broken on the way.
    """
    if not recordings:
        raise ValueError("replay: found no recordings, expected at least one")
    ids = [recording.room_id for recording in recordings]
    if len(set(ids)) < len(ids):
        raise ValueError(f"replay: found a room id twice among {sorted(ids)}, expected each once")
    start_ms = base_ms if from_ms is None else max(base_ms, from_ms)
    # A list may hold comments of all of its two seconds, so marks begin with the grid's cell.
    start_ms -= (start_ms - base_ms) % MARK_GRID_MS
    marks = Marks(start_ms, interval_ms=mark_interval_ms, partitions=partitions)
    rooms = [
        ScriptedRoom(recording, base_ms, partition_of(recording.room_id, partitions), user_key)
        for recording in recordings
    ]
    first_ms = start_ms if from_ms is None else from_ms
    streams = [
        _room_messages(recording, room, segment_ms, first_ms)
        for recording, room in zip(recordings, rooms, strict=True)
    ]
    merged = heapq.merge(*streams, key=lambda message: message.at_ms)
    yield from marks.first()
    for message in merged:
        if message.at_ms < first_ms:
            continue
        if to_ms is not None and message.at_ms >= to_ms:
            if message.at_ms > to_ms:
                break
            if message.value:
                continue  # the end of a room is no longer a message of the interval's end
        yield from marks.up_to(message.at_ms)
        yield message
    last_ms = base_ms + max(recording.duration_ms for recording in recordings)
    last_ms = last_ms if to_ms is None else min(last_ms, to_ms)
    yield from marks.last(last_ms, closing_mark_ms(last_ms, segment_ms, closing_delay_ms))


def _room_messages(
    recording: Recording, room: ScriptedRoom, segment_ms: int, first_ms: int
) -> Iterator[ScriptedMessage]:
    yield from told_messages(room, _frames(recording, room, segment_ms, first_ms))


def told_messages(
    room: ScriptedRoom, frames: Iterator[ScriptedMessage]
) -> Iterator[ScriptedMessage]:
    """A room's messages in event-time order, its pictures among them, and its end."""
    end_ms = room.base_ms + room.recording.duration_ms
    yield from heapq.merge(
        frames,
        _speech(room),
        _comments(room),
        _engagement(room),
        key=lambda message: message.at_ms,
    )
    end = RoomEnd(room.recording.room_id, end_ms, room.started_ms)
    yield room.message(end_ms, "comments", b"", end.encode())


def _frames(
    recording: Recording, room: ScriptedRoom, segment_ms: int, first_ms: int
) -> Iterator[ScriptedMessage]:
    if recording.video is None:
        return
    centres = segment_frame_offsets(segment_ms, FRAMES_A_SEGMENT)
    wanted = [
        start_ms + centre_ms - recording.video.offset_ms
        for start_ms in range(0, recording.duration_ms, segment_ms)
        for centre_ms in centres
        if room.base_ms + start_ms + centre_ms >= first_ms
        and start_ms + centre_ms < recording.duration_ms
        and start_ms + centre_ms >= recording.video.offset_ms
    ]
    with FrameReader(recording.video.path) as reader:
        for frame in reader.read(wanted, loop=recording.video.loop):
            at_ms = room.base_ms + recording.video.offset_ms + frame.offset_ms
            frame.image.thumbnail((MAX_SIDE_PIXELS, MAX_SIDE_PIXELS))
            yield room.picture(at_ms, frame.image)


def _speech(room: ScriptedRoom) -> Iterator[ScriptedMessage]:
    duration_ms = room.recording.duration_ms
    lines = sorted(room.recording.read_speech(), key=lambda line: line.end_ms)
    for line in lines:
        if line.end_ms <= duration_ms:
            # What ends with the recording belongs to its last segment, not to one behind it.
            end_ms = min(line.end_ms, duration_ms - 1)
            record = Speech(
                room_id=room.recording.room_id,
                streamer_id=room.recording.streamer_id,
                room_started_ms=room.started_ms,
                start_ms=room.base_ms + min(line.start_ms, end_ms),
                end_ms=room.base_ms + end_ms,
                text=line.text,
            )
            yield room.message(record.end_ms, "asr", to_json(record))


def _comments(room: ScriptedRoom) -> Iterator[ScriptedMessage]:
    duration_ms = room.recording.duration_ms
    lines = [line for line in room.recording.read_comments() if line.offset_ms < duration_ms]
    lines.sort(key=lambda line: line.offset_ms)
    numbered = enumerate(lines)
    for cell, group in groupby(numbered, key=lambda each: each[1].offset_ms // COMMENT_LIST_MS):
        comments = [_comment(room, line, number) for number, line in group]
        # Sent when the last of its two seconds has passed, and so before the mark that follows.
        at_ms = min(room.base_ms + (cell + 1) * COMMENT_LIST_MS, room.base_ms + duration_ms) - 1
        for part in _split(comments):
            yield room.message(at_ms, "comments", b"[" + b",".join(part) + b"]")


def _split(comments: list[bytes]) -> Iterator[list[bytes]]:
    """The comments in lists that are not too large for one message, in their order."""
    part: list[bytes] = []
    size = 0
    for comment in comments:
        if part and (size + len(comment) > MAX_COMMENT_LIST_BYTES or len(part) >= 1_000):
            yield part
            part, size = [], 0
        part.append(comment)
        size += len(comment)
    if part:
        yield part


def _comment(room: ScriptedRoom, line: CommentLine, number: int) -> bytes:
    return to_json(
        Comment(
            comment_id=f"{number:07d}",
            room_id=room.recording.room_id,
            streamer_id=room.recording.streamer_id,
            room_started_ms=room.started_ms,
            event_time_ms=room.base_ms + line.offset_ms,
            text=line.text,
            user=hash_user(room.user_key, line.user),
        )
    )


def _engagement(room: ScriptedRoom) -> Iterator[ScriptedMessage]:
    recording = room.recording
    for line in sorted(recording.read_engagement(), key=lambda line: line.end_ms):
        if line.end_ms > recording.duration_ms:
            continue
        end_ms = min(line.end_ms, recording.duration_ms - 1)
        fields = {
            "room_id": recording.room_id,
            "streamer_id": recording.streamer_id,
            "room_started_ms": room.started_ms,
            "start_ms": room.base_ms + min(line.start_ms, end_ms),
            "end_ms": room.base_ms + end_ms,
        }
        known = {name: count for name, count in line.counts.items() if name in _COUNTS}
        paid = {name: count for name, count in line.counts.items() if name not in _COUNTS}
        if paid:
            known["paid"] = paid  # type: ignore[assignment]
        record = Engagement.model_validate(fields | known)
        yield room.message(record.end_ms, "engagement", orjson.dumps(record.model_dump()))
