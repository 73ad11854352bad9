"""The log as rooms to learn from: features, texts, counts and labels of consecutive segments."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from limelight.models.datasets.labelled_room import LabelledRoom
from limelight.replay.feature_log.arrow import pa
from limelight.replay.feature_log.errors import EmptyInterval, MalformedLog, MixedEncoders
from limelight.replay.feature_log.files import LogFiles, between, overlaps
from limelight.replay.feature_log.labels import COLUMNS, Engagement, LabelReport, label
from limelight.replay.feature_log.names import shown_hour
from limelight.replay.feature_log.rows import HOUR_MS
from limelight.replay.store import Store

# A room that never ends comes in pieces of a day of 30 s segments.
MAX_SEGMENTS = 2_880
_SEGMENT = (
    "room_id",
    "streamer_id",
    "room_started_ms",
    "segment_index",
    "start_ms",
    "segment_ms",
    "encoder_id",
    "encoder_revision",
)
_INPUTS = ("frame_feature", "speech", "comments")

Encoder = tuple[str, str]


class TextFeatures(Protocol):
    """What `limelight.engine.text_encoder.TextEncoder` is."""

    @property
    def feature_size(self) -> int: ...

    def encode(self, texts: Sequence[tuple[str, Sequence[str]]]) -> NDArray[Any]: ...


@dataclass(frozen=True, slots=True)
class LoggedRoom:
    """S consecutive segments of one room, as they were served.

    Args:
        segment_indices, start_ms: (S,) int64.
        frame_features: (S, F) float16, 0 where there was no picture.
        present: (S, 2) bool; False where a segment has no picture, no text.
        texts: each segment's speech and comments.
        ctr: (S,) float32, NaN where there is no label.
        counts: (S, 8) float32, columns as `limelight.models.datasets.labelled_room.COUNT_NAMES`.
    """

    room_id: str
    streamer_id: str
    room_started_ms: int | None
    segment_ms: int
    segment_indices: NDArray[np.int64]
    start_ms: NDArray[np.int64]
    frame_features: NDArray[np.float16]
    present: NDArray[np.bool_]
    texts: tuple[tuple[str, tuple[str, ...]], ...]
    ctr: NDArray[np.float32]
    counts: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ctr)

    def labelled(self, encoder: TextFeatures) -> LabelledRoom:
        """The form that training reads, its texts encoded."""
        features = np.zeros((len(self), encoder.feature_size), np.float32)
        has_text = self.present[:, 1]
        if has_text.any():
            texts = [text for text, has in zip(self.texts, has_text, strict=True) if has]
            features[has_text] = encoder.encode(texts)
        return LabelledRoom(
            room_id=self.room_id,
            streamer_id=self.streamer_id,
            frame_features=self.frame_features,
            text_features=features,
            present=self.present,
            ctr=self.ctr,
            counts=self.counts,
        )


@dataclass(frozen=True, slots=True)
class Pictures:
    """What the picture features of an interval are; `encoder` is None where there are none."""

    encoder: Encoder | None
    feature_size: int


@dataclass(slots=True)
class _Run:
    """Consecutive segments of one room's life, column by column."""

    columns: dict[str, list[Any]]

    def __len__(self) -> int:
        return len(self.columns["start_ms"])

    def is_followed_by(self, index: int, segment_ms: int) -> bool:
        columns = self.columns
        return bool(columns["segment_index"]) and (
            index == columns["segment_index"][-1] + 1 and segment_ms == columns["segment_ms"][-1]
        )

    @property
    def end_ms(self) -> int:
        return int(self.columns["start_ms"][-1] + self.columns["segment_ms"][-1])


