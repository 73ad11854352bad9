"""One room while it is on air: its open segments, and the window of those that have closed."""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from limelight.engine.window import COMMENT_BINS, Segment
from limelight.streams import metrics
from limelight.streams.records import Comment, FrameFeature, Speech
from limelight.streams.segments import SegmentClock
from limelight.streams.settings import AssemblerSettings
from limelight.streams.watermark import Hold
from limelight.streams.window_records import decode_feature, encode_segment, encode_window

# More characters than any text encoder reads; the counts stay complete.
MAX_TEXT_CHARS_KEPT = 2_000
# Three are usual. What comes beyond is left out of the mean and the times.
MAX_FRAMES_KEPT = 30
_SEGMENT_MARK = b',"segment":'
# Of speech, more lines than anybody can say.
MAX_LINES_KEPT = 200


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


class OpenSegment:
    """What has come for one segment, each entry by its identity, so that a repeat changes nothing.

    A comment is the same by its `comment_id`, or by time, user and text where it has none; without
    a user as well, only the same place in the log is the same comment. Speech is the same by its
    times and text, a picture by its time. So a producer may send again what it is not sure of.

    Beyond its limits a segment counts and keeps nothing, so that a flood stays in bounds.
    """

    __slots__ = ("_beyond", "_settings", "comments", "features", "holds", "per_user", "speech",
                 "streamers")  # fmt: skip

    def __init__(self, settings: AssemblerSettings) -> None:
        self.features: dict[int, tuple[int, tuple[str, str], NDArray[np.float16]]] = {}
        self.speech: set[tuple[int, int, str]] = set()
        self.comments: dict[Any, tuple[int, str, str, str, int, int]] = {}
        self.per_user: dict[str, int] = {}
        self.streamers: set[str] = set()
        self.holds: list[Hold] = []
        self._settings = settings
        self._beyond: dict[str, _Beyond] = {}

    def add(self, record: Comment | Speech | FrameFeature, offset: int, element: int) -> bool:
        """Whether the record was new; a repeated one is left out."""
        if isinstance(record, Comment):
            new = self._add_comment(record, offset, element)
        elif isinstance(record, Speech):
            line = (record.end_ms, record.start_ms, record.text)
            if line in self.speech:
                return False
            new = len(self.speech) < MAX_LINES_KEPT or self._count("asr", offset, element)
            if len(self.speech) < MAX_LINES_KEPT:
                self.speech.add(line)
        else:
            new = self._add_feature(record, offset, element)
        if new and record.streamer_id:
            self.streamers.add(record.streamer_id)
        return new

    def _add_comment(self, comment: Comment, offset: int, element: int) -> bool:
        time_ms, user, text = comment.event_time_ms, comment.user, comment.text
        identity: Any = comment.comment_id
        if not identity:
            identity = (time_ms, user, text) if user else (offset, element)
        if identity in self.comments:
            return False
        users_before = self.per_user.get(user, 0)
        flooded = len(self.comments) >= self._settings.max_comments_a_segment
        if flooded or users_before >= self._settings.max_comments_a_user:
            metrics.capped_total.labels("room" if flooded else "user").inc()
            if not self._count("comments", offset, element):
                return False
            if users_before:
                self.per_user[user] = users_before + 1
            return True
        # In the order that a segment gives them: by what they say, not by a hash of who said it.
        self.comments[identity] = (time_ms, comment.comment_id, text, user, offset, element)
        if user:
            self.per_user[user] = users_before + 1
        return True

    def _add_feature(self, record: FrameFeature, offset: int, element: int) -> bool:
        known = self.features.get(record.event_time_ms)
        if known is None and len(self.features) >= MAX_FRAMES_KEPT:
            return self._count("frame-features", offset, element)
        # Of two pictures of one moment the first in `frames` counts, whichever is encoded first.
        if known is None or record.frame_offset < known[0]:
            encoder = (record.encoder_id, record.encoder_revision)
            feature = decode_feature(record.feature)
            self.features[record.event_time_ms] = (record.frame_offset, encoder, feature)
        return known is None

    def _count(self, topic: str, offset: int, element: int) -> bool:
        """Count what is beyond a limit, unless it is read again."""
        beyond = self._beyond.setdefault(topic, _Beyond())
        if (offset, element) <= beyond.newest:
            return False
        beyond.newest = (offset, element)
        beyond.count += 1
        return True

    def entries(self) -> dict[str, int]:
        """How many entries each modality topic gave to this segment, kept or not."""
        kept = {
            "frame-features": len(self.features),
            "asr": len(self.speech),
            "comments": len(self.comments),
        }
        return {
            topic: count + (self._beyond[topic].count if topic in self._beyond else 0)
            for topic, count in kept.items()
        }

    def close(
        self, index: int, start_ms: int, settings: AssemblerSettings
    ) -> tuple[Segment, tuple[str, str] | None]:
        """The finished segment and the encoder of its picture features."""
        frames = sorted(self.features.items())
        encoder = frames[-1][1][1] if frames else None
        usable = [(time_ms, frame[2]) for time_ms, frame in frames if frame[1] == encoder]
        usable = [frame for frame in usable if frame[1].shape == usable[-1][1].shape]
        comments = sorted(self.comments.values())
        unknown = sum(1 for comment in comments if not comment[3])
        # Rounded once, so that the order in which users spoke first does not show.
        weight = unknown + math.fsum(_harmonic(count) for count in self.per_user.values())
        return (
            Segment(
                index=index,
                start_ms=start_ms,
                frame_feature=_mean([feature for _, feature in usable]),
                frame_times_ms=tuple(time_ms for time_ms, _ in usable),
                speech=" ".join(text for _, _, text in sorted(self.speech))[:MAX_TEXT_CHARS_KEPT],
                comments=_sample([text for _, _, text, *_ in comments], settings.max_comments_kept),
                comment_count=self.entries()["comments"],
                user_count=len(self.per_user) + unknown,
                comment_weight=weight,
                comment_bins=_bins(
                    [comment[0] - settings.comment_offset_ms - start_ms for comment in comments],
                    settings.segment_ms,
                ),
                picture_changes=_changes([feature for _, feature in usable]),
            ),
            encoder,
        )


