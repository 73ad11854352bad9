"""TVSum in its highlight detection form: 50 videos whose 2 s clips twenty people rated.

The files are the JSON lines in which highlight detection exchanges them; `tvsum_mat` reads the
original. The ratings are research data (Song et al., CVPR 2015); none come with this project.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from limelight.kernels.ranking import trapezoid_average_precision
from limelight.models.datasets.domain_figures import DomainFigures, over_domains
from limelight.models.datasets.given_scores import Scores, check_complete, one_row
from limelight.models.datasets.json_lines import Row, json_rows, numbers_of, text_of
from limelight.models.datasets.malformed import Place

CLIP_SECONDS = 2
NUM_RATERS = 20
# Ratings go from 1 to 5.
HIGHEST_RATING = 5
TOP_K = 5


@dataclass(frozen=True, slots=True)
class TVSumClips:
    """One video of N clips of 2 s.

    The file's `duration` is N, not seconds: it is checked and not kept.

    Args:
        video_id: its YouTube id.
        title: the video's title, which serves as the query.
        domain: two letters of ten, such as VT (changing a vehicle's tyre).
        importance: (N, 20) float32, 1 to 5 by twenty raters, as they rated the middle of the clip.
    """

    video_id: str
    title: str
    domain: str
    importance: NDArray[np.float32]

    @property
    def mean_importance(self) -> NDArray[np.float32]:
        """(N,) what the raters said on average, in [0, 1]: the target that models learn."""
        mean = self.importance.mean(axis=1)
        return np.asarray((mean - 1) / (HIGHEST_RATING - 1), np.float32)


def read_tvsum(path: Path) -> Iterator[TVSumClips]:
    """Yields the videos of a JSON lines file in its order.

    Raises:
        MalformedDataset: a broken line, a video twice, or ratings that are not 1 to 5 by twenty.
    """
    seen: set[str] = set()
    for place, row in json_rows(path):
        video = _video(place, row)
        if video.video_id in seen:
            raise place.malformed(f"vid {video.video_id} again", "each vid once")
        seen.add(video.video_id)
        yield video


def evaluate_tvsum(
    videos: Sequence[TVSumClips], scores: Mapping[str, Scores], k: int = TOP_K
) -> DomainFigures:
    """Top-k mAP of each domain and their mean, as the benchmark counts it.

    For each rater the clips he rated above his own median are relevant; average precision is the
    trapezoid one among the k best clips, 0 where none of them is relevant; its mean over raters is
    the video's. Among equal scores the first clip goes first; the original leaves that to its sort.

    Args:
        videos: what `read_tvsum` yields.
        scores: by video id, (N,) a score for each clip, higher is better.
        k: how many of the best clips count.

    Raises:
        ValueError: videos without scores, scores without a video, a wrong number of them, or some
            that are not finite.

    Source: `evaluate` in datasets/tvsum.py of github.com/TencentARC/UMT, which trains and tests
        each domain by itself.
    """
    check_complete(scores, [video.video_id for video in videos], "video")
    return over_domains((video.domain, _average_precision(video, scores, k)) for video in videos)


def is_above_median(importance: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(N, A) where a rater's importance is above his median over N clips.

    The original takes the lower of the two middle values where N is even. Nothing lies between the
    two, so their mean splits the clips alike.
    """
    return np.asarray(importance > np.median(importance, axis=0))


def _average_precision(video: TVSumClips, scores: Mapping[str, Scores], k: int) -> float:
    num_clips, num_raters = video.importance.shape
    given = one_row(scores[video.video_id], num_clips, f"video {video.video_id}")
    relevant = np.ascontiguousarray(is_above_median(video.importance).T)
    repeated = np.repeat(given, num_raters, axis=0)
    return float(trapezoid_average_precision(repeated, relevant, k=k).mean())


def _video(place: Place, row: Row) -> TVSumClips:
    importance = numbers_of(place, row, "label", (None, NUM_RATERS))
    if not len(importance):
        raise place.malformed("no clips", "at least one")
    if not np.isin(importance, range(1, HIGHEST_RATING + 1)).all():
        found = f"label from {importance.min():g} to {importance.max():g}"
        raise place.malformed(found, "whole numbers from 1 to 5")
    if row.get("duration") != len(importance):
        found = f"duration {row.get('duration')!r} of {len(importance)} clips"
        raise place.malformed(found, "their number")
    return TVSumClips(
        video_id=text_of(place, row, "vid"),
        title=text_of(place, row, "query"),
        domain=text_of(place, row, "domain"),
        importance=importance.astype(np.float32),
    )
