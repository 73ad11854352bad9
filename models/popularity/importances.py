"""Which content-agnostic attributes trees decide by (section 2.1, figure 3)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limelight.models.datasets.popularity_videos import PopularityVideos
from limelight.models.popularity.attributes import fit_attributes
from limelight.models.popularity.score import log_scores

KINDS = ("XGBoost weight", "XGBoost gain", "XGBoost cover", "LightGBM gain")
_ROUNDS = 100

Importances = dict[str, dict[str, float]]


def attribute_importances(
    videos: PopularityVideos,
    weights: Mapping[str, float],
    *,
    min_category_count: int = 3,
    seed: int = 0,
) -> Importances:
    """Each attribute's share by each of `KINDS`; the shares of a kind sum to 1, or are all 0.

    Both split categories as such, not by the order of their codes. `weight` counts an attribute's
    splits; `gain` (XGBoost: the mean a split, LightGBM: the sum) and `cover` weigh them.

    Raises:
        ValueError: no attributes.
        RuntimeError: xgboost or lightgbm is not installed.
    """
    names = [*videos.number_names, *videos.category_names]
    if not names:
        raise ValueError("attributes: found none, expected at least one")
    attributes = fit_attributes(videos, weights, min_category_count)
    inputs = np.concatenate([attributes.numbers(videos), attributes.categories(videos)], axis=1)
    truth = log_scores(videos, weights)
    first_category = len(videos.number_names)
    try:
        found = _xgboost(inputs, truth, first_category, seed)
        found["LightGBM gain"] = _lightgbm(inputs, truth, first_category, seed)
    except ImportError as error:
        raise RuntimeError(
            f"importances: found no {error.name}, expected it: pip install 'limelight[popularity]'"
        ) from error
    return {kind: _shares(names, found[kind]) for kind in KINDS}


def _xgboost(
    inputs: NDArray[Any], truth: NDArray[np.float64], first_category: int, seed: int
) -> dict[str, dict[int, float]]:
    import xgboost

    columns = inputs.shape[1]
    types = ["q" if each < first_category else "c" for each in range(columns)]
    data = xgboost.DMatrix(inputs, truth, feature_types=types, enable_categorical=True)
    trees = xgboost.train({"seed": seed, "nthread": 1}, data, _ROUNDS)
    return {
        f"XGBoost {kind}": {
            int(name.removeprefix("f")): float(value)
            for name, value in trees.get_score(importance_type=kind).items()
        }
        for kind in ("weight", "gain", "cover")
    }


def _lightgbm(
    inputs: NDArray[Any], truth: NDArray[np.float64], first_category: int, seed: int
) -> dict[int, float]:
    import lightgbm

    categories = list(range(first_category, inputs.shape[1]))
    data = lightgbm.Dataset(inputs, truth, categorical_feature=categories, params={"verbose": -1})
    settings = {"seed": seed, "num_threads": 1, "verbose": -1, "deterministic": True}
    trees = lightgbm.train(settings, data, _ROUNDS)
    return dict(enumerate(trees.feature_importance("gain").astype(float).tolist()))


def _shares(names: list[str], found: dict[int, float]) -> dict[str, float]:
    total = sum(found.values()) or 1.0
    return {name: found.get(column, 0.0) / total for column, name in enumerate(names)}
