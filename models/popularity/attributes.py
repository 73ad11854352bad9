"""What a model's columns mean, so that other videos' columns find their places in it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limelight.models.datasets.popularity_videos import CONTENTS, UNKNOWN, PopularityVideos
from limelight.models.popularity.config import PopularityConfig
from limelight.models.popularity.model import PopularityBatch

ATTRIBUTES = "attributes.json"


@dataclass(frozen=True, slots=True)
class Attributes:
    """Names of a model's columns, values of its categories, and the weights of its score (eq. 1).

    Code k of a category is `vocabularies[column][k - 1]`; 0 is every other value.
    """

    number_names: tuple[str, ...]
    category_names: tuple[str, ...]
    vocabularies: tuple[tuple[str, ...], ...]
    trend_names: tuple[str, ...]
    weights: dict[str, float]

    def __post_init__(self) -> None:
        for name in ("number_names", "category_names", "trend_names"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        vocabularies = tuple(tuple(each) for each in self.vocabularies)
        object.__setattr__(self, "vocabularies", vocabularies)

    def batch(
        self,
        videos: PopularityVideos,
        config: PopularityConfig,
        log_score: NDArray[np.float64] | None = None,
    ) -> PopularityBatch:
        """The videos as the network reads them.

        Attributes and categories that it does not know are left out, those that the videos lack
        are unknown; a content or a trend that they lack is masked.

        Raises:
            ValueError: a feature of another size, or a trend without a count that the model reads.
        """
        n = len(videos)
        contents, present = [], videos.present.copy()
        sizes = (config.text_size, config.audio_size, config.vision_size)
        for column, (name, size) in enumerate(zip(CONTENTS, sizes, strict=True)):
            features = getattr(videos, name)
            if features.shape[1] in (0, size):
                fitting = features if features.shape[1] else np.zeros((n, size), np.float32)
            elif not size or not present[:, column].any():
                present[:, column] = False  # the model never reads it, or nobody has it
                fitting = np.zeros((n, size), np.float32)
            else:
                raise ValueError(f"{name}: found {features.shape[1]} numbers, expected {size}")
            contents.append(torch.from_numpy(np.array(fitting, np.float32)))
        trend, trend_present = self._trend(videos)
        score = np.full(n, np.nan) if log_score is None else log_score
        return PopularityBatch(
            text=contents[0],
            audio=contents[1],
            vision=contents[2],
            present=torch.from_numpy(present),
            numbers=torch.from_numpy(self.numbers(videos)),
            categories=torch.from_numpy(self.categories(videos)),
            trend=torch.from_numpy(trend),
            trend_present=torch.from_numpy(trend_present),
            log_score=torch.from_numpy(score.astype(np.float32)),
        )

    def numbers(self, videos: PopularityVideos) -> NDArray[np.float32]:
        """(n, P) raw numbers in the model's columns, NaN where unknown."""
        found = np.full((len(videos), len(self.number_names)), np.nan, np.float32)
        for column, name in enumerate(self.number_names):
            if name in videos.number_names:
                found[:, column] = videos.numbers[:, videos.number_names.index(name)]
        return found

    def categories(self, videos: PopularityVideos) -> NDArray[np.int64]:
        """(n, C) codes of the model's vocabularies, 0 where unknown."""
        found = np.full((len(videos), len(self.category_names)), UNKNOWN, np.int64)
        for column, name in enumerate(self.category_names):
            if name not in videos.category_names:
                continue
            theirs = videos.category_names.index(name)
            own = {value: code for code, value in enumerate(self.vocabularies[column], start=1)}
            codes = [UNKNOWN, *(own.get(v, UNKNOWN) for v in videos.vocabularies[theirs])]
            found[:, column] = np.array(codes, np.int64)[videos.categories[:, theirs]]
        return found

    def _trend(self, videos: PopularityVideos) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        n = len(videos)
        if not videos.trend_present.any() or not self.trend_names:
            # One masked day: a recurrent network wants at least that.
            return np.zeros((n, 1, len(self.trend_names)), np.float32), np.zeros((n, 1), np.bool_)
        missing = sorted(set(self.trend_names) - set(videos.trend_names))
        if missing:
            raise ValueError(
                f"trend: found {list(videos.trend_names)}, expected {', '.join(missing)} too"
            )
        columns = [videos.trend_names.index(name) for name in self.trend_names]
        masked = np.where(videos.trend_present[..., None], videos.trend[..., columns], 0.0)
        return masked.astype(np.float32), videos.trend_present


def fit_attributes(
    videos: PopularityVideos, weights: Mapping[str, float], min_count: int
) -> Attributes:
    """The columns of training videos; values seen in fewer than `min_count` of them stay unknown.

    What few videos share teaches the network what an unknown one is like.
    """
    vocabularies = []
    for column, vocabulary in enumerate(videos.vocabularies):
        seen = np.bincount(videos.categories[:, column], minlength=len(vocabulary) + 1)[1:]
        vocabularies.append(
            tuple(
                value for value, times in zip(vocabulary, seen, strict=True) if times >= min_count
            )
        )
    return Attributes(
        videos.number_names,
        videos.category_names,
        tuple(vocabularies),
        videos.trend_names,
        dict(weights),
    )


def save_attributes(folder: Path, attributes: Attributes) -> None:
    text = json.dumps(asdict(attributes), indent=2, ensure_ascii=False)
    (folder / ATTRIBUTES).write_text(text + "\n", encoding="utf-8")


def load_attributes(folder: Path) -> Attributes:
    """What `save_attributes` wrote.

    Raises:
        ValueError: another kind of file.
        OSError: it cannot be read.
    """
    path = folder / ATTRIBUTES
    try:
        return Attributes(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: found {error}, expected a model's attributes") from error


def rows_of(batch: PopularityBatch, rows: Tensor) -> PopularityBatch:
    """The videos at these places."""
    return PopularityBatch(*(getattr(batch, name)[rows] for name in batch.__slots__))
