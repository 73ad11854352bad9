"""Predict a day, learn from it, go on: the paper's offline evaluation (section IV-D)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from time import perf_counter
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from limelight.kernels.auc import resampled_auc
from limelight.models.baselines.kuairand_log import LABEL
from limelight.models.baselines.network_training import Rows, TrainingConfig, predict_ctr, train
from limelight.models.topics.ranking import (
    Columns,
    Impressions,
    RankerName,
    build_ranker,
    rows_of,
    vocabulary_sizes,
)

FIRST_DAY_EPOCHS: Final = 2
_TIMED_ROWS: Final = 1024
_TIMED_ROUNDS: Final = 150


@dataclass(frozen=True, slots=True)
class Ranker:
    """What a ranker sees: columns of ids (n,) each, and numbers (n, D) or None."""

    columns: Columns
    dense: NDArray[np.floating[Any]] | None = None

    @property
    def rows(self) -> NDArray[Any]:
        return rows_of(self.columns, self.dense)

    @property
    def dense_size(self) -> int:
        return 0 if self.dense is None else int(self.dense.shape[1])

    def network(self, name: RankerName, seed: int) -> torch.nn.Module:
        sizes = vocabulary_sizes(self.columns)
        return build_ranker(name, sizes, dense_size=self.dense_size, seed=seed)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one ranker: time of a sample in batches on one thread, and memory.

    `sample_bytes` is what a sample takes on its way: its row, and the input of the deep part.
    """

    sample_us: float
    sample_bytes: int
    weights_mb: float


def predict_days(
    ranker: Ranker, impressions: Impressions, *, name: RankerName = "wdl", seed: int = 0
) -> NDArray[np.float64]:
    """(n,) CTR predicted of each impression before its day was learned from; NaN on the first day.

    The network begins with two passes over the first day; each other day is gone over once, after
    it was predicted.
    """
    days = np.unique(impressions["date"])
    rows, clicks = ranker.rows, impressions[LABEL].astype(np.float32)
    network = ranker.network(name, seed)
    predicted = np.full(len(clicks), np.nan)
    for number, day in enumerate(days):
        today = impressions["date"] == day
        if number:
            predicted[today] = predict_ctr(network, rows[today])
        epochs = 1 if number else FIRST_DAY_EPOCHS
        config = TrainingConfig(epochs=epochs)
        train(network, Rows(rows[today], clicks[today]), config, seed=seed + number)
    return predicted


def predict_last_day(
    ranker: Ranker, impressions: Impressions, *, name: RankerName, seed: int = 0
) -> NDArray[np.float64]:
    """(n,) CTR of the last day's impressions, from two passes over all days before; else NaN."""
    last = impressions["date"] == impressions["date"].max()
    rows, clicks = ranker.rows, impressions[LABEL].astype(np.float32)
    network = ranker.network(name, seed)
    config = TrainingConfig(epochs=FIRST_DAY_EPOCHS)
    train(network, Rows(rows[~last], clicks[~last]), config, seed=seed)
    predicted = np.full(len(clicks), np.nan)
    predicted[last] = predict_ctr(network, rows[last])
    return predicted


def daily_auc(
    impressions: Impressions, predicted: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(days, B) AUC of each predicted day under B weightings of the users, (users, B).

    Users are numbered in the order of `np.unique`.
    """
    users = np.unique(impressions["user_id"], return_inverse=True)[1]
    clicks = impressions[LABEL]
    found = []
    for day in np.unique(impressions["date"]):
        today = (impressions["date"] == day) & ~np.isnan(predicted)
        if today.any():
            of_day = predicted[today], clicks[today], 1 - clicks[today], users[today]
            found.append(resampled_auc(*of_day, weights, threads=2))
    return np.stack(found)


def user_weights(impressions: Impressions, resamples: int, seed: int) -> NDArray[np.float64]:
    """(users, 1 + resamples): once everybody as he is, then users drawn with replacement."""
    count = len(np.unique(impressions["user_id"]))
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    return np.concatenate([np.ones((1, count)), drawn]).T


def costs(rankers: Mapping[str, Ranker], *, name: RankerName = "wdl") -> dict[str, Cost]:
    """Of each ranker, taking turns."""
    networks = {key: each.network(name, 0) for key, each in rankers.items()}
    rows = {key: each.rows[:_TIMED_ROWS] for key, each in rankers.items()}
    seconds: dict[str, list[float]] = {key: [] for key in rankers}
    for turn in range(1 + _TIMED_ROUNDS):
        for key, network in networks.items():
            start = perf_counter()
            predict_ctr(network, rows[key])
            if turn:
                seconds[key].append(perf_counter() - start)
    return {
        key: Cost(
            sample_us=min(seconds[key]) / len(rows[key]) * 1e6,
            sample_bytes=rows[key].shape[1] * 4 + _deep_width(ranker) * 4,
            weights_mb=sum(each.numel() * 4 for each in networks[key].parameters()) / 1e6,
        )
        for key, ranker in rankers.items()
    }


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """The middle 95 %."""
    low, high = np.quantile(np.asarray(differences), [0.025, 0.975])
    return float(low), float(high)


def mean_of(values: Sequence[float]) -> float:
    return mean(values)


def _deep_width(ranker: Ranker) -> int:
    from limelight.models.topics.ranking import EMBEDDING_WIDTH

    return len(ranker.columns) * EMBEDDING_WIDTH + ranker.dense_size
