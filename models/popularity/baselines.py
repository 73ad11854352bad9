"""What MTAF is compared with (section 3.1): regressions on the same inputs, and the last day known.

The paper gives no hyperparameters; these are the libraries' defaults.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from limelight.models.datasets.popularity_videos import PopularityVideos
from limelight.models.popularity.attributes import Attributes, fit_attributes
from limelight.models.popularity.config import PopularityConfig
from limelight.models.popularity.model import PopularityBatch
from limelight.models.popularity.score import log_scores

REGRESSIONS = ("SVR", "LR", "RFR", "XGBR")
_SMALLEST_STD = 1e-6
_CONTENT = {"T": "text", "A": "audio", "V": "vision"}

Floats = NDArray[np.float64]


def forecast_by_regression(
    name: str,
    training: PopularityVideos,
    test: PopularityVideos,
    weights: Mapping[str, float],
    *,
    modalities: Sequence[str],
    min_category_count: int = 3,
    seed: int = 0,
) -> Floats:
    """(n,) forecasts of ln(1 + score) for the test videos by one of `REGRESSIONS`.

    Raises:
        ValueError: another name, or videos that do not fit each other.
        RuntimeError: scikit-learn or xgboost is not installed.
    """
    attributes = fit_attributes(training, weights, min_category_count)
    inputs, asked = (_columns(each, attributes, modalities) for each in (training, test))
    mean, std = inputs.mean(0), inputs.std(0)
    # A column that is the same everywhere has a deviation of rounding errors.
    scale = np.where(std > _SMALLEST_STD, std, 1.0)
    model = _regression(name, seed)
    model.fit((inputs - mean) / scale, log_scores(training, weights))
    return np.asarray(model.predict((asked - mean) / scale), np.float64)


def forecast_by_last_day(videos: PopularityVideos, weights: Mapping[str, float]) -> Floats:
    """(n,) ln(1 + score) of each video's last known day, as if nothing came after it.

    Raises:
        ValueError: a video without a known day, or a count of the score that the trend lacks.
    """
    missing = sorted(weights.keys() - set(videos.trend_names))
    if missing:
        raise ValueError(f"trend: found {list(videos.trend_names)}, expected {missing} too")
    unknown = ~videos.trend_present.any(axis=1)
    if unknown.any():
        video = videos.video_ids[int(np.argmax(unknown))]
        raise ValueError(f"video {video}: trend: found no known day, expected one or more")
    days = videos.trend_present.shape[1]
    last = days - 1 - np.argmax(videos.trend_present[:, ::-1], axis=1)
    counts = videos.trend[np.arange(len(videos)), last]
    columns = [videos.trend_names.index(name) for name in weights]
    return np.log1p(np.asarray(counts[:, columns] @ np.array(list(weights.values())), np.float64))


def _columns(videos: PopularityVideos, attributes: Attributes, modalities: Sequence[str]) -> Floats:
    """(n, columns): log counts, categories one by one, features; 0 where something is missing."""
    sizes = {"text_size": videos.text.shape[1], "audio_size": videos.audio.shape[1]}
    config = PopularityConfig(
        **sizes,
        vision_size=videos.vision.shape[1],
        num_numbers=len(attributes.number_names),
        category_sizes=[len(each) + 1 for each in attributes.vocabularies],
        trend_size=len(attributes.trend_names),
        modalities=modalities,
    )
    batch = attributes.batch(videos, config)
    parts = [part for each in modalities for part in _of_modality(each, batch, config)]
    return torch.cat(parts, 1).numpy().astype(np.float64)


def _of_modality(
    modality: str, batch: PopularityBatch, config: PopularityConfig
) -> list[torch.Tensor]:
    if modality == "N":
        one_hot = [
            torch.nn.functional.one_hot(batch.categories[:, column], size).float()
            for column, size in enumerate(config.category_sizes)
        ]
        unknown = batch.numbers.isnan()
        return [batch.numbers.log1p().masked_fill(unknown, 0.0), (~unknown).float(), *one_hot]
    if modality == "S":
        present = batch.trend_present
        trend = batch.trend.log1p().masked_fill(~present[..., None], 0.0)
        return [trend.flatten(1), present.float()]
    known = batch.present[:, list(_CONTENT).index(modality)]
    features: torch.Tensor = getattr(batch, _CONTENT[modality])
    return [features.masked_fill(~known[:, None], 0.0), known[:, None].float()]


def _regression(name: str, seed: int) -> Any:
    makers: dict[str, Callable[[], Any]] = {
        "SVR": _svr,
        "LR": _linear,
        "RFR": lambda: _forest(seed),
        "XGBR": lambda: _xgboost(seed),
    }
    if name not in makers:
        raise ValueError(f"regression: found {name!r}, expected one of {REGRESSIONS}")
    try:
        return makers[name]()
    except ImportError as error:
        raise RuntimeError(
            f"{name}: found no {error.name}, expected it: pip install 'limelight[popularity]'"
        ) from error


def _svr() -> Any:
    from sklearn.svm import SVR

    return SVR()


def _linear() -> Any:
    from sklearn.linear_model import LinearRegression

    return LinearRegression()


def _forest(seed: int) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(random_state=seed)


def _xgboost(seed: int) -> Any:
    from xgboost import XGBRegressor

    return XGBRegressor(random_state=seed, n_jobs=1)
