"""TVSum as it was released: `ydata-tvsum50.mat`, a rating for every frame of fifty videos.

Needs h5py (`pip install limelight[train]`). MATLAB's version 7.3 files are HDF5: a table of object
references, text as character codes, matrices transposed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from limelight.models.datasets.malformed import Place
from limelight.models.datasets.tvsum import CLIP_SECONDS, HIGHEST_RATING, NUM_RATERS

_TABLE = "tvsum50"
# The longest video has 19,406 frames, 11 minutes.
_MAX_FRAMES = 1_000_000


@dataclass(frozen=True, slots=True)
class TVSumVideo:
    """One video of N frames.

    Args:
        video_id: its YouTube id.
        title: as it was uploaded.
        category: two letters of ten, such as VT.
        length_s: how long it is.
        importance: (20, N) float32, 1 to 5 by twenty raters.
    """

    video_id: str
    title: str
    category: str
    length_s: float
    importance: NDArray[np.float32]

    def clip_importance(self) -> NDArray[np.float32]:
        """(C, 20) of the frame in the middle of each whole 2 s clip.

        A video of 133.3 s at 30 fps: clip 0 takes frame 30, clip 1 frame 90, and clip 65 frame
        3,930; the last 1.3 s belong to no clip. The exchanged JSON lines hold these very ratings,
        in some videos all but the last clip's.
        """
        fps = self.importance.shape[1] / self.length_s
        num_clips = int(self.length_s / CLIP_SECONDS)
        frames = ((np.arange(num_clips) + 0.5) * CLIP_SECONDS * fps).astype(np.int64)
        return np.ascontiguousarray(self.importance[:, frames].T)


def read_tvsum_mat(path: Path) -> Iterator[TVSumVideo]:
    """Yields the videos in the file's order.

    Raises:
        MalformedDataset: not HDF5, a column or a value is missing or of another kind, ratings that
            are not 1 to 5 by twenty, or another number of frames than the file says.
    """
    place = Place(path)
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise place.malformed(f"no HDF5 file ({error})", "MATLAB's 7.3 format") from error
    with file:
        table = file.get(_TABLE)
        if not isinstance(table, h5py.Group):
            raise place.malformed(f"no group {_TABLE}", f"one: it has {', '.join(file)}")
        for index in range(_num_videos(place, table)):
            yield _video(_Record(place, file, table, index))


@dataclass(frozen=True, slots=True)
class _Record:
    """One video's cells."""

    place: Place
    file: h5py.File
    table: h5py.Group
    index: int

    def array(self, column: str, most: int) -> NDArray[Any]:
        """The cell in `column`, with at most that many values."""
        cells = self.table.get(column)
        if not isinstance(cells, h5py.Dataset) or cells.shape[:1] <= (self.index,):
            raise self.malformed(f"no {column}", "one for every video")
        reference = np.ravel(cells[self.index])[0]
        is_reference = isinstance(reference, h5py.Reference) and bool(reference)
        cell = self.file[reference] if is_reference else None
        if not isinstance(cell, h5py.Dataset):
            raise self.malformed(f"no {column}", "one for every video")
        if cell.dtype.kind not in "iuf" or not 0 < cell.size <= most:
            found = f"{column} of {cell.dtype} {cell.shape}"
            raise self.malformed(found, f"1 to {most:,} numbers")
        return np.asarray(cell[()])

    def text(self, column: str) -> str:
        codes = self.array(column, most=1_000).ravel()
        if codes.dtype.kind != "u":
            raise self.malformed(f"{column} of {codes.dtype}", "text as character codes")
        return codes.astype("<u2").tobytes().decode("utf-16-le", errors="replace")

    def number(self, column: str) -> float:
        number = float(self.array(column, most=1).item())
        if not 0 < number < np.inf:
            raise self.malformed(f"{column} {number}", "a finite number above 0")
        return number

    def malformed(self, found: str, expected: str) -> Exception:
        return self.place.malformed(f"{found} in video {self.index}", expected)


def _num_videos(place: Place, table: h5py.Group) -> int:
    videos = table.get("video")
    if not isinstance(videos, h5py.Dataset) or not videos.shape:
        raise place.malformed(f"no {_TABLE}/video", "a column of YouTube ids")
    return int(videos.shape[0])


def _video(record: _Record) -> TVSumVideo:
    importance = record.array("user_anno", most=NUM_RATERS * _MAX_FRAMES)
    num_frames = int(record.number("nframes"))
    if importance.shape != (NUM_RATERS, num_frames):
        found = f"user_anno of shape {importance.shape}"
        raise record.malformed(found, f"({NUM_RATERS}, {num_frames})")
    if not np.isin(importance, range(1, HIGHEST_RATING + 1)).all():
        found = f"user_anno from {importance.min()} to {importance.max()}"
        raise record.malformed(found, "whole numbers from 1 to 5")
    return TVSumVideo(
        video_id=record.text("video"),
        title=record.text("title"),
        category=record.text("category"),
        length_s=record.number("length"),
        importance=importance.astype(np.float32),
    )
