"""KLive, the public release of live rooms with a long-view rate for every frame.

The folder holds `live_id2aid.txt` and the frames, in `train/` and `test/` of the release or beside
it. The data is not part of this project; see github.com/djx2726889/KLive. How lines are read is in
`klive_records`.
"""

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from limelight.models.datasets.klive_records import (
    Feature,
    KLiveFormat,
    KLiveFrame,
    frame_of,
    live_id_of,
    read_author_ids,
    recognised_format,
)
from limelight.models.datasets.labelled_room import COUNT_NAMES, NUM_TOKENS, LabelledRoom
from limelight.models.datasets.malformed import Place
from limelight.models.datasets.text_lines import MAX_LINE_BYTES, decoded_line, text_lines

AUTHORS_FILE = "live_id2aid.txt"
FRAME_SUFFIXES = (".log", ".jsonl", ".csv", ".tsv", ".txt")
# A room is cut where frames are further apart than this many of its usual steps.
MOST_STEPS = 1.5


@dataclass(frozen=True, slots=True)
class _FrameIndex:
    """Where each room's lines stand, and the sizes of the two features.

    `lines` holds three numbers a line: the file's place in `files`, the byte offset, the line.
    """

    files: list[tuple[Path, KLiveFormat]] = field(default_factory=list)
    lines: dict[str, "array[int]"] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)


def read_klive(folder: Path, part: str | None = None) -> Iterator[LabelledRoom]:
    """Yields the rooms in the order in which they first appear, their frames by time.

    A room is read from wherever its lines stand: a first pass over all files keeps 24 bytes a
    line, the second holds one room at a time. What stands for what:

    - `ctr` is the long-view rate, NaN where it was not measured; `counts` are zeros.
    - A missing feature is zeros and not `present`.
    - The usual step is the median time between neighbouring frames. Where frames are more than 1.5
      steps apart the room is cut, as a window must not reach over a gap; the parts are called
      17792#0, 17792#1. Frames at 0, 30, 60, 150, 180 s: two parts, of three and two frames.

    Args:
        folder: of the release, with `live_id2aid.txt`.
        part: the folder with the frames in it, such as "train"; None where they are in `folder`.

    Raises:
        MalformedDataset: no frames, a line that cannot be read, a room without an author, two
            frames of a room at one time, or features of two sizes.
        FileNotFoundError: no folder, or no `live_id2aid.txt`.
    """
    authors = read_author_ids(folder / AUTHORS_FILE)
    index = _indexed(folder if part is None else folder / part, authors)
    for live_id, positions in index.lines.items():
        frames = _frames_in_order(live_id, index, positions)
        parts = _without_gaps([frame for _, frame in frames])
        for number, frames_of_part in enumerate(parts):
            room_id = live_id if len(parts) == 1 else f"{live_id}#{number}"
            yield _room(room_id, authors[live_id], frames_of_part, index.sizes)


def _indexed(folder: Path, authors: Mapping[str, str]) -> _FrameIndex:
    index = _FrameIndex()
    for path in sorted(folder.iterdir()):
        if path.name == AUTHORS_FILE or path.suffix not in FRAME_SUFFIXES:
            continue
        format = recognised_format(path)
        if format is not None:
            index.files.append((path, format))
            _index_file(index, path, format, authors)
    if not index.lines:
        found = f"no frames in {len(index.files)} files"
        raise Place(folder).malformed(found, f"some in files named {', '.join(FRAME_SUFFIXES)}")
    for name in ("image_feature", "text_feature"):
        if name not in index.sizes:
            raise Place(folder).malformed(f"no {name} in any frame", "one somewhere")
    return index


def _index_file(
    index: _FrameIndex, path: Path, format: KLiveFormat, authors: Mapping[str, str]
) -> None:
    lines = text_lines(path)
    if format.has_header:
        next(lines)
    for line in lines:
        cells = format.cells(line.place, line.text)
        live_id = live_id_of(line.place, cells)
        if live_id not in authors:
            raise line.place.malformed(f"live_id {live_id}", f"one of those in {AUTHORS_FILE}")
        positions = index.lines.setdefault(live_id, array("q"))
        positions.extend((len(index.files) - 1, line.offset, line.place.line or 0))
        if len(index.sizes) < NUM_TOKENS:
            frame = frame_of(line.place, cells)
            for name, feature in _features(frame):
                if feature is not None:
                    index.sizes.setdefault(name, len(feature))


def _frames_in_order(
    live_id: str, index: _FrameIndex, positions: "array[int]"
) -> list[tuple[Place, KLiveFrame]]:
    frames = []
    numbers = np.frombuffer(positions, np.int64).reshape(-1, 3)
    for file_number in np.unique(numbers[:, 0]):
        path, format = index.files[file_number]
        with path.open("rb") as file:
            for offset, line in numbers[numbers[:, 0] == file_number, 1:].tolist():
                place = Place(path, line)
                file.seek(offset)
                text = decoded_line(place, file.readline(MAX_LINE_BYTES + 1))
                frames.append((place, _checked_frame(place, format, text, index.sizes)))
    frames.sort(key=lambda placed: placed[1].timestamp_s)
    for (place, frame), (other, following) in pairwise(frames):
        if frame.timestamp_s == following.timestamp_s:
            found = f"live_id {live_id} at {frame.timestamp_s} s again"
            where = f"one frame at a time: {place.path.name}, line {place.line} has it"
            raise other.malformed(found, where)
    return frames


def _checked_frame(
    place: Place, format: KLiveFormat, text: str, sizes: Mapping[str, int]
) -> KLiveFrame:
    frame = frame_of(place, format.cells(place, text))
    for name, feature in _features(frame):
        if feature is not None and len(feature) != sizes[name]:
            found = f"{name} of {len(feature)} numbers"
            raise place.malformed(found, f"{sizes[name]} as in the first line with one")
    return frame


def _features(frame: KLiveFrame) -> tuple[tuple[str, Feature | None], ...]:
    return ("image_feature", frame.image_feature), ("text_feature", frame.text_feature)


def _without_gaps(frames: list[KLiveFrame]) -> list[list[KLiveFrame]]:
    """`frames` cut where neighbours are more than 1.5 usual steps apart."""
    steps_s = np.diff([frame.timestamp_s for frame in frames])
    if not len(steps_s):
        return [frames]
    gaps = np.flatnonzero(steps_s > MOST_STEPS * np.median(steps_s)) + 1
    bounds = [0, *gaps.tolist(), len(frames)]
    return [frames[start:end] for start, end in pairwise(bounds)]


def _room(
    room_id: str, author_id: str, frames: list[KLiveFrame], sizes: Mapping[str, int]
) -> LabelledRoom:
    present = np.array([[feature is not None for _, feature in _features(f)] for f in frames])
    return LabelledRoom(
        room_id=room_id,
        streamer_id=author_id,
        frame_features=_stacked([f.image_feature for f in frames], sizes["image_feature"]),
        text_features=_stacked([f.text_feature for f in frames], sizes["text_feature"]),
        present=present,
        ctr=np.array([frame.long_view_rate for frame in frames], np.float32),
        counts=np.zeros((len(frames), len(COUNT_NAMES)), np.float32),
    )


def _stacked(features: list[Feature | None], size: int) -> Feature:
    stacked = np.zeros((len(features), size), np.float32)
    for row, feature in zip(stacked, features, strict=True):
        if feature is not None:
            row[:] = feature
    return stacked