@dataclass(slots=True)
class _Beyond:
    """How many entries were counted and not kept, and the log's newest place among them."""

    count: int = 0
    newest: tuple[int, int] = (-1, -1)


@cache
def _harmonic(count: int) -> float:
    """1 + 1/2 + ... + 1/count: what a user's comments weigh together."""
    return sum(1.0 / k for k in range(1, count + 1))


def _mean(features: list[NDArray[np.float16]]) -> NDArray[np.float16] | None:
    """Mean of the features, summed in float32; None of none."""
    if not features:
        return None
    mean: NDArray[np.float32] = np.stack(features).mean(axis=0, dtype=np.float32)
    return mean.astype(np.float16)


def _bins(offsets_ms: list[int], segment_ms: int) -> tuple[int, ...]:
    """How many of the offsets fall into each part of the segment."""
    bins = [0] * COMMENT_BINS
    for offset_ms in offsets_ms:
        bins[min(COMMENT_BINS - 1, max(0, offset_ms * COMMENT_BINS // segment_ms))] += 1
    return tuple(bins)


def _changes(features: list[NDArray[np.float16]]) -> tuple[float, ...]:
    """1 - cosine of each feature and the next, to four digits; 0 where one is all zeros."""
    if len(features) < 2:
        return ()
    vectors = np.stack(features).astype(np.float32)
    norms = np.linalg.norm(vectors, axis=1)
    products = np.einsum("if,if->i", vectors[:-1], vectors[1:])
    scale = norms[:-1] * norms[1:]
    cosines = np.divide(products, scale, out=np.ones_like(products), where=scale > 0)
    return tuple(round(float(change), 4) for change in np.clip(1.0 - cosines, 0.0, 2.0))


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


class TableSlot(NamedTuple):
    """A closed segment as the table holds it: what a restart must know, and the segment's record.

    The window is made of slices of the table's own bytes, so that a room keeps each segment once.
    """

    value: bytes

    @classmethod
    def of(cls, fields: Mapping[str, Any], segment: bytes) -> "TableSlot":
        return cls(b"".join((orjson.dumps(fields)[:-1], _SEGMENT_MARK, segment, b"}")))

    @property
    def _split(self) -> int:
        # The mark cannot occur in a string before it: there its quotes would be escaped.
        return self.value.index(_SEGMENT_MARK)

    @property
    def fields(self) -> dict[str, Any]:
        """Everything but the segment."""
        fields: dict[str, Any] = orjson.loads(self.value[: self._split] + b"}")
        return fields

    @property
    def segment(self) -> bytes:
        return self.value[self._split + len(_SEGMENT_MARK) : -1]


class ClosedSegment(NamedTuple):
    """A segment that has closed: its window record, its table entry, and what to release."""

    window: bytes
    slot_key: bytes
    table_value: bytes
    segment: Segment
    holds: list[Hold]
    entries: dict[str, int]


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
        # How far each topic had been read when the newest segment closed.
        self.closed_at_offsets: dict[str, int] = {}
        self._settings = settings
        # The values of `TableSlot`s; bare bytes are nothing for the garbage collector to look at.
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
        opened = self.open.pop(index, None) or OpenSegment(self._settings)
        segment, encoder = opened.close(index, self.clock.start_ms(index), self._settings)
        self._streamer_id = min(opened.streamers, default=self._streamer_id)
        empty = not (segment.has_picture or segment.has_text)
        self._empty_in_a_row = self._empty_in_a_row + 1 if empty else 0
        final = index in self.ends or self._empty_in_a_row >= self._settings.idle_segments
        entries = opened.entries()
        self.last_closed_index, self._alive = index, True
        self._closed.append(
            TableSlot.of(
                {
                    "room_id": self.key.room_id,
                    "started_ms": self.key.started_ms,
                    "segment_ms": self.clock.segment_ms,
                    "streamer_id": self._streamer_id,
                    "final": final,
                    "empty_in_a_row": self._empty_in_a_row,
                    "index": index,
                },
                encode_segment(segment, encoder, entries),
            ).value
        )
        window = encode_window(
            room_id=self.key.room_id,
            streamer_id=self._streamer_id,
            room_started_ms=self.key.room_started_ms,
            segment_ms=self.clock.segment_ms,
            segments=[TableSlot(value).segment for value in self._closed],
            segment_index=index,
            start_ms=segment.start_ms,
            final=final,
        )
        table_value = self._closed[-1]
        holds = opened.holds + self.take_ends(index)
        if final:
            self._finish()
        slot = index % self._settings.window_length
        return ClosedSegment(window, self.key.slot_key(slot), table_value, segment, holds, entries)

    def restore(self, slots: Sequence["TableSlot"]) -> None:
        """Take over the closed segments that the table holds."""
        known = sorted(((slot.fields, slot) for slot in slots), key=lambda each: each[0]["index"])
        newest, _ = known[-1]
        self.last_closed_index = newest["index"]
        self._streamer_id = newest["streamer_id"]
        if newest["final"]:
            return
        self._alive = True
        self._empty_in_a_row = newest["empty_in_a_row"]
        kept: list[bytes] = []
        index = newest["index"]
        for fields, slot in reversed(known[-self._settings.window_length :]):
            if kept and (fields["final"] or fields["index"] != index - 1):
                break  # an earlier life of the room
            kept.append(slot.value)
            index = fields["index"]
        self._closed.extend(reversed(kept))

    def _finish(self) -> None:
        self._alive = False
        self._empty_in_a_row = 0
        self._closed.clear()
