"""Videos as the network learns from them: cover, title and counts, from any of three files."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from limelight.models.datasets.bilibili_weekly import WeeklyVideo, read_bilibili_weekly
from limelight.models.datasets.clip_files import load_clips
from limelight.models.datasets.labelled_clip import COUNT_NAMES, LabelledClips
from limelight.models.datasets.malformed import MalformedDataset
from limelight.models.datasets.youtube_trending import TrendingVideo, read_youtube_trending

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TitledVideos:
    """n videos.

    Args:
        video_ids: what tells videos apart; rows of one id go to the same part.
        titles: "" for none.
        covers: (n, H, W, 3) uint8, None where the data has none.
        counts: (n,) float64 of each name, of those of `PAPER_WEIGHTS` and others.

    Raises:
        ValueError: no video, or columns of different lengths.
    """

    video_ids: list[str]
    titles: list[str]
    covers: NDArray[np.uint8] | None
    counts: dict[str, NDArray[np.float64]]

    def __post_init__(self) -> None:
        count = len(self.video_ids)
        if not count:
            raise ValueError("videos: found none, expected some")
        columns = {"titles": self.titles, "covers": self.covers, **self.counts}
        for name, column in columns.items():
            if column is not None and len(column) != count:
                raise ValueError(f"{name}: found {len(column)}, expected one for {count} videos")

    def __len__(self) -> int:
        return len(self.video_ids)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> "TitledVideos":
        """The videos of some rows, or where it is true."""
        places = np.arange(len(self))[rows]
        return TitledVideos(
            [self.video_ids[at] for at in places],
            [self.titles[at] for at in places],
            None if self.covers is None else self.covers[places],
            {name: column[places] for name, column in self.counts.items()},
        )


def from_clips(clips: LabelledClips) -> TitledVideos:
    """Clips with their counts at the end of the last day; there are no coins."""
    if not len(clips) or not clips.daily_counts.shape[1]:
        raise ValueError("daily_counts: found no clip or no day, expected some")
    last = clips.daily_counts[:, -1].astype(np.float64)
    counts = {name: last[:, at] for at, name in enumerate(COUNT_NAMES)}
    return TitledVideos(list(clips.clip_ids), list(clips.titles), clips.covers, counts)


def from_weekly(videos: Iterable[WeeklyVideo]) -> TitledVideos:
    """Bilibili's lists: titles and all five counts, no covers.

    Where the file lacks ids, uploader and title stand for one.
    """
    found = list(videos)
    names = ("views", "likes", "coins", "favorites", "shares")
    return TitledVideos(
        [each.video_id or f"{each.uploader}\t{each.title}" for each in found],
        [each.title for each in found],
        None,
        {name: np.array([getattr(v, name) for v in found], np.float64) for name in names},
    )


def from_trending(videos: Iterable[TrendingVideo]) -> TitledVideos:
    """YouTube's table: titles, with views and likes of a video's last day; no covers."""
    found = list(videos)
    return TitledVideos(
        [each.video_id for each in found],
        [each.title for each in found],
        None,
        {
            name: np.array([getattr(v.days[-1], name) for v in found], np.float64)
            for name in ("views", "likes")
        },
    )


def load_videos(path: Path, *, year: int = 2017) -> TitledVideos:
    """Labelled clips (.safetensors), Bilibili's weekly lists (.tsv), YouTube's table (.csv).

    Rows of the YouTube table that cannot be read are left out, and logged.

    Args:
        year: of the YouTube table, which does not say.

    Raises:
        ValueError, OSError: another kind of file, or one that its reader refuses.
    """
    if path.suffix == ".safetensors":
        return from_clips(load_clips(path))
    if path.suffix == ".tsv":
        return from_weekly(read_bilibili_weekly(path))
    if path.suffix != ".csv":
        raise ValueError(f"{path}: found {path.suffix!r}, expected .safetensors, .tsv or .csv")
    malformed: list[MalformedDataset] = []
    videos = read_youtube_trending(path, year=year, on_malformed=malformed.append)
    if malformed:
        _log.warning("%d rows left out, the first: %s", len(malformed), malformed[0])
    return from_trending(videos)
