"""From the log to the rooms of a run: learned from, validated on, judged on, in this order of time.

The text of the segments is encoded once, by the encoder that serves; pictures were encoded when
they were served. The three files are what the run uses from then on, so a run that is resumed works
on the same rooms even if the log has changed since.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from limelight.models.datasets.labelled_room import COUNT_NAMES, LabelledRoom
from limelight.models.datasets.room_files import load_rooms, save_rooms
from limelight.replay.evaluation.rooms import JudgedRoom
from limelight.replay.feature_log.reading import Encoder, FeatureLog, LoggedRoom, TextFeatures
from limelight.replay.retraining.errors import TooLittleData

_PARTS = ("training", "validation", "test")
_TIMES = "test-times.json"
_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Cuts:
    """Event times in ms: training from `start`, validation from the next, test, and the end."""

    start_ms: int
    validation_ms: int
    test_ms: int
    end_ms: int

    def part(self, name: str) -> tuple[int, int]:
        return {
            "training": (self.start_ms, self.validation_ms),
            "validation": (self.validation_ms, self.test_ms),
            "test": (self.test_ms, self.end_ms),
        }[name]


@dataclass(frozen=True, slots=True)
class RunRooms:
    """The rooms of a run; `test_times` are each test room's first start and segment length, ms."""

    training: list[LabelledRoom]
    validation: list[LabelledRoom]
    test: list[LabelledRoom]
    test_times: list[tuple[int, int]]

    def judged(self, predictions: Mapping[str, Sequence[np.ndarray]]) -> list[JudgedRoom]:
        """The test rooms with what each model says of them."""
        return [
            JudgedRoom(
                room_id=room.room_id,
                streamer_id=room.streamer_id,
                segment_ms=segment_ms,
                start_ms=start_ms + segment_ms * np.arange(len(room), dtype=np.int64),
                measured=room.ctr,
                clicks=_labelled(room, "clicks"),
                viewers=_labelled(room, "impressions"),
                present=room.present,
                predictions={
                    name: np.asarray(each[at], np.float32) for name, each in predictions.items()
                },
            )
            for at, (room, (start_ms, segment_ms)) in enumerate(
                zip(self.test, self.test_times, strict=True)
            )
        ]


def cut_by_time(
    log: FeatureLog, until_ms: int, *, hours: float, test_share: float, validation_share: float
) -> Cuts:
    """Where the parts begin and end: shares of the time that the log has before `until_ms`.

    Raises:
        EmptyInterval: the log has nothing.
        TooLittleData: it has nothing before that time.
    """
    first_ms, last_ms = log.interval()
    minutes = _segments_a_minute(log, first_ms, min(until_ms, last_ms))
    if not minutes:
        raise TooLittleData(f"{log.root}: found nothing before the time asked for")
    end_ms = (max(minutes) + 1) * _MINUTE_MS
    start_ms = max(min(minutes) * _MINUTE_MS, round(end_ms - hours * 3_600_000))
    # Shares of the segments, not of the clock: a platform is not equally busy at all hours.
    kept = sorted(minute for minute in minutes if minute * _MINUTE_MS >= start_ms)
    share = np.cumsum([minutes[minute] for minute in kept]) / sum(minutes[m] for m in kept)
    test_at = int(np.searchsorted(share, 1 - test_share))
    validation_at = int(np.searchsorted(share, (1 - test_share) * (1 - validation_share)))
    return Cuts(
        start_ms=start_ms,
        validation_ms=kept[validation_at] * _MINUTE_MS,
        test_ms=kept[test_at] * _MINUTE_MS,
        end_ms=min(end_ms, until_ms),
    )


def _segments_a_minute(log: FeatureLog, start_ms: int, end_ms: int) -> Counter[int]:
    """How many segments start in each minute since 1970 that has some."""
    found: Counter[int] = Counter()
    for table in log.files.rows("segments", start_ms, end_ms, ("start_ms",)):
        minutes, counts = np.unique(table["start_ms"].to_numpy() // _MINUTE_MS, return_counts=True)
        found.update(dict(zip(minutes.tolist(), counts.tolist(), strict=True)))
    return found


def collect(
    log: FeatureLog,
    cuts: Cuts,
    folder: Path,
    texts: TextFeatures,
    encoder: Encoder | None,
    on_room: Callable[[], None] = lambda: None,
) -> None:
    """Write the rooms of a run into `folder`, each file whole or not at all.

    Raises:
        EmptyInterval, MixedEncoders, MalformedLog: as `FeatureLog.rooms`.
        TooLittleData: a part has no room with a label.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for part in _PARTS:
        path = folder / f"{part}.safetensors"
        if path.exists():
            continue
        start_ms, end_ms = cuts.part(part)
        rooms: list[LoggedRoom] = []
        labelled: list[LabelledRoom] = []
        for room in log.rooms(start_ms, end_ms, encoder=encoder):
            if not np.isnan(room.ctr).all():
                rooms.append(room)
                labelled.append(room.labelled(texts))
            on_room()
        if not rooms:
            raise TooLittleData(
                f"{log.root}: found no labelled room for {part} ({end_ms - start_ms} ms), expected"
                " some; engagement may be missing or younger than the label delay"
            )
        if part == "test":
            times = [[int(room.start_ms[0]), room.segment_ms] for room in rooms]
            (folder / _TIMES).write_text(json.dumps(times))
        save_rooms(path, labelled, note=f"{log.root}, {start_ms} to {end_ms} ms")


def load(folder: Path) -> RunRooms:
    """What `collect` wrote.

    Raises:
        ValueError, OSError: a file is missing or another one.
    """
    parts = {part: load_rooms(folder / f"{part}.safetensors") for part in _PARTS}
    times = json.loads((folder / _TIMES).read_text())
    return RunRooms(**parts, test_times=[(int(start), int(length)) for start, length in times])


def _labelled(room: LabelledRoom, name: str) -> np.ndarray:
    """A count of the segments that have a label, 0 in the others."""
    counts = room.counts[:, COUNT_NAMES.index(name)]
    return np.where(np.isnan(room.ctr), 0, counts).astype(np.float32)