class FeatureLog:
    """A log to read from.

    Args:
        root: a folder or an fsspec URL.
        min_viewers: a segment with fewer impressions gets no label.
        label_delay_s: a segment gets its label once engagement of so long after its end has come.

    Raises:
        MalformedLog: a file of it cannot be read.
        ValueError: a root that is no folder or URL.
    """

    def __init__(
        self, root: str | Path, *, min_viewers: int = 30, label_delay_s: float = 120.0
    ) -> None:
        self.root = str(root)
        self.files = LogFiles(Store(root))
        self._min_viewers = min_viewers
        self._label_delay_ms = round(label_delay_s * 1000)

    def interval(self) -> tuple[int, int]:
        """The first hour's start and the last hour's end, in ms.

        Raises:
            EmptyInterval: there is no segment.
        """
        hours = self.files.found.hours("segments")
        if not hours:
            raise EmptyInterval(f"{self.root}: found no segments, expected a feature log")
        return hours[0] * HOUR_MS, (hours[-1] + 1) * HOUR_MS

    def encoders(self, start_ms: int, end_ms: int) -> dict[Encoder, int]:
        """How many segments of the time have a picture of each encoder and revision.

        Raises:
            EmptyInterval: there is no segment in it.
            ValueError: the end is not behind the start.
        """
        if start_ms >= end_ms:
            raise ValueError(f"interval: found {start_ms} to {end_ms} ms, expected an end behind")
        found: defaultdict[Encoder, int] = defaultdict(int)
        segments = 0
        names = ("encoder_id", "encoder_revision")
        for table in self.files.rows("segments", start_ms, end_ms, names):
            segments += len(table)
            for row in table.group_by(list(names)).aggregate([([], "count_all")]).to_pylist():
                if row["encoder_id"] is not None:
                    found[row["encoder_id"], row["encoder_revision"]] += row["count_all"]
        if not segments:
            first_ms, last_ms = self.interval()
            raise EmptyInterval(
                f"{self.root}: found no segments from {_shown(start_ms)} to {_shown(end_ms)},"
                f" expected a time between {_shown(first_ms)} and {_shown(last_ms)}"
            )
        return dict(found)

    def rooms(
        self,
        start_ms: int,
        end_ms: int,
        *,
        encoder: Encoder | None = None,
        report: LabelReport | None = None,
        max_segments: int = MAX_SEGMENTS,
    ) -> Iterator[LoggedRoom]:
        """Rooms of the segments that start in `[start_ms, end_ms)`, a partition at a time.

        A room comes in several pieces where segments are missing between them, or where there are
        more than `max_segments`.

        Args:
            encoder: id and revision of the picture features; needed where there are several.
            report: counts what became of segments and engagement; complete at the end.

        Raises:
            EmptyInterval: there is nothing in that time.
            MixedEncoders: there are features of several encoders, or none of the one asked for.
            MalformedLog: a file cannot be read.
        """
        pictures = self.pictures(start_ms, end_ms, encoder)
        report = LabelReport() if report is None else report
        for partition in self.partitions:
            yield from self.partition_rooms(
                partition, start_ms, end_ms, pictures, report=report, max_segments=max_segments
            )

    @property
    def partitions(self) -> list[int]:
        """Those with segments; all of a room lies in one."""
        return self.files.partitions("segments")

    def pictures(self, start_ms: int, end_ms: int, encoder: Encoder | None = None) -> Pictures:
        """The picture features that `rooms` would give.

        Raises:
            EmptyInterval, MixedEncoders, MalformedLog: see `rooms`.
        """
        chosen = self._chosen(self.encoders(start_ms, end_ms), encoder)
        return Pictures(chosen, self._feature_size(start_ms, end_ms, chosen))

    def partition_rooms(
        self,
        partition: int,
        start_ms: int,
        end_ms: int,
        pictures: Pictures,
        *,
        report: LabelReport | None = None,
        max_segments: int = MAX_SEGMENTS,
    ) -> Iterator[LoggedRoom]:
        """One partition's part of `rooms`, in the same order.

        Raises:
            MalformedLog: a file cannot be read.
        """
        report = LabelReport() if report is None else report
        engagement = self._engagement(partition, start_ms, end_ms, report)
        columns = (*_SEGMENT, *_INPUTS)
        for run in self._runs(partition, start_ms, end_ms, columns, pictures.encoder, report):
            for first in range(0, len(run), max_segments):
                size = pictures.feature_size
                yield self._room(run, first, max_segments, size, engagement, report)
        report.unknown += engagement.unknown()

    def label_report(self, start_ms: int, end_ms: int) -> LabelReport:
        """What `rooms` would report, of all encoders together, without reading any feature."""
        report = LabelReport()
        for partition in self.partitions:
            engagement = self._engagement(partition, start_ms, end_ms, report)
            for run in self._runs(partition, start_ms, end_ms, _SEGMENT, None, report):
                self._labels(run.columns, engagement, report)
            report.unknown += engagement.unknown()
        return report

    def _chosen(self, found: dict[Encoder, int], wanted: Encoder | None) -> Encoder | None:
        names = ", ".join(f"{each[0]} {each[1]} ({found[each]} segments)" for each in sorted(found))
        if wanted is not None:
            if wanted not in found:
                raise MixedEncoders(
                    f"{self.root}: found pictures of {names or 'no encoder'}, expected"
                    f" {wanted[0]} {wanted[1]}"
                )
            return wanted
        if len(found) > 1:
            raise MixedEncoders(
                f"{self.root}: found pictures of {len(found)} encoders, {names}, expected one or"
                " to be told which (encoder)"
            )
        return next(iter(found), None)

    def _feature_size(self, start_ms: int, end_ms: int, encoder: Encoder | None) -> int:
        if encoder is None:
            return 0
        names = ("encoder_id", "encoder_revision", "frame_feature")
        for table in self.files.rows("segments", start_ms, end_ms, names):
            for row in zip(*(table[name].to_pylist() for name in names), strict=True):
                if row[:2] == encoder:
                    return len(row[2]) // 2
        return 0

    def _engagement(
        self, partition: int, start_ms: int, end_ms: int, report: LabelReport
    ) -> Engagement:
        # An interval may have begun an hour before, and what comes after says how far it has come.
        until_ms = end_ms + self._label_delay_ms + HOUR_MS
        hours = [
            hour
            for hour in self.files.found.hours("engagement")
            if overlaps(hour, start_ms - HOUR_MS, until_ms)
        ]
        columns = ("offset", *COLUMNS)
        tables = [self.files.hour("engagement", hour, partition, columns) for hour in hours]
        empty = self.files.hour("engagement", -1, partition, columns)
        table = pa.concat_tables([empty, *tables]).sort_by("offset")
        return Engagement(table, report, start_ms, end_ms)

    def _runs(
        self,
        partition: int,
        start_ms: int,
        end_ms: int,
        columns: Sequence[str],
        encoder: Encoder | None,
        report: LabelReport,
    ) -> Iterator[_Run]:
        """A partition's consecutive segments, each run as soon as nothing can follow it."""
        open_runs: dict[tuple[str, int | None], _Run] = {}
        for hour in self.files.found.hours("segments"):
            if not overlaps(hour, start_ms, end_ms):
                continue
            table = self.files.hour("segments", hour, partition, columns)
            table = between(table, start_ms, end_ms)
            rows = {name: table[name].to_pylist() for name in columns}
            for at in _by_time(rows):
                key = rows["room_id"][at], rows["room_started_ms"][at]
                run = open_runs.get(key)
                index = rows["segment_index"][at]
                if run is not None and run.columns["segment_index"][-1] == index:
                    report.repeated += 1
                    continue
                found = rows["encoder_id"][at], rows["encoder_revision"][at]
                if encoder is not None and found[0] is not None and found != encoder:
                    report.other_encoder += 1
                    continue
                if run is None or not run.is_followed_by(index, rows["segment_ms"][at]):
                    if run is not None:
                        yield run
                    run = open_runs[key] = _Run({name: [] for name in columns})
                for name in columns:
                    run.columns[name].append(rows[name][at])
            for key in [key for key, run in open_runs.items() if run.end_ms < (hour + 1) * HOUR_MS]:
                yield open_runs.pop(key)
        yield from open_runs.values()

    def _labels(
        self, columns: dict[str, list[Any]], engagement: Engagement, report: LabelReport
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        starts = np.array(columns["start_ms"], np.int64)
        ends = starts + np.array(columns["segment_ms"], np.int64)
        counts, pairs = engagement.counts(
            columns["room_id"][0], columns["room_started_ms"][0], starts, ends
        )
        ctr = label(
            pairs,
            ends,
            engagement.seen_until_ms,
            min_viewers=self._min_viewers,
            label_delay_ms=self._label_delay_ms,
            report=report,
        )
        return ctr, counts.astype(np.float32)

    def _room(
        self,
        run: _Run,
        first: int,
        max_segments: int,
        size: int,
        engagement: Engagement,
        report: LabelReport,
    ) -> LoggedRoom:
        columns = {
            name: values[first : first + max_segments] for name, values in run.columns.items()
        }
        ctr, counts = self._labels(columns, engagement, report)
        features = np.zeros((len(ctr), size), np.float16)
        for at, data in enumerate(columns["frame_feature"]):
            if data is None:
                continue
            if len(data) != 2 * size:
                raise MalformedLog(
                    f"{self.root}: found a feature of {len(data) // 2} numbers in room"
                    f" {columns['room_id'][0]}, expected {size} as in the others of its encoder"
                )
            features[at] = np.frombuffer(data, "<f2")
        texts = tuple(
            (speech, tuple(comments))
            for speech, comments in zip(columns["speech"], columns["comments"], strict=True)
        )
        has_text = [
            bool(speech.strip() or any(each.strip() for each in comments))
            for speech, comments in texts
        ]
        has_picture = [data is not None for data in columns["frame_feature"]]
        return LoggedRoom(
            room_id=columns["room_id"][0],
            streamer_id=columns["streamer_id"][-1],
            room_started_ms=columns["room_started_ms"][0],
            segment_ms=columns["segment_ms"][0],
            segment_indices=np.array(columns["segment_index"], np.int64),
            start_ms=np.array(columns["start_ms"], np.int64),
            frame_features=features,
            present=np.array([has_picture, has_text], np.bool_).T,
            texts=texts,
            ctr=ctr,
            counts=counts,
        )


def _by_time(rows: dict[str, list[Any]]) -> list[int]:
    """The rows' places by room and segment, the first of a repeated one first."""
    keys = list(zip(rows["room_id"], rows["segment_index"], strict=True))
    return sorted(range(len(keys)), key=keys.__getitem__)


def _shown(time_ms: int) -> str:
    return shown_hour(time_ms // HOUR_MS)
