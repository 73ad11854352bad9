"""Platt's scaling recovers what was planted and agrees with SciPy's minimiser."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from limelight.models.training.calibration import fit_calibration


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def log_loss(parameters: np.ndarray, logits: np.ndarray, ctr: np.ndarray) -> float:
    scaled = parameters[0] * logits + parameters[1]
    # ln(1 + e^x) - y x, which is the log loss of a logit.
    return float((np.logaddexp(0, scaled) - ctr * scaled).mean())


@pytest.mark.parametrize(("scale", "shift"), [(0.4, -1.5), (3.0, 2.0), (1.0, 0.0), (0.05, 0.3)])
def test_a_planted_scale_and_shift_are_recovered(scale: float, shift: float) -> None:
    logits = np.random.default_rng(0).normal(size=300)
    found = fit_calibration(logits, sigmoid(scale * logits + shift))
    assert (found.scale, found.shift) == pytest.approx((scale, shift), abs=1e-4)


def test_large_logits_are_no_obstacle() -> None:
    logits = 50 * np.random.default_rng(0).normal(size=300) - 80
    found = fit_calibration(logits, sigmoid(0.02 * logits + 1))
    assert (found.scale, found.shift) == pytest.approx((0.02, 1), abs=1e-3)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), slope=st.floats(-2, 3), centre=st.floats(-4, 4))
def test_the_outcome_is_the_best_that_scipy_finds_and_no_worse_than_none(
    seed: int, slope: float, centre: float
) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(size=60) + centre
    ctr = sigmoid(slope * (logits - centre) + random.normal(size=60))
    found = fit_calibration(logits, ctr)
    loss = log_loss(np.array([found.scale, found.shift]), logits, ctr)
    best = minimize(
        log_loss,
        (1.0, 0.0),
        args=(logits, ctr),
        method="L-BFGS-B",
        bounds=[(1e-3, None), (None, None)],
    )
    assert loss <= best.fun + 1e-6
    assert loss <= log_loss(np.array([1.0, 0.0]), logits, ctr) + 1e-9
    assert found.scale >= 1e-3


def test_clicks_are_fitted_as_by_logistic_regression() -> None:
    random = np.random.default_rng(4)
    logits = random.normal(size=500)
    clicks = (random.random(500) < sigmoid(0.7 * logits - 1)).astype(np.float64)
    theirs = LogisticRegression(C=np.inf, tol=1e-10).fit(logits[:, None], clicks)
    found = fit_calibration(logits, clicks)
    expected = (float(theirs.coef_[0, 0]), float(theirs.intercept_[0]))
    assert (found.scale, found.shift) == pytest.approx(expected, abs=1e-4)


def test_predictions_the_wrong_way_round_are_flattened_to_the_mean_not_turned() -> None:
    logits = np.random.default_rng(0).normal(size=200) - 3
    ctr = sigmoid(-2 * logits - 6)
    found = fit_calibration(logits, ctr)
    assert found.scale == pytest.approx(1e-3)
    predicted = sigmoid(found.scale * logits + found.shift)
    assert predicted.mean() == pytest.approx(ctr.mean(), abs=1e-4)
    assert predicted.std() < 1e-3


def test_afterwards_the_mean_prediction_is_the_mean_ctr() -> None:
    random = np.random.default_rng(1)
    logits, ctr = random.normal(size=100), random.random(100)
    found = fit_calibration(logits, ctr)
    assert sigmoid(found.scale * logits + found.shift).mean() == pytest.approx(ctr.mean(), abs=1e-5)


def test_what_was_not_measured_changes_nothing() -> None:
    random = np.random.default_rng(2)
    logits, ctr = random.normal(size=50), random.random(50)
    with_gaps = np.concatenate([ctr, np.full(5, np.nan)])
    longer = np.concatenate([logits, [math.inf, -math.inf, math.nan, 1e9, 0.0]])
    assert fit_calibration(longer, with_gaps) == fit_calibration(logits, ctr)


@pytest.mark.parametrize(
    ("logits", "ctr", "text"),
    [
        ([0.0, 1.0, 2.0], [math.nan, 0.5, math.nan], "ctr: found 1 measured, expected at least 2"),
        ([0.0, math.inf], [0.5, 0.2], "logits: found NaN or infinity, expected finite numbers"),
        ([0.0, math.nan], [0.5, 0.2], "logits: found NaN or infinity, expected finite numbers"),
        ([0.0, 1.0], [0.0, 0.0], "ctr: found only 0, expected others too"),
        ([0.0, 1.0], [1.0, 1.0], "ctr: found only 1, expected others too"),
        ([0.0, 1.0], [0.5, 0.2, 0.1], r"logits: found shape \(2,\), expected \(3,\) as in ctr"),
    ],
)
def test_what_cannot_be_fitted_is_refused(logits: list[float], ctr: list[float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        fit_calibration(np.array(logits), np.array(ctr))
