"""The five measures against scikit-learn and scipy."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import (
    mean_absolute_error,
    mean_squared_error,
    ndcg_score,
    r2_score,
)

from limelight.models.popularity.figures import popularity_figures


def test_measures_are_those_of_scikit_learn_and_scipy() -> None:
    random = np.random.default_rng(0)
    truth = np.log1p(np.round(np.exp(random.normal(4, 2, 60))))
    forecast = np.round(truth + random.normal(0, 1, 60), 1)  # with ties
    found = popularity_figures(forecast, truth)
    assert found.mae == pytest.approx(mean_absolute_error(truth, forecast))
    assert found.mse == pytest.approx(mean_squared_error(truth, forecast))
    assert found.r2 == pytest.approx(r2_score(truth, forecast))
    assert found.srcc == pytest.approx(spearmanr(truth, forecast).statistic)
    expected = ndcg_score(np.expm1(truth)[None], forecast[None], k=10)
    assert found.ndcg_at_10 == pytest.approx(expected)
    assert found.videos == 60


def test_what_is_undefined_is_none() -> None:
    constant = popularity_figures(np.array([1.0, 2.0, 3.0]), np.full(3, 0.1))
    assert (constant.r2, constant.srcc) == (None, None)
    assert constant.mae == pytest.approx(1.9)
    same_forecast = popularity_figures(np.full(3, 2.0), np.array([1.0, 2.0, 3.0]))
    assert same_forecast.srcc is None
    assert same_forecast.r2 == pytest.approx(0.0)
    assert popularity_figures(np.array([1.0, 2.0]), np.zeros(2)).ndcg_at_10 is None


def test_nothing_and_broken_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="forecast: found"):
        popularity_figures(np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError, match=r"forecast: found \(2,\), expected \(3,\)"):
        popularity_figures(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="truth: found NaN"):
        popularity_figures(np.zeros(2), np.array([0.0, np.nan]))
