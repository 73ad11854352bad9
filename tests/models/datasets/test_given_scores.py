import numpy as np
import pytest

from limelight.models.datasets.given_scores import check_complete, one_row

SOME = np.zeros(2)


@pytest.mark.parametrize(
    ("scores", "keys", "error"),
    [
        ({}, [], "found no video, expected at least one"),
        ({"a": SOME}, ["a", "a"], "found 1 video twice"),
        ({"a": SOME}, ["a", "b"], "video b: found no scores"),
        ({"a": SOME, "c": SOME}, ["a"], "video c: found scores, expected none"),
    ],
)
def test_each_key_has_its_scores(
    scores: dict[str, np.ndarray], keys: list[str], error: str
) -> None:
    with pytest.raises(ValueError, match=error):
        check_complete(scores, keys, "video")


@pytest.mark.parametrize(
    "scores",
    [np.zeros(3), np.zeros((1, 2)), np.array([1.0, np.nan]), np.array(["a", "b"]), np.zeros(0)],
)
def test_scores_that_do_not_fit_are_refused(scores: np.ndarray) -> None:
    with pytest.raises(ValueError, match="video a: found scores"):
        one_row(scores, 2, "video a")


def test_scores_become_one_row() -> None:
    assert one_row(np.array([1, 2]), 2, "video a").tolist() == [[1.0, 2.0]]
