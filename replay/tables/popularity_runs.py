"""The paper's comparisons of popularity forecasts, each method on one split of real videos."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from limelight.models.datasets.popularity_videos import PopularityVideos
from limelight.models.datasets.split import split_by_video
from limelight.models.popularity.baselines import (
    REGRESSIONS,
    forecast_by_last_day,
    forecast_by_regression,
)
from limelight.models.popularity.figures import popularity_figures
from limelight.models.popularity.score import log_scores
from limelight.models.popularity.settings import PopularitySettings
from limelight.models.popularity.training import train_popularity

MTAF = "MTAF"
MEAN = "mean of the training videos"
LAST_DAY = "last day known"
TEST_SHARE, VALIDATION_SHARE = 0.3, 0.1


@dataclass(frozen=True, slots=True)
class Method:
    """One row: a network with some changes, or a name of what it is compared with.

    `paper` are its MAE, MSE, R2, SRCC and NDCG@10 in the paper.
    """

    name: str
    modalities: tuple[str, ...]
    network: dict[str, Any] | None = None
    paper: tuple[float, ...] = ()


_CONTENT = ("N", "T", "A", "V")
_ALL = (*_CONTENT, "S")
_PAPER_MTAF = (0.822, 1.139, 0.727, 0.860, 0.380)

BEFORE_RELEASE = (
    Method(MEAN, ()),
    Method("SVR", _CONTENT, paper=(1.518, 3.631, 0.130, 0.363, 0.106)),
    Method("LR", _CONTENT, paper=(1.032, 1.735, 0.584, 0.789, 0.241)),
    Method("RFR", _CONTENT, paper=(0.894, 1.303, 0.688, 0.837, 0.218)),
    Method("XGBR", _CONTENT, paper=(0.877, 1.275, 0.695, 0.841, 0.134)),
    Method("MTAF-Att", _CONTENT, {"attention": False}, (0.864, 1.249, 0.701, 0.849, 0.390)),
    Method(MTAF, _CONTENT, {}, _PAPER_MTAF),
)
ABLATION = (
    Method("MTAF-N", ("T", "A", "V"), {}, (1.363, 2.978, 0.286, 0.538, 0.078)),
    Method("MTAF-T", ("N", "A", "V"), {}, (0.881, 1.288, 0.691, 0.846, 0.339)),
    Method(MTAF, _CONTENT, {}, _PAPER_MTAF),
)
WITH_TREND = (
    Method(LAST_DAY, ("S",)),
    Method("SVR, trend alone", ("S",)),
    Method("LR, trend alone", ("S",)),
    Method("RFR, trend alone", ("S",)),
    Method("XGBR, trend alone", ("S",)),
    Method("XGBR, all", _ALL),
    Method("Bi-GRU", ("S",), {"attention": False}, (0.455, 0.368, 0.916, 0.986, 0.988)),
    Method(
        "Bi-LSTM",
        ("S",),
        {"attention": False, "recurrent": "lstm"},
        (0.439, 0.389, 0.911, 0.986, 0.988),
    ),
    Method("MTAF-Att", _ALL, {"attention": False}),
    Method("MTAF-T", ("N", "A", "V", "S"), {}),
    Method(MTAF, _ALL, {}, (0.083, 0.019, 0.995, 0.991, 0.992)),
)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """`settings` change `PopularitySettings`; runs are stored in `work` as they end."""

    work: Path
    weights: Mapping[str, float]
    settings: Mapping[str, Any] = field(default_factory=dict)


def run_method(
    method: Method, data: Path, videos: PopularityVideos, seed: int, options: RunOptions
) -> dict[str, float | None]:
    """The measures of a method on a seed's test videos; read from `work` where it has been run."""
    label = f"{method.name}-{''.join(method.modalities)}-{seed}".replace(" ", "-")
    stored = options.work / data.stem / f"{label}.json"
    if stored.exists():
        found: dict[str, float | None] = json.loads(stored.read_text(encoding="utf-8"))
        return found
    rest, test = split_by_video(videos, TEST_SHARE, seed)
    forecast = _forecast(method, data, rest, test, seed, options, label)
    figures = asdict(popularity_figures(forecast, log_scores(test, options.weights)))
    stored.parent.mkdir(parents=True, exist_ok=True)
    stored.write_text(json.dumps(figures), encoding="utf-8")
    return figures


def _forecast(
    method: Method,
    data: Path,
    rest: PopularityVideos,
    test: PopularityVideos,
    seed: int,
    options: RunOptions,
    label: str,
) -> np.ndarray:
    if method.name == MEAN:
        return np.full(len(test), log_scores(rest, options.weights).mean())
    if method.name == LAST_DAY:
        return forecast_by_last_day(test, options.weights)
    regression = method.name.split(",")[0]
    if regression in REGRESSIONS:
        return forecast_by_regression(
            regression,
            rest,
            test,
            options.weights,
            modalities=[each for each in method.modalities if _has(rest, each)],
            seed=seed,
        )
    training, validation = split_by_video(rest, VALIDATION_SHARE, seed + 1)
    settings = PopularitySettings.model_validate(
        {
            "preset": "tiny",
            "precision": "float32",
            **options.settings,
            "data": {"path": data},
            "out": options.work / data.stem / label,
            "weights": dict(options.weights),
            "seed": seed,
            "network": {**(method.network or {}), "modalities": list(method.modalities)},
        }
    )
    forecaster, _ = train_popularity(training, validation, settings)
    return forecaster.log_forecast(test)


def _has(videos: PopularityVideos, modality: str) -> bool:
    if modality in ("T", "A", "V"):
        return bool(videos.present[:, "TAV".index(modality)].any())
    return modality == "N" or bool(videos.trend_present.any())
