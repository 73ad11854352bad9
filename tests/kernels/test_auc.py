"""AUC of counted items against scikit-learn and against counting all pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from limelight.kernels.auc import resampled_auc


def pairs_in_order(scores, positive, negative) -> float:
    """Every positive against every negative, one pair at a time."""
    won = pairs = 0.0
    for own, hits in zip(scores, positive, strict=True):
        for other, misses in zip(scores, negative, strict=True):
            pairs += hits * misses
            won += hits * misses * (1.0 if own > other else 0.5 if own == other else 0.0)
    return won / pairs if pairs else float("nan")


@st.composite
def items(draw):
    size = draw(st.integers(1, 12))
    groups = draw(st.integers(1, 4))

    def column(values):
        return np.array(draw(st.lists(values, min_size=size, max_size=size)))

    weights = [draw(st.lists(st.integers(0, 3), min_size=3, max_size=3)) for _ in range(groups)]
    return (
        column(st.integers(0, 5)) / 5,
        column(st.integers(0, 4)).astype(float),
        column(st.integers(0, 4)).astype(float),
        column(st.integers(0, groups - 1)),
        np.array(weights, float),
    )


@settings(deadline=None)
@given(items())
def test_every_resample_counts_all_pairs(found) -> None:
    scores, positive, negative, groups, weights = found
    expected = [
        pairs_in_order(scores, positive * own[groups], negative * own[groups]) for own in weights.T
    ]
    np.testing.assert_allclose(resampled_auc(*found), expected, atol=1e-12)


@pytest.mark.parametrize("threads", [1, 2])
def test_it_is_scikit_learns_with_counts_as_weights(threads: int) -> None:
    random = np.random.default_rng(0)
    scores = random.random(300).round(2)
    clicks, others = random.integers(0, 9, 300), random.integers(0, 50, 300)
    groups = random.integers(0, 20, 300)
    weights = random.integers(0, 4, (20, 150))
    found = resampled_auc(
        scores, clicks * 1.0, others * 1.0, groups, weights * 1.0, threads=threads
    )
    labels = np.repeat([1, 0], 300)
    for resample in (0, 63, 64, 149):
        own = weights[groups, resample]
        expected = roc_auc_score(
            labels, np.tile(scores, 2), sample_weight=np.concatenate([clicks * own, others * own])
        )
        assert found[resample] == pytest.approx(expected, abs=1e-12)


def test_the_worked_example_holds() -> None:
    found = resampled_auc(
        np.array([2.0, 1.0]), np.array([3.0, 1.0]), np.ones(2), np.zeros(2, int), np.ones((1, 1))
    )
    assert found == pytest.approx([5 / 8])


@pytest.mark.parametrize(("positive", "negative"), [(0.0, 1.0), (1.0, 0.0)])
def test_one_kind_alone_has_none(positive: float, negative: float) -> None:
    found = resampled_auc(
        np.ones(2), np.full(2, positive), np.full(2, negative), np.zeros(2, int), np.ones((1, 2))
    )
    assert np.isnan(found).all()


def test_nothing_to_order_is_no_error() -> None:
    empty = np.empty(0)
    assert np.isnan(resampled_auc(empty, empty, empty, np.empty(0, int), np.ones((0, 2)))).all()
    one = np.ones(1)
    assert resampled_auc(one, one, one, np.zeros(1, int), np.ones((1, 0))).shape == (0,)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"positive": np.ones(3)},
            r"positive: found shape \(3,\), expected one axis, \(2,\) as scores",
        ),
        ({"groups": np.array([0, 2])}, "groups: found 0 to 2, expected 0 to 1"),
        ({"scores": np.array([0, np.nan])}, "scores: found NaN or infinity"),
        ({"negative": np.array([1.0, -1.0])}, "negative: found one below 0"),
        ({"weights": np.ones(2)}, r"weights: found shape \(2,\), expected \(groups, resamples\)"),
        ({"weights": np.full((2, 1), np.inf)}, "weights: found one below 0 or not finite"),
    ],
)
def test_what_cannot_be_counted_is_refused(change, text: str) -> None:
    arguments = {
        "scores": np.arange(2.0),
        "positive": np.ones(2),
        "negative": np.ones(2),
        "groups": np.arange(2),
        "weights": np.ones((2, 1)),
    }
    with pytest.raises(ValueError, match=text):
        resampled_auc(**(arguments | change))
