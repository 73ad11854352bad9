"""Simulated rooms on air: the messages that a platform would send while they stream."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from limelight.kernels.energy import SEGMENT_MS
from limelight.models.datasets.labelled_room import COUNT_NAMES
from limelight.replay.marks import Marks, closing_mark_ms
from limelight.replay.readers.lines import CommentLine, EngagementLine, SpeechLine
from limelight.replay.script import ScriptedRoom, told_messages
from limelight.replay.scripted_message import ScriptedMessage
from limelight.replay.simulator.pictures import Artist
from limelight.replay.simulator.raw_rooms import PICTURES, WORDS
from limelight.replay.simulator.words import comments, speech
from limelight.replay.simulator.world import RoomTruth, World
from limelight.streams.topics import partition_of

_PICTURE_SIZE = (160, 90)


@dataclass(frozen=True)
class SimulatedRoom:
    """A room of a world, so many segments long; it tells what a `Recording` tells."""

    world: World
    number: int
    segments: int

    align_to_start = True

    @cached_property
    def truth(self) -> RoomTruth:
        return self.world.room(self.number, segments=self.segments)

    @property
    def room_id(self) -> str:
        return self.truth.room_id

    @property
    def streamer_id(self) -> str:
        return self.truth.streamer.streamer_id

    @property
    def duration_ms(self) -> int:
        return self.truth.duration_ms

    @cached_property
    def _words(self) -> tuple[list[SpeechLine], list[CommentLine]]:
        rng = self.world.rng(self.number, WORDS)
        said = [SpeechLine(e.start_ms, e.end_ms, e.text) for e in speech(self.truth, rng)]
        written = [CommentLine(e.at_ms, e.user, e.text) for e in comments(self.truth, rng)]
        return said, written

    def read_speech(self) -> Iterator[SpeechLine]:
        return iter(self._words[0])

    def read_comments(self) -> Iterator[CommentLine]:
        return iter(self._words[1])

    def read_engagement(self) -> Iterator[EngagementLine]:
        for segment, row in enumerate(self.world.counts(self.truth, self.number).tolist()):
            counts = dict(zip(COUNT_NAMES, row, strict=True))
            yield EngagementLine(segment * SEGMENT_MS, (segment + 1) * SEGMENT_MS, counts)


def broadcast(
    rooms: Sequence[SimulatedRoom],
    *,
    base_ms: int,
    partitions: int,
    mark_interval_ms: int,
    closing_delay_ms: int,
    user_key: bytes,
) -> Iterator[ScriptedMessage]:
    """Every message of the rooms, which all start at `base_ms`, with exact marks between them."""
    marks = Marks(base_ms, interval_ms=mark_interval_ms, partitions=partitions)
    streams = []
    for room in rooms:
        partition = partition_of(room.room_id, partitions)
        scripted = ScriptedRoom(room, base_ms, partition, user_key)
        streams.append(told_messages(scripted, _pictures(room, scripted)))
    yield from marks.first()
    for message in heapq.merge(*streams, key=lambda message: message.at_ms):
        yield from marks.up_to(message.at_ms)
        yield message
    last_ms = base_ms + max(room.duration_ms for room in rooms)
    yield from marks.last(last_ms, closing_mark_ms(last_ms, SEGMENT_MS, closing_delay_ms))


def _pictures(room: SimulatedRoom, scripted: ScriptedRoom) -> Iterator[ScriptedMessage]:
    """One picture from the middle of each segment."""
    rng, artist = room.world.rng(room.number, PICTURES), Artist(room.truth)
    for segment in range(room.segments):
        at_ms = scripted.base_ms + segment * SEGMENT_MS + SEGMENT_MS // 2
        yield scripted.picture(at_ms, artist.picture(segment, rng, _PICTURE_SIZE))
