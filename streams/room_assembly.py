"""One room while it is on air: its open segments, and the window of those that have closed."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from limelight.engine.window import Segment
from limelight.streams.records import Comment, FrameFeature, Speech
from limelight.streams.segments import SegmentClock
from limelight.streams.settings import AssemblerSettings
from limelight.streams.watermark import Hold
from limelight.streams.window_records import decode_feature, encode_segment, encode_window

# More characters than any text encoder reads; the counts stay complete.
MAX_TEXT_CHARS_KEPT = 2_000
# Three are usual. What comes beyond is left out of the mean and the times.
MAX_FRAMES_KEPT = 30


class RoomKey(NamedTuple):
    """A room between one start and its end; `started_ms` is -1 where messages carry none."""

    room_id: str
    started_ms: int

    @classmethod
    def of(cls, room_id: str, room_started_ms: int | None) -> "RoomKey":
        return cls(room_id, -1 if room_started_ms is None else room_started_ms)

    @property
    def room_started_ms(self) -> int | None:
        return None if self.started_ms < 0 else self.started_ms

    def slot_key(self, slot: int) -> bytes:
        return b"\x00".join((self.room_id.encode(), b"%d" % self.started_ms, b"%d" % slot))


@dataclass(slots=True)
class OpenSegment:
    """What has come for one segment, each by its identity, so that a repeat changes nothing."""

    features: dict[int, tuple[int, int, tuple[str, str], NDArray[np.float16]]] = field(
        default_factory=dict
    )
    speech: dict[int, tuple[int, int, str]] = field(default_factory=dict)
    comments: dict[Any, tuple[int, int, int, str, str]] = field(default_factory=dict)
    streamers: set[str] = field(default_factory=set)
    holds: list[Hold] = field(default_factory=list)

    def add(self, record: Comment | Speech | FrameFeature, offset: int, element: int) -> bool:
        """Whether the record was new; a repeated one is left out."""
        time_ms = record.event_time_ms
        if isinstance(record, Comment):
            identity = record.comment_id or (offset, element)
            if identity in self.comments:
                return False
            self.comments[identity] = (time_ms, offset, element, record.user, record.text)
        elif isinstance(record, Speech):
            if offset in self.speech:
                return False
            self.speech[offset] = (time_ms, offset, record.text)
        else:
            if record.frame_offset in self.features:
                return False
            encoder = (record.encoder_id, record.encoder_revision)
            feature = decode_feature(record.feature)
            self.features[record.frame_offset] = (time_ms, record.frame_offset, encoder, feature)
        if record.streamer_id:
            self.streamers.add(record.streamer_id)
        return True

    def close(
        self, index: int, start_ms: int, settings: AssemblerSettings
    ) -> tuple[Segment, tuple[str, str] | None]:
        """The finished segment and the encoder of its picture features."""
        frames = sorted(self.features.values(), key=lambda frame: frame[:2])
        encoder = frames[-1][2] if frames else None
        usable = [frame for frame in frames if frame[2] == encoder]
        usable = [frame for frame in usable if frame[3].shape == usable[-1][3].shape]
        usable = usable[:MAX_FRAMES_KEPT]
        comments = sorted(self.comments.values(), key=lambda comment: comment[:3])
        per_user = Counter(user for _, _, _, user, _ in comments if user)
        unknown = sum(1 for comment in comments if not comment[3])
        weight = unknown + sum(1.0 / k for count in per_user.values() for k in range(1, count + 1))
        return (
            Segment(
                index=index,
                start_ms=start_ms,
                frame_feature=_mean([frame[3] for frame in usable]),
                frame_times_ms=tuple(frame[0] for frame in usable),
                speech=" ".join(text for _, _, text in sorted(self.speech.values()))[
                    :MAX_TEXT_CHARS_KEPT
                ],
                comments=_sample([text for *_, text in comments], settings.max_comments_kept),
                comment_count=len(comments),
                user_count=len(per_user) + unknown,
                comment_weight=weight,
            ),
            encoder,
        )


def _mean(features: list[NDArray[np.float16]]) -> NDArray[np.float16] | None:
    """Mean of the features, summed in float32; None of none."""
    if not features:
        return None
    mean: NDArray[np.float32] = np.stack(features).mean(axis=0, dtype=np.float32)
    return mean.astype(np.float16)


def _sample(texts: list[str], most: int) -> tuple[str, ...]:
    """At most `most` texts, evenly spaced in event order, and not too many characters of them."""
    if len(texts) > most:
        texts = [texts[k * len(texts) // most] for k in range(most)]
    kept, room_left = [], MAX_TEXT_CHARS_KEPT
    for text in texts:
        room_left -= len(text)
        if room_left < 0:
            break
        kept.append(text)
    return tuple(kept)


class ClosedSegment(NamedTuple):
    """A segment that has closed: its window record, its table entry, and what to release."""

    window: bytes
    slot_key: bytes
    table_slot: dict[str, Any]
    segment: Segment
    holds: list[Hold]


class RoomAssembly:
    """Open segments of one room and its last closed ones.

    A room lives from its first segment with data until an announced end, or until `idle_segments`
    empty segments in a row; after that, new data begins a new life with an empty window.
    """

    def __init__(self, key: RoomKey, settings: AssemblerSettings) -> None:
        self.key = key
        self.clock = SegmentClock.of_room(key.room_id, key.room_started_ms, settings.segment_ms)
        self.open: dict[int, OpenSegment] = {}
        # What holds each announced end, by the last segment of the life that it ends.
        self.ends: dict[int, list[Hold]] = {}
        self.last_closed_index: int | None = None
        self._settings = settings
        self._closed: deque[bytes] = deque(maxlen=settings.window_length)
        self._alive = False
        self._empty_in_a_row = 0
        self._streamer_id = ""

    @property
    def next_index(self) -> int | None:
        """The segment to close next; None while the room has nothing to say."""
        if self._alive and self.last_closed_index is not None:
            return self.last_closed_index + 1
        if self.open:
            return min(self.open)
        return None

    def take_ends(self, index: int) -> list[Hold]:
        """What held the ends that were announced up to a segment; they have been dealt with."""
        past = [last_index for last_index in self.ends if last_index <= index]
        return [hold for last_index in past for hold in self.ends.pop(last_index)]

    def close_next(self) -> ClosedSegment:
        """Close the next segment and give its window. Only with `next_index` not None."""
        index = self.next_index
        if index is None:
            raise ValueError(f"room {self.key.room_id}: nothing open, expected a segment to close")
        opened = self.open.pop(index, None) or OpenSegment()
        segment, encoder = opened.close(index, self.clock.start_ms(index), self._settings)
        self._streamer_id = min(opened.streamers, default=self._streamer_id)
        empty = not (segment.has_picture or segment.has_text)
        self._empty_in_a_row = self._empty_in_a_row + 1 if empty else 0
        final = index in self.ends or self._empty_in_a_row >= self._settings.idle_segments
        self._closed.append(encode_segment(segment, encoder))
        self.last_closed_index, self._alive = index, True
        window = encode_window(
            room_id=self.key.room_id,
            streamer_id=self._streamer_id,
            room_started_ms=self.key.room_started_ms,
            segment_ms=self.clock.segment_ms,
            segments=tuple(self._closed),
            segment_index=index,
            start_ms=segment.start_ms,
            final=final,
        )
        table_slot = {
            "room_id": self.key.room_id,
            "started_ms": self.key.started_ms,
            "segment_ms": self.clock.segment_ms,
            "streamer_id": self._streamer_id,
            "final": final,
            "empty_in_a_row": self._empty_in_a_row,
            "index": index,
            "segment": orjson.Fragment(self._closed[-1]),
        }
        holds = opened.holds + self.take_ends(index)
        if final:
            self._finish()
        slot = index % self._settings.window_length
        return ClosedSegment(window, self.key.slot_key(slot), table_slot, segment, holds)

    def restore(self, slots: Sequence[Mapping[str, Any]]) -> None:
        """Take over the closed segments that the table holds."""
        slots = sorted(slots, key=lambda slot: int(slot["index"]))[-self._settings.window_length :]
        newest = slots[-1]
        self.last_closed_index = int(newest["index"])
        self._streamer_id = newest["streamer_id"]
        if newest["final"]:
            return
        self._alive = True
        self._empty_in_a_row = newest["empty_in_a_row"]
        kept: list[Mapping[str, Any]] = []
        for slot in reversed(slots):
            if kept and (slot["final"] or slot["index"] != kept[-1]["index"] - 1):
                break  # an earlier life of the room
            kept.append(slot)
        self._closed.extend(orjson.dumps(slot["segment"]) for slot in reversed(kept))

    def _finish(self) -> None:
        self._alive = False
        self._empty_in_a_row = 0
        self._closed.clear()
