"""What many live rooms send, made from one seed: picture features, speech and comments.

Nothing is recorded and nothing is encoded: messages are put together from prepared bytes, so that
one core writes more than any worker reads. The rates are those of a live platform:

- three picture features a segment, at the centres of its thirds, as the player sends them;
- a line of speech every 3.5 to 6.5 s, of 10 to 30 characters. Assumed: the English film captions
  that the readers were tried on have one every 6.7 s, a streamer pauses less than a film;
- comments at 1.63 a second and room on average, which is what one real live room of Bilibili had
  over an hour. Rooms differ by a lognormal factor of sigma 1.5 (median room 0.5 a second, one in a
  hundred above 17); that is assumed, like the steady rate within a room. Real comments come in
  bursts, which fills fewer lists: the assumption is the harder case;
- comments of 6.5 characters on average, lognormal with median 5 and sigma 0.75, as in that room.

Rooms have been on air for up to three hours, so their segments end at all times.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from limelight.replay.frames import segment_frame_offsets
from limelight.replay.script import FRAMES_A_SEGMENT, ScriptedMessage
from limelight.streams.records import Watermark
from limelight.streams.source_messages import MAX_COMMENTS_A_MESSAGE
from limelight.streams.topics import MODALITY_TOPICS, partition_of
from limelight.streams.window_records import encode_feature

# Messages are made in slices of event time; everything else is a multiple of it.
SLICE_MS = 100
MARK_INTERVAL_MS = 1_000
COMMENTS_A_SECOND = 1.63
_ROOM_SIGMA = 1.5
# Far above what any list of five seconds may hold, and reached by no room in ten thousand.
_MOST_COMMENTS_A_SECOND = 150.0
_LIST_MS = (2_000, 3_000, 4_000, 5_000)
_SPEECH_EVERY_MS = (3_500, 6_500)
_SPEECH_CHARS = (10, 30)
_COMMENT_CHARS_MEDIAN, _COMMENT_CHARS_SIGMA, _COMMENT_CHARS_MOST = 5, 0.75, 75
_ON_AIR_MS = 3 * 3_600_000
# Prepared texts are drawn from; four in ten of a real room's comments repeat another.
_COMMENT_POOL, _SPEECH_POOL, _FEATURE_POOL = 8_192, 2_048, 64
# Characters that are common in live rooms.
_ALPHABET = "的一是不了人我在有他这来到大家好看主播笑哈啊呢吧太强加油喜欢谢朋友今天晚上歌舞赢输快点"


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """What to send. `comments` is `batched` (a room's last 2 to 5 s as a list) or `single`.

    Raises:
        ValueError: a number out of range.
    """

    rooms: int
    seconds: int
    base_ms: int
    comments: Literal["batched", "single"] = "batched"
    comments_a_second: float = COMMENTS_A_SECOND
    feature_size: int = 1_024
    encoder_id: str = "limelight-load"
    encoder_revision: str = "0"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("rooms", 1), ("seconds", 1), ("feature_size", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: found {getattr(self, name)}, expected at least {least}")
        if self.base_ms % MARK_INTERVAL_MS:
            raise ValueError(f"base_ms: found {self.base_ms}, expected a whole second")
        if self.comments_a_second < 0:
            raise ValueError(
                f"comments_a_second: found {self.comments_a_second}, expected 0 or more"
            )


class LoadRooms:
    """The rooms of a load: who they are, and when each says something."""

    def __init__(self, options: LoadOptions, *, segment_ms: int, partitions: int) -> None:
        self._options = options
        self._partitions = partitions
        count, base_ms = options.rooms, options.base_ms
        # Each draws from numbers of its own, so that a room is the same in a larger load.
        start, rates, speech, speaks, every, lists, prepared, self._rng = np.random.default_rng(
            options.seed
        ).spawn(8)
        self.started_ms = base_ms - start.integers(1, _ON_AIR_MS, count)
        factor = rates.lognormal(-(_ROOM_SIGMA**2) / 2, _ROOM_SIGMA, count)
        self.comment_rate = np.minimum(options.comments_a_second * factor, _MOST_COMMENTS_A_SECOND)
        ids = [f"load-{number:06d}" for number in range(count)]
        self.keys = [room_id.encode() for room_id in ids]
        self.partition = [partition_of(room_id, partitions) for room_id in ids]
        self._prefix = [
            b'{"room_id":"%s","streamer_id":"streamer-%d","room_started_ms":%d,'
            % (key, number, started)
            for number, (key, started) in enumerate(zip(self.keys, self.started_ms, strict=True))
        ]
        centres = np.array(segment_frame_offsets(segment_ms, FRAMES_A_SEGMENT))
        self._frames = _Beat(
            np.repeat(np.arange(count), FRAMES_A_SEGMENT),
            (self.started_ms[:, None] + centres).ravel(),
            np.full(count * FRAMES_A_SEGMENT, segment_ms),
        )
        self._speech = _Beat.drawn(speech, base_ms, speaks.integers(*_SPEECH_EVERY_MS, count))
        # Lists are cut at the beginning of a slice, behind all comments of the slices before.
        self._lists = _Beat.drawn(lists, base_ms, every.choice(_LIST_MS, count), grid_ms=SLICE_MS)
        self._pending: list[list[bytes]] = [[] for _ in range(count)]
        self._frame_offset = [0] * partitions
        self._features = _features(prepared, options)
        lengths = prepared.integers(*_SPEECH_CHARS, _SPEECH_POOL, endpoint=True)
        self._lines = [b'"text":%s}' % text for text in _texts(prepared, lengths)]
        users = prepared.integers(1 << 48, size=_COMMENT_POOL).tolist()
        self._comments = [
            b',"text":%s,"user":"%012x"}' % (text, user)
            for text, user in zip(_texts(prepared, _comment_lengths(prepared)), users, strict=True)
        ]

    def slice(self, start_ms: int) -> list[ScriptedMessage]:
        """What all rooms send in the slice that starts then, in event-time order."""
        batched = self._options.comments == "batched"
        messages = self._comment_lists(start_ms) if batched else []
        messages += self._frame_messages(start_ms)
        messages += self._speech_messages(start_ms)
        comments = self._comment_values(start_ms)
        if batched:
            for _, room, value in comments:
                self._pending[room].append(value)
        else:
            messages += [self._message(at, "comments", room, value) for at, room, value in comments]
        messages.sort(key=lambda message: message.at_ms)
        return messages

    def _message(self, at_ms: int, topic: str, room: int, value: bytes) -> ScriptedMessage:
        return ScriptedMessage(at_ms, topic, self.partition[room], self.keys[room], value, [])

    def _frame_messages(self, start_ms: int) -> list[ScriptedMessage]:
        messages = []
        for at_ms, room in self._frames.due(start_ms):
            partition = self.partition[room]
            value = b'%s"event_time_ms":%d,"frame_offset":%d,%s' % (
                self._prefix[room],
                at_ms,
                self._frame_offset[partition],
                self._features[(room + self._frame_offset[partition]) % _FEATURE_POOL],
            )
            self._frame_offset[partition] += 1
            messages.append(self._message(at_ms, "frame-features", room, value))
        return messages

    def _speech_messages(self, start_ms: int) -> list[ScriptedMessage]:
        due = self._speech.due(start_ms)
        texts = self._rng.integers(_SPEECH_POOL, size=len(due)).tolist()
        return [
            self._message(
                at_ms,
                "asr",
                room,
                b'%s"start_ms":%d,"end_ms":%d,%s'
                % (self._prefix[room], at_ms - _SPEECH_EVERY_MS[0], at_ms, self._lines[text]),
            )
            for (at_ms, room), text in zip(due, texts, strict=True)
        ]

    def _comment_values(self, start_ms: int) -> list[tuple[int, int, bytes]]:
        """Time, room and JSON of each comment of a slice, in order."""
        counts = self._rng.poisson(self.comment_rate * (SLICE_MS / 1000))
        rooms = np.repeat(np.arange(len(counts)), counts)
        times = start_ms + self._rng.integers(SLICE_MS, size=len(rooms))
        texts = self._rng.integers(_COMMENT_POOL, size=len(rooms))
        order = np.argsort(times, kind="stable")
        prefix, comments = self._prefix, self._comments
        return [
            (at_ms, room, b'%s"event_time_ms":%d%s' % (prefix[room], at_ms, comments[text]))
            for at_ms, room, text in zip(
                times[order].tolist(), rooms[order].tolist(), texts[order].tolist(), strict=True
            )
        ]

    def _comment_lists(self, start_ms: int) -> list[ScriptedMessage]:
        messages = []
        for at_ms, room in self._lists.due(start_ms):
            pending = self._pending[room]
            for first in range(0, len(pending), MAX_COMMENTS_A_MESSAGE):
                part = pending[first : first + MAX_COMMENTS_A_MESSAGE]
                messages.append(
                    self._message(at_ms, "comments", room, b"[" + b",".join(part) + b"]")
                )
            pending.clear()
        return messages

    def marks(self, mark_ms: int) -> list[ScriptedMessage]:
        """The marks that go before the slice of that time, into every partition.

        A list holds comments of the last five seconds, so that is how far marks of lists are back.
        """
        batched = self._options.comments == "batched"
        messages = []
        for topic in MODALITY_TOPICS:
            behind_ms = max(_LIST_MS) if batched and topic == "comments" else 0
            headers = Watermark(mark_ms - behind_ms).encode()
            for partition in range(self._partitions):
                messages.append(ScriptedMessage(mark_ms, topic, partition, None, b"", headers))
        return messages


def load_slices(
    options: LoadOptions, *, segment_ms: int, partitions: int
) -> Iterator[list[ScriptedMessage]]:
    """Every message of the load, a slice of event time at a time, in event-time order.

    Marks stand before the first slice of each second and after the last slice. They are exact:
    nothing older follows. The last segments stay open, as when a gateway stops.
    """
    return _slices(LoadRooms(options, segment_ms=segment_ms, partitions=partitions), options)


def _slices(rooms: LoadRooms, options: LoadOptions) -> Iterator[list[ScriptedMessage]]:
    end_ms = options.base_ms + options.seconds * 1_000
    for start_ms in range(options.base_ms, end_ms, SLICE_MS):
        marks = rooms.marks(start_ms) if start_ms % MARK_INTERVAL_MS == 0 else []
        yield marks + rooms.slice(start_ms)
    yield rooms.marks(end_ms)


@dataclass(frozen=True, slots=True)
class _Beat:
    """Something that each of `rooms` does at `first_ms` and then every `every_ms`."""

    rooms: NDArray[np.int64]
    first_ms: NDArray[np.int64]
    every_ms: NDArray[np.int64]

    @classmethod
    def drawn(
        cls,
        rng: np.random.Generator,
        base_ms: int,
        every_ms: NDArray[np.int64],
        *,
        grid_ms: int = 1,
    ) -> "_Beat":
        """One beat a room, each with a phase of its own on the grid."""
        phase_ms = (rng.random(len(every_ms)) * every_ms).astype(np.int64) // grid_ms * grid_ms
        return cls(np.arange(len(every_ms)), base_ms + phase_ms, every_ms)

    def due(self, start_ms: int) -> list[tuple[int, int]]:
        """Time and room of each beat in a slice."""
        wait_ms = (self.first_ms - start_ms) % self.every_ms
        (due,) = np.nonzero(wait_ms < SLICE_MS)
        times = start_ms + wait_ms[due]
        return list(zip(times.tolist(), self.rooms[due].tolist(), strict=True))


def _features(rng: np.random.Generator, options: LoadOptions) -> list[bytes]:
    """The end of a feature record, for each prepared feature."""
    encoder = {"encoder_id": options.encoder_id, "encoder_revision": options.encoder_revision}
    features = rng.normal(size=(_FEATURE_POOL, options.feature_size)).astype(np.float16)
    return [
        orjson.dumps({**encoder, "feature": encode_feature(feature)})[1:] for feature in features
    ]


def _texts(rng: np.random.Generator, lengths: NDArray[np.int64]) -> list[bytes]:
    """JSON strings of texts with so many characters; none of them needs escaping."""
    drawn = rng.integers(len(_ALPHABET), size=lengths.sum())
    letters = np.array([letter.encode() for letter in _ALPHABET])[drawn].tolist()
    ends = np.cumsum(lengths).tolist()
    return [b'"%s"' % b"".join(letters[first:end]) for first, end in pairwise([0, *ends])]


def _comment_lengths(rng: np.random.Generator) -> NDArray[np.int64]:
    median = math.log(_COMMENT_CHARS_MEDIAN)
    drawn = rng.lognormal(median, _COMMENT_CHARS_SIGMA, _COMMENT_POOL)
    return np.clip(np.rint(drawn), 1, _COMMENT_CHARS_MOST).astype(np.int64)
