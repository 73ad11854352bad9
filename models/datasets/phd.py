"""PHD-GIFs: which parts of YouTube videos 13,822 users of gifs.com made GIFs of.

Reads the released `training.csv` and `testing.csv`; features and examples are in `phd_examples`.
The data set comes without a licence, and none of it with this project.
"""

import csv
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limelight.kernels import ranking
from limelight.models.datasets.given_scores import Scores, one_row
from limelight.models.datasets.malformed import Place
from limelight.models.datasets.text_lines import text_lines

COLUMNS = ("youtubeId", "start", "duration", "user_id", "video_duration", "is_last")
# It becomes a file name: nothing that leaves the folder.
_VIDEO_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Highlight:
    """What a user chose of a video: from `start_s` to before `end_s`."""

    video_id: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class PHDUser:
    """What one user chose.

    Args:
        user_id: as in the file.
        target: of the video he chose from last, one highlight or more; what is to be predicted.
            Empty where the file marks no video as the last.
        history: of all other videos, in the file's order; what is known of the user.
    """

    user_id: str
    target: tuple[Highlight, ...]
    history: tuple[Highlight, ...]


@dataclass(frozen=True, slots=True)
class PHDFigures:
    """Means over users, in [0, 1].

    Args:
        mean_average_precision: not interpolated, as scikit-learn counts it.
        interpolated_mean_average_precision: as the data set's own evaluation counts it.
        num_users: how many the means are over.
        num_without_highlight: how many were left out because no frame is a highlight.
    """

    mean_average_precision: float
    interpolated_mean_average_precision: float
    num_users: int
    num_without_highlight: int


def read_phd(path: Path) -> list[PHDUser]:
    """The users of a file in the order in which they first appear.

    `video_duration` is not kept: it is -1 in places and short of some highlights' ends.

    Raises:
        MalformedDataset: other columns, a broken row, a start below 0, a duration of 0 or less, or
            a user with two last videos, or with a last one that is part of his history too.
    """
    targets: dict[str, list[Highlight]] = {}
    histories: dict[str, list[Highlight]] = {}
    for place, row in _rows(path):
        user_id, highlight = row["user_id"], _highlight(place, row)
        target = targets.setdefault(user_id, [])
        history = histories.setdefault(user_id, [])
        if _is_last(place, row["is_last"]):
            target.append(highlight)
        else:
            history.append(highlight)
        last_ids = {chosen.video_id for chosen in target}
        if len(last_ids) > 1:
            found = f"user {user_id} with the last videos {', '.join(sorted(last_ids))}"
            raise place.malformed(found, "one last video of a user")
    for user_id, target in targets.items():
        both = {chosen.video_id for chosen in target} & {
            chosen.video_id for chosen in histories[user_id]
        }
        if both:
            found = f"user {user_id} with {both.pop()} as the last video and as an earlier one"
            raise Place(path).malformed(found, "the last video in the target only")
    return [
        PHDUser(user_id, tuple(target), tuple(histories[user_id]))
        for user_id, target in targets.items()
    ]


def evaluate_phd(highlights: Sequence[NDArray[np.bool_]], scores: Sequence[Scores]) -> PHDFigures:
    """mAP of users' target videos: average precision over a video's frames, mean over users.

    Both figures are given, as publications differ and seldom say which they print. The data set's
    README points to `get_ap` of github.com/gyglim/video2gif_dataset, which interpolates unless it
    is told not to; so does the code of AHFCSN (github.com/mrochan/adaptive-highlight), and takes
    the union of a user's GIFs as one truth, as here. It scores the original frames, after
    averaging predictions over 5 s; here the frames are those with features, each counting once.

    Args:
        highlights: of each user, (N,) where his target video's frames are highlights.
        scores: of each user, (N,) a score for each frame, higher is better.

    Raises:
        ValueError: no users, another number of scores than highlights, or scores that are not
            finite.
    """
    if not highlights or len(highlights) != len(scores):
        raise ValueError(f"found {len(scores)} scores, {len(highlights)} highlights: expected some")
    plain, interpolated = [], []
    for number, (is_highlight, given) in enumerate(zip(highlights, scores, strict=True)):
        row = one_row(given, len(is_highlight), f"user number {number}")
        truth: NDArray[Any] = np.asarray(is_highlight)[None]
        if truth.any():
            plain.append(float(ranking.average_precision(row, truth)[0]))
            interpolated.append(float(ranking.interpolated_average_precision(row, truth)[0]))
    return PHDFigures(
        mean_average_precision=float(np.mean(plain)) if plain else math.nan,
        interpolated_mean_average_precision=float(np.mean(interpolated)) if plain else math.nan,
        num_users=len(plain),
        num_without_highlight=len(highlights) - len(plain),
    )


def _rows(path: Path) -> Iterator[tuple[Place, dict[str, str]]]:
    header: list[str] | None = None
    for line in text_lines(path):
        try:
            cells = next(csv.reader([line.text], strict=True))
        except csv.Error as error:
            raise line.place.malformed(f"broken CSV ({error})", "separated values") from error
        if header is None:
            header = cells
            if sorted(header) != sorted(COLUMNS):
                raise line.place.malformed_value("the columns", header, ",".join(COLUMNS))
            continue
        if len(cells) != len(header):
            raise line.place.malformed(f"{len(cells)} cells", f"the {len(header)} of the header")
        yield line.place, dict(zip(header, cells, strict=True))
    if header is None:
        raise Place(path).malformed("an empty file", "a header line")


def _highlight(place: Place, row: dict[str, str]) -> Highlight:
    video_id = row["youtubeId"]
    if _VIDEO_ID.fullmatch(video_id) is None:
        raise place.malformed_value("youtubeId", video_id, "a YouTube id")
    if not row["user_id"]:
        raise place.malformed("no user_id", "one in every line")
    start_s = _seconds(place, "start", row["start"])
    duration_s = _seconds(place, "duration", row["duration"])
    if start_s < 0 or duration_s <= 0:
        raise place.malformed(f"{duration_s} s from {start_s} s", "a start from 0, some length")
    return Highlight(video_id, start_s, start_s + duration_s)


def _seconds(place: Place, name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise place.malformed_value(name, text, "seconds, finite")
    return seconds


def _is_last(place: Place, text: str) -> bool:
    if text not in ("True", "False"):
        raise place.malformed_value("is_last", text, "True or False")
    return text == "True"
