"""YouTube Highlights: six sports and pets, clips of raw videos that their edited forms kept or cut.

The file is the JSON lines form in which highlight detection exchanges it. The data is for research
(Sun, Farhadi and Seitz, ECCV 2014), and none of it comes with this project.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from limelight.kernels.ranking import trapezoid_average_precision
from limelight.models.datasets.domain_figures import DomainFigures, over_domains
from limelight.models.datasets.given_scores import Scores, check_complete, one_row
from limelight.models.datasets.json_lines import (
    Row,
    json_rows,
    numbers_of,
    positive_number_of,
    text_of,
)
from limelight.models.datasets.malformed import Place


@dataclass(frozen=True, slots=True)
class YouTubeHighlightsVideo:
    """One raw video of N clips, which overlap by half.

    Args:
        video_id: its YouTube id.
        domain: dog, gymnastics, parkour, skating, skiing or surfing.
        fps: frames a second.
        clip_frames: (N, 2) int64, the first frame of a clip and the one after its last.
        match: (N,) int64; 1 kept by the edited video, 0 in part, -1 cut.
    """

    video_id: str
    domain: str
    fps: float
    clip_frames: NDArray[np.int64]
    match: NDArray[np.int64]

    @property
    def is_highlight(self) -> NDArray[np.bool_]:
        """(N,) where `match` is above 0."""
        return np.asarray(self.match > 0)


def read_youtube_highlights(path: Path) -> Iterator[YouTubeHighlightsVideo]:
    """Yields the videos of a file in its order.

    Raises:
        MalformedDataset: a broken line, a video twice, clips that end before they start, a match
            other than -1, 0 and 1, or a `label` that says something else than `match`.
    """
    seen: set[str] = set()
    for place, row in json_rows(path):
        video = _video(place, row)
        if video.video_id in seen:
            raise place.malformed(f"vid {video.video_id} again", "each vid once")
        seen.add(video.video_id)
        yield video


def evaluate_youtube_highlights(
    videos: Sequence[YouTubeHighlightsVideo], scores: Mapping[str, Scores]
) -> DomainFigures:
    """mAP of each domain and their mean, as later papers count it.

    A video's average precision is the trapezoid one over all its clips, 0 where no clip is a
    highlight. Among equal scores the first clip goes first; the original leaves that to its sort.
    The data set's own paper used another average precision: its figures are not comparable.

    Args:
        videos: what `read_youtube_highlights` yields.
        scores: by video id, (N,) a score for each clip, higher is better.

    Raises:
        ValueError: videos without scores, scores without a video, a wrong number of them, or some
            that are not finite.

    Source: `evaluate` in datasets/youtube.py of github.com/TencentARC/UMT.
    """
    check_complete(scores, [video.video_id for video in videos], "video")
    return over_domains((video.domain, _average_precision(video, scores)) for video in videos)


def _average_precision(video: YouTubeHighlightsVideo, scores: Mapping[str, Scores]) -> float:
    given = one_row(scores[video.video_id], len(video.match), f"video {video.video_id}")
    return float(trapezoid_average_precision(given, video.is_highlight[None])[0])


def _video(place: Place, row: Row) -> YouTubeHighlightsVideo:
    match = numbers_of(place, row, "match", (None,))
    if not len(match):
        raise place.malformed("no clips", "at least one")
    if not np.isin(match, (-1, 0, 1)).all():
        raise place.malformed(f"match from {match.min()} to {match.max()}", "-1, 0 or 1")
    label = numbers_of(place, row, "label", (len(match), 1))
    if (label[:, 0] != (match > 0)).any():
        clip = int(np.argmax(label[:, 0] != (match > 0)))
        found = f"label {label[clip, 0]:g} with match {match[clip]:g} in clip {clip}"
        raise place.malformed(found, "label 1 where match is 1, else 0")
    clips = numbers_of(place, row, "clip", (len(match), 2))
    if (clips[:, 0] < 0).any() or (clips[:, 1] <= clips[:, 0]).any():
        raise place.malformed("a clip that ends before it starts", "clips of one frame or more")
    return YouTubeHighlightsVideo(
        video_id=text_of(place, row, "vid"),
        domain=text_of(place, row, "domain"),
        fps=positive_number_of(place, row, "fps"),
        clip_frames=clips.astype(np.int64),
        match=match.astype(np.int64),
    )
