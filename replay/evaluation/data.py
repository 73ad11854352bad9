"""What models are judged on: rooms of recordings, of room files and of feature logs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from limelight.engine.errors import LimelightError
from limelight.kernels.energy import SEGMENT_MS
from limelight.models.datasets.labelled_room import COUNT_NAMES, LabelledRoom
from limelight.models.datasets.room_files import load_rooms
from limelight.replay.evaluation.encoders import DataEncoders
from limelight.replay.evaluation.recorded import Recorded, recorded_room
from limelight.replay.recording import load_recording
from limelight.replay.recording_manifest import MANIFEST_NAME
from limelight.streams.settings import FeaturelogSettings, Settings

if TYPE_CHECKING:
    from limelight.replay.feature_log.reading import FeatureLog, LoggedRoom

_CLICKS, _IMPRESSIONS = COUNT_NAMES.index("clicks"), COUNT_NAMES.index("impressions")

OnRoom = Callable[[str], None]
EncoderId = tuple[str, str]


class NothingToJudge(LimelightError):
    """Data that no model can be judged on."""


@dataclass(frozen=True, slots=True)
class DataRoom:
    """One room as models see it.

    Args:
        room: features, labels and counts of its S segments.
        start_ms: (S,) event times, from 0 where nobody knows them.
        source: the data it came with, for messages.
        encoder: id and revision of the picture features, None where the data does not tell.
        text_encoder: the same of the text features.
        recorded: of a recording, its windows and where its pictures are.
        intervals: see `JudgedRoom`.
    """

    room: LabelledRoom
    start_ms: NDArray[np.int64]
    segment_ms: int
    source: str
    encoder: EncoderId | None = None
    text_encoder: EncoderId | None = None
    recorded: Recorded | None = None
    intervals: NDArray[np.int64] | None = None
    category: str = ""

    @property
    def clicks(self) -> NDArray[np.float32]:
        return self.room.counts[:, _CLICKS]

    @property
    def viewers(self) -> NDArray[np.float32]:
        return self.room.counts[:, _IMPRESSIONS]


def load_data(
    paths: Sequence[str],
    settings: Settings,
    encoders: DataEncoders,
    *,
    from_ms: int | None = None,
    to_ms: int | None = None,
    on_room: OnRoom = lambda told: None,
) -> list[DataRoom]:
    """The rooms of all the data, in order.

    Each is the folder of a recording, a folder of such folders, a `.safetensors` file of labelled
    rooms, or the root of a feature log, a folder or an fsspec URL.

    Args:
        from_ms, to_ms: which segments of logs, by their start; None for their beginning and end.
        on_room: called after each room with what was read, for a progress bar.

    Raises:
        FileNotFoundError: there is no such file or folder.
        NothingToJudge: no segment has a label.
        LimelightError, ValueError: the data is not what it should be.
    """
    rooms: list[DataRoom] = []
    for path in paths:
        found = _load(path, settings, encoders, from_ms, to_ms, on_room)
        rooms += found
    check_labels(rooms, paths)
    return rooms


def check_labels(rooms: Sequence[DataRoom], paths: Sequence[str]) -> None:
    """Raise NothingToJudge where no segment of the data has a label and no highlight is marked."""
    known = sum(int((~np.isnan(each.room.ctr)).sum()) for each in rooms)
    if not known and all(each.intervals is None for each in rooms):
        segments = sum(len(each.room) for each in rooms)
        raise NothingToJudge(
            f"{', '.join(paths)}: found no label in {segments} segments of {len(rooms)} rooms,"
            " expected segments with impressions and clicks, or marked highlights"
        )


def _load(
    path: str,
    settings: Settings,
    encoders: DataEncoders,
    from_ms: int | None,
    to_ms: int | None,
    on_room: OnRoom,
) -> list[DataRoom]:
    if "://" in path:
        return _logged(path, settings.featurelog, encoders, from_ms, to_ms, on_room)
    here = Path(path)
    if not here.exists():
        raise FileNotFoundError(
            f"{path}: found nothing there, expected a recording, a file of labelled rooms"
            " (.safetensors) or a feature log"
        )
    if here.is_file():
        return _from_file(here, on_room)
    folders = recording_folders(here)
    if not folders:
        return _logged(path, settings.featurelog, encoders, from_ms, to_ms, on_room)
    rooms = []
    for folder in folders:
        rooms.append(_recorded(folder, settings, encoders))
        on_room(folder.name)
    return rooms


def recording_folders(path: Path) -> list[Path]:
    """The recording itself, or those in the folder; none where there are none."""
    if (path / MANIFEST_NAME).is_file():
        return [path]
    return sorted(each.parent for each in path.glob(f"*/{MANIFEST_NAME}"))


def _from_file(path: Path, on_room: OnRoom) -> list[DataRoom]:
    rooms = []
    for room in load_rooms(path):
        start_ms = np.arange(len(room), dtype=np.int64) * SEGMENT_MS
        rooms.append(DataRoom(room, start_ms, SEGMENT_MS, str(path)))
        on_room(path.name)
    return rooms


def _recorded(folder: Path, settings: Settings, encoders: DataEncoders) -> DataRoom:
    recorded = recorded_room(load_recording(folder), settings, encoders)
    return DataRoom(
        room=recorded.labelled,
        start_ms=recorded.start_ms,
        segment_ms=settings.assembler.segment_ms,
        source=str(folder),
        encoder=(encoders.frame.encoder_id, encoders.frame.revision),
        text_encoder=(encoders.text.encoder_id, encoders.text.revision),
        recorded=recorded,
        intervals=recorded.intervals,
    )


def _logged(
    root: str,
    settings: FeaturelogSettings,
    encoders: DataEncoders,
    from_ms: int | None,
    to_ms: int | None,
    on_room: OnRoom,
) -> list[DataRoom]:
    log = open_log(root, settings)
    start_ms, end_ms = log_interval(log, from_ms, to_ms)
    # Of several, none: reading them together is refused below.
    found = list(log.encoders(start_ms, end_ms))
    encoder = found[0] if len(found) == 1 else None
    rooms = []
    for room in log.rooms(start_ms, end_ms):
        rooms.append(logged_room(room, root, encoder, encoders))
        on_room(room.room_id)
    return rooms


def open_log(root: str, settings: FeaturelogSettings) -> "FeatureLog":
    """The feature log with the labels that the settings ask for."""
    from limelight.replay.feature_log.reading import FeatureLog  # of an extra

    return FeatureLog(root, min_viewers=settings.min_viewers, label_delay_s=settings.label_delay_s)


def log_interval(log: "FeatureLog", from_ms: int | None, to_ms: int | None) -> tuple[int, int]:
    """The times given, or those at which the log begins and ends.

    Raises:
        EmptyInterval: the log is empty.
    """
    first_ms, last_ms = log.interval()
    return first_ms if from_ms is None else from_ms, last_ms if to_ms is None else to_ms


def logged_room(
    room: "LoggedRoom", root: str, encoder: EncoderId | None, encoders: DataEncoders
) -> DataRoom:
    """A log's room as models see it, its texts encoded."""
    return DataRoom(
        room=room.labelled(encoders.text),
        start_ms=room.start_ms,
        segment_ms=room.segment_ms,
        source=root,
        encoder=encoder,
        text_encoder=(encoders.text.encoder_id, encoders.text.revision),
    )


def with_categories(rooms: Sequence[DataRoom], categories: dict[str, str]) -> list[DataRoom]:
    """The rooms with the categories of their room id, else of their streamer's."""
    return [
        replace(
            each,
            category=categories.get(
                each.room.room_id, categories.get(each.room.streamer_id, each.category)
            ),
        )
        for each in rooms
    ]
