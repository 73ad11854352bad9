"""What MTAF is compared with."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from limelight.models.popularity.baselines import (
    REGRESSIONS,
    forecast_by_last_day,
    forecast_by_regression,
)
from limelight.models.popularity.importances import KINDS, attribute_importances
from limelight.models.popularity.score import PAPER_WEIGHTS, log_scores

ALL = ("N", "T", "A", "V", "S")
NO_SHARES = {"favorite": 0.2, "comment": 0.3}


@pytest.mark.parametrize("name", REGRESSIONS)
def test_each_regression_learns_and_forecasts_other_videos(make_videos, name: str) -> None:
    training, test = make_videos(200), make_videos(50, seed=1)
    truth = log_scores(test, PAPER_WEIGHTS)
    found = forecast_by_regression(name, training, test, PAPER_WEIGHTS, modalities=ALL)
    assert ((found - truth) ** 2).mean() < 0.7 * truth.var()


def test_linear_regression_is_least_squares_over_the_columns(make_videos) -> None:
    training, test = make_videos(80), make_videos(10, seed=1)
    found = forecast_by_regression("LR", training, test, PAPER_WEIGHTS, modalities=("S",))

    def columns(videos):
        return np.c_[np.log1p(videos.trend.reshape(len(videos), -1)), np.ones(len(videos))]

    solved, *_ = np.linalg.lstsq(columns(training), log_scores(training, PAPER_WEIGHTS), rcond=None)
    np.testing.assert_allclose(found, columns(test) @ solved, atol=0.05)


def test_a_modality_that_is_left_out_changes_nothing(make_videos) -> None:
    training, test = make_videos(60), make_videos(10, seed=1)
    other = replace(test, trend=test.trend * 5, text=-test.text)
    for videos in (test, other):
        found = forecast_by_regression("LR", training, videos, PAPER_WEIGHTS, modalities=("N", "A"))
        expected = forecast_by_regression(
            "LR", training, test, PAPER_WEIGHTS, modalities=("N", "A")
        )
        np.testing.assert_array_equal(found, expected)


def test_the_last_known_day_is_carried_forward(make_videos) -> None:
    videos = make_videos(2)
    trend = np.array([[[1, 10], [2, 20], [3, 30]], [[4, 40], [5, 50], [6, 60]]], float)
    present = np.array([[True, True, False], [True, True, True]])
    videos = replace(videos, trend=trend, trend_present=present)
    expected = np.log1p([0.2 * 2 + 0.3 * 20, 0.2 * 6 + 0.3 * 60])
    np.testing.assert_allclose(forecast_by_last_day(videos, NO_SHARES), expected)
    with pytest.raises(ValueError, match=r"trend: found .*expected \['share'\] too"):
        forecast_by_last_day(videos, PAPER_WEIGHTS)
    videos = replace(videos, trend_present=present & [[True], [False]])
    with pytest.raises(ValueError, match="video video-0-1: trend: found no known day"):
        forecast_by_last_day(videos, NO_SHARES)


def test_another_regression_and_a_missing_library_are_told(
    make_videos, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = make_videos(20)
    with pytest.raises(ValueError, match="regression: found 'KNN', expected one of"):
        forecast_by_regression("KNN", videos, videos, PAPER_WEIGHTS, modalities=ALL)
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(RuntimeError, match=r"pip install 'limelight\[popularity\]'"):
        forecast_by_regression("XGBR", videos, videos, PAPER_WEIGHTS, modalities=ALL)


def test_trees_find_the_attributes_that_decide(make_videos) -> None:
    videos = make_videos(600)
    # Without what the text says, followers and channel are all that there is.
    reached = videos.numbers[:, :1] * np.exp(2 * videos.categories[:, :1])
    videos = replace(videos, targets=np.repeat(reached, 3, axis=1))
    found = attribute_importances(videos, PAPER_WEIGHTS)
    assert tuple(found) == KINDS
    for kind, shares in found.items():
        assert set(shares) == {"followers", "tags", "channel", "city"}
        assert sum(shares.values()) == pytest.approx(1.0)
        if "gain" in kind:
            assert shares["followers"] + shares["channel"] > 0.9, kind


def test_importances_without_attributes_are_refused_and_of_a_constant_are_none(make_videos) -> None:
    videos = make_videos(60)
    constant = replace(videos, targets=np.full((60, 3), 4.0))
    assert sum(attribute_importances(constant, PAPER_WEIGHTS)["XGBoost gain"].values()) == 0
    without = replace(
        videos,
        numbers=np.zeros((60, 0)),
        number_names=(),
        categories=np.zeros((60, 0), np.int64),
        category_names=(),
        vocabularies=(),
    )
    with pytest.raises(ValueError, match="attributes: found none"):
        attribute_importances(without, PAPER_WEIGHTS)
