"""The score of eq. 1."""

from dataclasses import replace

import numpy as np
import pytest

from limelight.models.popularity.score import PAPER_WEIGHTS, log_scores, popularity_scores


def test_the_score_is_the_weighted_sum(make_videos) -> None:
    videos = replace(make_videos(2), targets=np.array([[10.0, 20.0, 30.0], [0.0, 0.0, 0.0]]))
    # 0.2 * 10 + 0.3 * 20 + 0.5 * 30
    np.testing.assert_allclose(popularity_scores(videos, PAPER_WEIGHTS), [23.0, 0.0])
    np.testing.assert_allclose(log_scores(videos, PAPER_WEIGHTS), [np.log(24.0), 0.0])
    np.testing.assert_allclose(popularity_scores(videos, {"share": 2.0}), [60.0, 0.0])


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        ({"view": 1.0}, r"found view, expected some of \['favorite'"),
        ({}, "found {}, expected some"),
        ({"share": -1.0, "comment": 1.0}, "none below 0"),
        ({"share": 0.0}, "expected some"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    make_videos, weights: dict[str, float], text: str
) -> None:
    with pytest.raises(ValueError, match=f"weights: .*{text}"):
        popularity_scores(make_videos(2), weights)
