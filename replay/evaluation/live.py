"""Recordings through a live system, for as many engines as there are to share the rooms.

The recordings are played into Kafka, the engines of one consumer group score what a worker
assembles, and the topics say what came of it. It is what `recorded.py` finds out in one process.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
from aiokafka import TopicPartition

from limelight.engine.errors import LimelightError
from limelight.engine.score import Score
from limelight.engine.window import Window
from limelight.replay.evaluation.data import DataRoom
from limelight.replay.evaluation.encoders import DataEncoders
from limelight.replay.evaluation.recorded import passed_recording
from limelight.replay.live_run import Running, play_through
from limelight.replay.observer import Starts
from limelight.replay.recording import Recording
from limelight.replay.system import running_system
from limelight.streams.broker import EMBEDDED_PARTITIONS
from limelight.streams.kafka import create_topics, make_consumer
from limelight.streams.log_ends import log_ends
from limelight.streams.score_records import decode_score
from limelight.streams.settings import KafkaSettings, PushSettings, Settings
from limelight.streams.topics import Topics
from limelight.streams.window_records import decode_window

# Features are counted only: a batch of pictures may be all that changes for a while.
_OBSERVED = ("frame-features", "windows", "scores", "late", "dlq")
_NAMED = 5

OnScores = Callable[[int], None]


class NotAllScored(LimelightError):
    """What a live system made of recordings is not what an evaluation needs."""


@dataclass(slots=True)
class LiveRooms:
    """What the topics tell of some rooms, each window and score by its room and start."""

    room_ids: frozenset[str]
    windows: dict[str, dict[int, Window]] = field(default_factory=dict)
    scores: dict[str, dict[int, Score]] = field(default_factory=dict)
    events_in: Counter[str] = field(default_factory=Counter)
    features: int = 0
    # What went wrong first.
    failure: str = ""

    def see(self, topic: str, record: Any) -> None:
        """Take a record of an observed topic.

        Raises:
            MalformedRecord, ValueError, KeyError, TypeError: it is none of ours.
        """
        value = record.value
        if topic == "frame-features":
            self.features += 1
        elif topic == "windows":
            self._see_window(decode_window(value, max_bytes=len(value)))
        elif topic == "scores":
            score, _ = decode_score(value, max_bytes=len(value))
            if score.room_id in self.room_ids:
                self.scores.setdefault(score.room_id, {}).setdefault(score.start_ms, score)
        elif topic == "late":
            letter = orjson.loads(value)
            self._fail(
                f"found a late record, {letter['id']}, expected none: no event time may lie before"
                " what the topics have come to (--start-at), and a worker must wait for pictures"
                " (LIMELIGHT_ASSEMBLER_SILENT_SOURCE_DEADLINE_S)"
            )
        elif topic == "dlq":
            letter = orjson.loads(value)
            # Any other is a record that a direct pass leaves out as well.
            if letter["topic"] == "windows":
                self._fail(f"found window {letter['id']} refused: {letter['reason']}")

    def _see_window(self, window: Window) -> None:
        if window.room_id not in self.room_ids:
            return
        known = self.windows.setdefault(window.room_id, {})
        # Windows share their segments: kept once each, a room takes a twentieth of the memory.
        older = tuple(
            known[each.start_ms].segments[-1] if each.start_ms in known else each
            for each in window.segments[:-1]
        )
        shared = replace(window, segments=(*older, window.segments[-1]))
        known.setdefault(window.start_ms, shared)

    def _fail(self, failure: str) -> None:
        self.failure = self.failure or failure

    @property
    def scored(self) -> int:
        return sum(map(len, self.scores.values()))

    @property
    def is_complete(self) -> bool:
        """Each room has sent its final window, and each window has a score."""
        return not self._unfinished() and not self._unscored()

    def progress(self) -> tuple[int, ...]:
        return self.features, sum(map(len, self.windows.values())), self.scored

    def missing(self) -> str:
        """What a run that does not end is waiting for."""
        unfinished, unscored = self._unfinished(), self._unscored()
        if not self.windows:
            return f"no window of {len(self.room_ids)} rooms; does a worker serve these topics?"
        if not self.scores:
            return f"no score of {len(unscored)} windows; does an engine serve these topics?"
        return (
            f"rooms without their last window: {_first_of(unfinished)};"
            f" windows without a score: {_first_of(unscored)}"
        )

    def _unfinished(self) -> list[str]:
        return sorted(
            room_id
            for room_id in self.room_ids
            if not any(window.final for window in self.windows.get(room_id, {}).values())
        )

    def _unscored(self) -> list[str]:
        return [
            f"{room_id} at {start_ms}"
            for room_id, windows in sorted(self.windows.items())
            for start_ms in sorted(windows.keys() - self.scores.get(room_id, {}).keys())
        ]


@dataclass(frozen=True, slots=True)
class _Watched:
    """A running system that is also at its end when the rooms cannot be completed."""

    settings: Settings
    rooms: LiveRooms
    on_scores: OnScores
    system: Running | None = None

    def check(self) -> None:
        if self.system is not None:
            self.system.check()
        if self.rooms.failure:
            raise NotAllScored(f"live evaluation: {self.rooms.failure}")
        self.on_scores(self.rooms.scored)


async def score_with_own_engines(
    recordings: Sequence[Recording],
    settings: Settings,
    *,
    engines: int,
    base_ms: int,
    logs: Path,
    on_scores: OnScores = lambda count: None,
) -> LiveRooms:
    """Start a broker, a worker and so many engines, and have them score the recordings.

    Args:
        on_scores: called with how many segments are scored, again and again.

    Raises:
        NotAllScored, Stalled: see `score_with`; ChildDied, StartTimeout: a process has ended.
    """
    rooms = _rooms(recordings)
    partitions = max(EMBEDDED_PARTITIONS, engines)
    async with running_system(
        settings, PushSettings(), logs, partitions=partitions, engines=engines
    ) as system:
        await play_through(
            _Watched(system.settings, rooms, on_scores, system),
            recordings,
            rooms,
            base_ms=base_ms,
            speed=0,
        )
    return rooms


async def score_with(
    recordings: Sequence[Recording],
    settings: Settings,
    *,
    base_ms: int,
    on_scores: OnScores = lambda count: None,
) -> LiveRooms:
    """Have the worker and the engines that serve `settings.kafka` score the recordings.

    Raises:
        BrokerUnavailable: Kafka does not answer.
        NotAllScored: something came late, or a window was refused.
        Stalled: nothing comes any more, and something is missing.
    """
    rooms = _rooms(recordings)
    await create_topics(settings.kafka)
    # What these topics held before belongs to somebody else's run.
    starts = await _ends(settings.kafka)
    watched = _Watched(settings, rooms, on_scores)
    await play_through(watched, recordings, rooms, base_ms=base_ms, speed=0, starts=starts)
    return rooms


def common_start_ms(recordings: Sequence[Recording]) -> int:
    """The event time at which they all start when they are played together."""
    return min(recording.started_ms for recording in recordings)


def data_rooms(
    recordings: Sequence[Recording],
    rooms: LiveRooms,
    settings: Settings,
    encoders: DataEncoders,
    *,
    base_ms: int,
    with_texts: bool,
) -> list[DataRoom]:
    """The rooms to judge, at the event times of their recordings.

    Args:
        with_texts: encode the texts once more, for what reads features; else they are 0.
    """
    sizes = [
        len(segment.frame_feature)
        for windows in rooms.windows.values()
        for window in windows.values()
        for segment in window.segments[-1:]
        if segment.frame_feature is not None
    ]
    size = sizes[0] if sizes else encoders.frame.feature_size
    found = []
    for recording in recordings:
        windows = [window for _, window in sorted(rooms.windows[recording.room_id].items())]
        scores = tuple(rooms.scores[recording.room_id][window.start_ms] for window in windows)
        recorded = passed_recording(
            recording,
            tuple(_moved(window, recording.started_ms - base_ms) for window in windows),
            [score.energy for score in scores],
            segment_ms=settings.assembler.segment_ms,
            frame_feature_size=size,
            text=encoders.text if with_texts else None,
        )
        seen = next((each for each in reversed(windows) if each.encoder_id), None)
        found.append(
            DataRoom(
                room=recorded.labelled,
                start_ms=recorded.start_ms,
                segment_ms=settings.assembler.segment_ms,
                source=str(recording.folder),
                encoder=(seen.encoder_id, seen.encoder_revision) if seen else None,
                recorded=replace(recorded, scores=scores),
                intervals=recorded.intervals,
            )
        )
    return found


def _rooms(recordings: Sequence[Recording]) -> LiveRooms:
    return LiveRooms(frozenset(recording.room_id for recording in recordings))


def _moved(window: Window, by_ms: int) -> Window:
    """The window at another event time; its indexes stay."""
    if not by_ms:
        return window
    return replace(
        window,
        room_started_ms=None if window.room_started_ms is None else window.room_started_ms + by_ms,
        segments=tuple(
            replace(
                each,
                start_ms=each.start_ms + by_ms,
                frame_times_ms=tuple(time_ms + by_ms for time_ms in each.frame_times_ms),
            )
            for each in window.segments
        ),
    )


async def _ends(kafka: KafkaSettings) -> Starts:
    topics = Topics(kafka.topic_prefix)
    partitions = [
        TopicPartition(topics.name(topic), number)
        for topic in _OBSERVED
        for number in range(kafka.partitions)
    ]
    consumer = make_consumer(kafka, group_id=None)
    await consumer.start()
    try:
        consumer.assign(partitions)
        return await log_ends(kafka, await consumer.end_offsets(partitions))
    finally:
        await consumer.stop()


def _first_of(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return (", ".join(names[:_NAMED]) or "none") + more
