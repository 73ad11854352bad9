"""What a model learns from PHD: a user's earlier highlights, and his last video's frames.

Features are made elsewhere, one file a video: `<youtube id>.safetensors` with `frame_features`
(N, F), `times_s` (N,) rising, and `text_features` (N, T) in all files or in none.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from limelight.models.datasets.malformed import Place
from limelight.models.datasets.phd import Highlight, PHDUser
from limelight.models.datasets.phd_features import Floats, VideoFeatures

MOST_HISTORY = 20
PIECE_FRAMES = 192

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PHDExample:
    """A user's target video, or a piece of it, of N frames.

    Args:
        user_id, video_id: whose, which.
        times_s: (N,) float64 rising.
        frame_features: (N, F) float32.
        text_features: (N, T) float32, T = 0 where the files hold none.
        is_highlight: (N,) bool.
        history: (H, F) float32, H from 0 to 20, the mean frame feature of each earlier highlight.
    """

    user_id: str
    video_id: str
    times_s: NDArray[np.float64]
    frame_features: Floats
    text_features: Floats
    is_highlight: NDArray[np.bool_]
    history: Floats

    def piece(self, start: int, end: int) -> "PHDExample":
        """The frames from `start` to before `end`, with the whole history."""
        return replace(
            self,
            times_s=self.times_s[start:end],
            frame_features=self.frame_features[start:end],
            text_features=self.text_features[start:end],
            is_highlight=self.is_highlight[start:end],
        )


@dataclass(frozen=True, slots=True)
class PHDCoverage:
    """What of the data set has features; videos vanish from YouTube.

    Args:
        num_users: all of the file.
        num_without_target: users of whom no video is the last.
        num_targets_missing: users whose target video has no features: they give no example.
        num_history_videos: a user's earlier videos, summed over users.
        num_history_videos_missing: those of them without features: left out of histories.
    """

    num_users: int
    num_without_target: int
    num_targets_missing: int
    num_history_videos: int
    num_history_videos_missing: int

    @property
    def num_examples(self) -> int:
        return self.num_users - self.num_without_target - self.num_targets_missing


class PHDExamples:
    """The examples of users whose target video has features; `coverage` says what is missing.

    Args:
        users: what `read_phd` gives.
        features_folder: with the videos' feature files.
        most_history: at most so many highlights of a user's history, the first in the file.

    Raises:
        ValueError: `most_history` below 0.
    """

    def __init__(
        self, users: Sequence[PHDUser], features_folder: Path, most_history: int = MOST_HISTORY
    ) -> None:
        if most_history < 0:
            raise ValueError(f"most_history: found {most_history}, expected 0 or more")
        self._folder = features_folder
        self._most_history = most_history
        self._available = {path.stem for path in features_folder.glob("*.safetensors")}
        earlier = [{chosen.video_id for chosen in user.history} for user in users]
        targets = [user.target[0].video_id if user.target else None for user in users]
        self.coverage = PHDCoverage(
            num_users=len(users),
            num_without_target=targets.count(None),
            num_targets_missing=sum(t is not None and t not in self._available for t in targets),
            num_history_videos=sum(len(ids) for ids in earlier),
            num_history_videos_missing=sum(len(ids - self._available) for ids in earlier),
        )
        self._users = [
            user
            for user, target in zip(users, targets, strict=True)
            if target is not None and target in self._available
        ]
        if self.coverage.num_examples < len(users) or self.coverage.num_history_videos_missing:
            _log.warning("PHD videos have no features", extra={"coverage": self.coverage})

    def __len__(self) -> int:
        return len(self._users)

    def __iter__(self) -> Iterator[PHDExample]:
        """Yields whole target videos, as they are tested, in the users' order.

        Raises:
            MalformedDataset: a feature file that cannot be read, or that does not fit the others.
        """
        sizes: tuple[int, int] | None = None
        for user in self._users:
            example = self._example(user)
            found = example.frame_features.shape[1], example.text_features.shape[1]
            sizes = sizes or found
            if found != sizes:
                place = Place(self._path(example.video_id))
                raise place.malformed(f"frames and texts of sizes {found}", f"{sizes} as before")
            yield example

    def training_pieces(self, num_frames: int = PIECE_FRAMES) -> Iterator[PHDExample]:
        """Yields the pieces of target videos that contain a highlight.

        A video is cut every `num_frames` frames, the last piece beginning earlier so that it is
        as long; a shorter video is one piece, shorter than the others. 500 frames: 0 to 191, 192
        to 383, 308 to 499.

        Raises:
            MalformedDataset: as when iterating.
            ValueError: `num_frames` below 1.
        """
        if num_frames < 1:
            raise ValueError(f"num_frames: found {num_frames}, expected 1 or more")
        for example in self:
            total = len(example.times_s)
            for start in range(0, total, num_frames):
                start = max(0, min(start, total - num_frames))
                piece = example.piece(start, start + num_frames)
                if piece.is_highlight.any():
                    yield piece

    def _path(self, video_id: str) -> Path:
        return self._folder / f"{video_id}.safetensors"

    def _example(self, user: PHDUser) -> PHDExample:
        video_id = user.target[0].video_id
        with VideoFeatures(self._path(video_id)) as video:
            frame_features = video.rows("frame_features", 0, len(video.times_s))
            text_features = video.rows("text_features", 0, len(video.times_s))
            is_highlight = np.zeros(len(video.times_s), np.bool_)
            for highlight in user.target:
                is_highlight[slice(*frames_of(highlight, video.times_s))] = True
            times_s = video.times_s
        return PHDExample(
            user_id=user.user_id,
            video_id=video_id,
            times_s=times_s,
            frame_features=frame_features,
            text_features=text_features,
            is_highlight=is_highlight,
            history=self._history(user, frame_features.shape[1]),
        )

    def _history(self, user: PHDUser, frame_size: int) -> Floats:
        means: list[Floats] = []
        for highlight in user.history:
            if len(means) == self._most_history:
                break
            if highlight.video_id not in self._available:
                continue
            path = self._path(highlight.video_id)
            with VideoFeatures(path) as video:
                start, end = frames_of(highlight, video.times_s)
                if start == end:
                    continue
                mean = video.rows("frame_features", start, end).mean(axis=0)
            if len(mean) != frame_size:
                found = f"frame_features of {len(mean)} numbers"
                raise Place(path).malformed(found, f"{frame_size} as in the target video")
            means.append(mean)
        return np.stack(means) if means else np.zeros((0, frame_size), np.float32)


def frames_of(highlight: Highlight, times_s: NDArray[np.float64]) -> tuple[int, int]:
    """(first, one after the last) frame of a highlight.

    Frames whose time lies in [start, end); where a highlight falls between two frames, the nearer
    one to its middle. Equal numbers where it lies before the first or after the last frame.

    Args:
        times_s: (N,) rising.
    """
    start, end = np.searchsorted(times_s, (highlight.start_s, highlight.end_s)).tolist()
    if start == end and 0 < start < len(times_s):
        middle_s = (highlight.start_s + highlight.end_s) / 2
        start = start if times_s[start] - middle_s < middle_s - times_s[start - 1] else start - 1
        end = start + 1
    return start, end
