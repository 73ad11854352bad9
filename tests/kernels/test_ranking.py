"""Ranking measures agree with SciPy, scikit-learn, the definitions spelled out, and hand work."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from limelight.kernels import ranking
from limelight.kernels.ranking import (
    average_precision,
    hit_at_1,
    interpolated_average_precision,
    kendall_tau,
    mean_where_defined,
    ndcg_at_k,
    qvhighlights,
    spearman,
    trapezoid_average_precision,
)

DTYPES = (np.float32, np.float64)


def kendall_of_equation_15(s: Sequence[float], y: Sequence[float]) -> float:
    concordant = discordant = only_s = only_y = 0
    for i in range(len(s)):
        for j in range(i):
            if s[i] == s[j] and y[i] == y[j]:
                continue
            if s[i] == s[j]:
                only_s += 1
            elif y[i] == y[j]:
                only_y += 1
            elif (s[i] < s[j]) == (y[i] < y[j]):
                concordant += 1
            else:
                discordant += 1
    untied = concordant + discordant
    below = (untied + only_s) * (untied + only_y)
    return (concordant - discordant) / math.sqrt(below) if below else math.nan


def precisions(scores: Sequence[float], relevant: Sequence[bool]) -> list[tuple[float, float]]:
    """The score of each relevant item, and the precision there."""
    points = []
    for score, wanted in zip(scores, relevant, strict=True):
        if wanted:
            seen = [w for s, w in zip(scores, relevant, strict=True) if s >= score]
            points.append((score, sum(seen) / len(seen)))
    return points


def average_of_definition(scores: Sequence[float], relevant: Sequence[bool]) -> float:
    points = precisions(scores, relevant)
    return sum(p for _, p in points) / len(points) if points else math.nan


def interpolated_of_definition(scores: Sequence[float], relevant: Sequence[bool]) -> float:
    points = set(precisions(scores, relevant))
    best = [max(p for s, p in points if s <= score) for score, _ in points]
    return sum(best) / len(best) if best else math.nan


def trapezoid_of_definition(scores: Sequence[float], relevant: Sequence[bool], k: int) -> float:
    order = sorted(range(len(scores)), key=lambda i: -scores[i])[:k]
    labels = [int(relevant[i]) for i in order]
    if not sum(labels):
        return 0.0
    recalls = [0.0] + [sum(labels[: n + 1]) / sum(labels) for n in range(len(labels))]
    heights = [1.0] + [sum(labels[: n + 1]) / (n + 1) for n in range(len(labels))]
    return float(np.trapezoid(heights, recalls))


def ndcg_of_definition(scores: Sequence[float], gains: Sequence[float], k: int) -> float:
    """Each item gets the mean discount of the places that its score takes."""
    discounts = [1 / math.log2(place + 2) if place < k else 0.0 for place in range(len(scores))]
    reached = 0.0
    for score, gain in zip(scores, gains, strict=True):
        first = sum(other > score for other in scores)
        equal = sum(other == score for other in scores)
        reached += gain * sum(discounts[first : first + equal]) / equal
    ideal = sorted(gains, reverse=True)
    possible = sum(gain * d for gain, d in zip(ideal, discounts, strict=True))
    return reached / possible if possible else math.nan


def windows() -> Any:
    """(B, N) with many ties, few ties and none, among them signed zeros and tiny numbers."""
    shape = st.tuples(st.integers(1, 19), st.integers(1, 40))
    few = st.integers(-3, 3).map(float)
    odd = st.sampled_from([0.0, -0.0, 2.0**-149, -(2.0**-149), 2.0**-100, 1.0])
    any_ = st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=True)
    elements = st.one_of(st.just(few), st.just(odd), st.just(any_))
    return st.tuples(shape, elements, elements, st.sampled_from(DTYPES)).flatmap(
        lambda drawn: st.tuples(
            arrays.arrays(drawn[3], drawn[0], elements=drawn[1]),
            arrays.arrays(drawn[3], drawn[0], elements=drawn[2]),
        )
    )


def marked(seed: int, shape: tuple[int, int], share: float) -> Any:
    return np.random.default_rng(seed).random(shape) < share


def test_kendall_of_a_hand_worked_window() -> None:
    # Pairs of (1, 2, 2, 3) and (1, 3, 2, 2): ab, ac and ad agree, bd does not; bc is tied only in
    # the first, cd only in the second. (3 - 1) / sqrt((4 + 1) * (4 + 1)) = 0.4.
    found = kendall_tau(np.array([[1.0, 2, 2, 3]]), np.array([[1.0, 3, 2, 2]]))
    assert found == pytest.approx([0.4])


def test_full_agreement_is_exactly_one() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 7, (64, 20)).astype(np.float32)
    values[:, :2] = [0, 1]
    assert kendall_tau(values, values).tolist() == [1.0] * 64
    assert kendall_tau(values, -values).tolist() == [-1.0] * 64
    assert spearman(values, 2 * values + 1).tolist() == [1.0] * 64


@pytest.mark.parametrize("measure", [kendall_tau, spearman])
def test_a_window_that_says_nothing_is_nan(measure: Callable[..., Any]) -> None:
    varied, same = np.array([1.0, 2, 3]), np.array([5.0, 5, 5])
    found = measure(np.stack([varied, same, same, varied]), np.stack([same, varied, same, varied]))
    assert np.isnan(found).tolist() == [True, True, True, False]
    assert np.isnan(measure(np.ones((2, 1)), np.ones((2, 1)))).all()
    mean, undefined = mean_where_defined(found)
    assert (mean, undefined) == (1.0, 3)


def test_the_mean_of_nothing_is_nan() -> None:
    mean, undefined = mean_where_defined(np.array([math.nan, math.nan]))
    assert math.isnan(mean)
    assert undefined == 2


@settings(max_examples=150, deadline=None)
@given(pair=windows())
def test_kendall_agrees_with_equation_15(pair: tuple[Any, Any]) -> None:
    predicted, actual = pair
    expected = [
        kendall_of_equation_15(s, y)
        for s, y in zip(predicted.tolist(), actual.tolist(), strict=True)
    ]
    found = kendall_tau(predicted, actual)
    assert found.tolist() == pytest.approx(expected, abs=1e-15, nan_ok=True)
    assert (np.isnan(found) | (np.abs(found) <= 1)).all()


@settings(max_examples=100, deadline=None)
@given(pair=windows())
def test_rank_correlations_agree_with_scipy(pair: tuple[Any, Any]) -> None:
    predicted, actual = pair
    taus, rhos = kendall_tau(predicted, actual), spearman(predicted, actual)
    assert np.isnan(rhos).tolist() == np.isnan(taus).tolist()
    for s, y, tau, rho in zip(predicted, actual, taus, rhos, strict=True):
        if not np.isnan(tau):
            assert tau == pytest.approx(scipy.stats.kendalltau(s, y).statistic, abs=1e-14)
            assert rho == pytest.approx(scipy.stats.spearmanr(s, y).statistic, abs=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", [2, 7, 8, 9, 15, 16, 17, 20, 33, 301])
def test_rank_correlations_of_every_length(dtype: Any, length: int) -> None:
    rng = np.random.default_rng(length)
    predicted = rng.integers(0, max(3, length // 2), (21, length)).astype(dtype)
    actual = rng.random((21, length)).astype(dtype)
    taus, rhos = kendall_tau(predicted, actual), spearman(predicted, actual)
    for s, y, tau, rho in zip(predicted, actual, taus, rhos, strict=True):
        if np.ptp(s):
            assert tau == pytest.approx(scipy.stats.kendalltau(s, y).statistic, abs=1e-14)
            assert rho == pytest.approx(scipy.stats.spearmanr(s, y).statistic, abs=1e-13)
        else:
            assert np.isnan([tau, rho]).all()


def test_average_precision_of_a_hand_worked_row() -> None:
    scores = np.array([[4.0, 3, 2, 1]])
    assert average_precision(scores, np.array([[1, 0, 1, 0]])) == pytest.approx([5 / 6])
    # All at one score: half of what is seen there is wanted.
    assert average_precision(np.zeros((1, 4)), np.array([[1, 0, 1, 0]])).tolist() == [0.5]


def test_interpolated_precision_of_a_hand_worked_row() -> None:
    scores, relevant = np.array([[4.0, 3, 2, 1]]), np.array([[0, 1, 1, 1]])
    assert interpolated_average_precision(scores, relevant) == pytest.approx([3 / 4])
    # Two relevant items at one score count once: (1/1 + 3/4) / 2.
    tied = np.array([[4.0, 1, 1, 1]])
    found = interpolated_average_precision(tied, np.array([[1, 1, 1, 0]]))
    assert found == pytest.approx([(1 + 3 / 4) / 2])


def test_trapezoid_precision_of_a_hand_worked_row() -> None:
    scores, relevant = np.array([[4.0, 3, 2, 1]]), np.array([[1, 0, 1, 0]])
    found = trapezoid_average_precision(scores, relevant)
    assert found == pytest.approx([0.5 + 0.5 * (1 / 2 + 2 / 3) / 2])
    assert trapezoid_average_precision(scores, relevant, k=2).tolist() == [1.0]
    assert trapezoid_average_precision(scores, 1 - relevant, k=1).tolist() == [0.0]


def test_nothing_relevant_is_nan() -> None:
    scores, none = np.ones((2, 5)), np.zeros((2, 5), np.bool_)
    assert np.isnan(average_precision(scores, none)).all()
    assert np.isnan(interpolated_average_precision(scores, none)).all()
    assert np.isnan(ndcg_at_k(scores, np.zeros((2, 5)), 3)).all()


@settings(max_examples=150, deadline=None)
@given(
    pair=windows(),
    seed=st.integers(0, 100),
    share=st.sampled_from([0.05, 0.5, 1.0]),
    k=st.integers(1, 50),
)
def test_precision_agrees_with_its_definitions(
    pair: tuple[Any, Any], seed: int, share: float, k: int
) -> None:
    scores, _ = pair
    relevant = marked(seed, scores.shape, share)
    rows = list(zip(scores.tolist(), relevant.tolist(), strict=True))
    for measure, expected in (
        (average_precision(scores, relevant), [average_of_definition(*row) for row in rows]),
        (
            interpolated_average_precision(scores, relevant),
            [interpolated_of_definition(*row) for row in rows],
        ),
        (
            trapezoid_average_precision(scores, relevant, k=k),
            [trapezoid_of_definition(*row, k) for row in rows],
        ),
    ):
        assert measure.tolist() == pytest.approx(expected, abs=1e-13, nan_ok=True)


@settings(max_examples=100, deadline=None)
@given(pair=windows(), seed=st.integers(0, 100), k=st.integers(1, 50))
def test_ndcg_agrees_with_its_definition(pair: tuple[Any, Any], seed: int, k: int) -> None:
    scores, _ = pair
    gains = np.random.default_rng(seed).integers(0, 4, scores.shape)
    found = ndcg_at_k(scores, gains, k)
    rows = zip(scores.tolist(), gains.tolist(), strict=True)
    expected = [ndcg_of_definition(*row, k) for row in rows]
    assert found.tolist() == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("levels", [3, 1_000_000])
def test_precision_and_gain_agree_with_scikit_learn(dtype: Any, levels: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(levels)
    scores = rng.integers(0, levels, (40, 192)).astype(dtype)
    relevant = rng.random(scores.shape) < 0.2
    gains = rng.integers(0, 5, scores.shape)
    expected = [metrics.average_precision_score(*row) for row in zip(relevant, scores, strict=True)]
    assert average_precision(scores, relevant).tolist() == pytest.approx(expected, abs=1e-14)
    for k in (1, 10, 500):
        expected = [
            metrics.ndcg_score(gain[None], score[None], k=k)
            for gain, score in zip(gains, scores, strict=True)
        ]
        assert ndcg_at_k(scores, gains, k).tolist() == pytest.approx(expected, abs=1e-12)


def test_qvhighlights_precision_agrees_with_its_own_formula() -> None:
    """Interpolation along scikit-learn's curve, as the published script goes."""
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(3)
    scores = rng.integers(0, 30, (40, 75)).astype(np.float64)
    relevant = rng.random(scores.shape) < 0.3
    found = interpolated_average_precision(scores, relevant)
    for score, wanted, own in zip(scores, relevant, found, strict=True):
        precision, recall, _ = metrics.precision_recall_curve(wanted, score)
        upwards = np.maximum.accumulate(precision)
        assert own == pytest.approx(upwards[np.flatnonzero(np.diff(recall))].mean(), abs=1e-14)


def test_hit_at_1_looks_at_the_first_of_the_highest() -> None:
    scores = np.array([[1.0, 3, 3], [1, 3, 3], [3, 1, 1]])
    relevant = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    assert hit_at_1(scores, relevant).tolist() == [1.0, 0.0, 0.0]


def test_qvhighlights_takes_each_annotator_for_himself() -> None:
    # The first query: annotator a finds clips 0 and 2 very good, b clip 1, c none.
    # a: precisions 1 and 2/3; b: 1/2; c: 0. The highest clip is a hit thanks to a.
    scores = np.array([[0.9, 0.5, 0.1], [0.9, 0.5, 0.1]])
    saliency = np.array([[[4, 3, 0], [2, 4, 3], [4, 0, 0]], [[3, 3, 3], [4, 4, 4], [0, 0, 0]]])
    precision, hits = qvhighlights(scores, saliency)
    assert precision == pytest.approx([((1 + 2 / 3) / 2 + 1 / 2 + 0) / 3, 1 / 2])
    assert hits.tolist() == [1.0, 0.0]
    precision, hits = qvhighlights(scores, saliency, lowest=3)
    assert hits.tolist() == [1.0, 1.0]
    assert precision[1] == pytest.approx(1.0)


def test_threads_change_nothing() -> None:
    rng = np.random.default_rng(5)
    scores, other = rng.random((100, 20)), rng.integers(0, 3, (100, 20))
    relevant = rng.random((100, 20)) < 0.3
    for measure in (
        lambda threads: kendall_tau(scores, other, threads=threads),
        lambda threads: spearman(scores, other, threads=threads),
        lambda threads: average_precision(scores, relevant, threads=threads),
        lambda threads: interpolated_average_precision(scores, relevant, threads=threads),
        lambda threads: trapezoid_average_precision(scores, relevant, k=5, threads=threads),
        lambda threads: ndcg_at_k(scores, other, 10, threads=threads),
    ):
        np.testing.assert_array_equal(measure(1), measure(3))


def test_integers_mixed_dtypes_and_views_are_taken() -> None:
    rng = np.random.default_rng(6)
    whole = rng.integers(-5, 5, (20, 9))
    float32 = rng.random((20, 9)).astype(np.float32)
    expected = kendall_tau(whole.astype(np.float64), float32.astype(np.float64))
    assert kendall_tau(whole, float32).tolist() == expected.tolist()
    columns = np.asfortranarray(float32)[::2]
    assert kendall_tau(whole[::2], columns).tolist() == expected[::2].tolist()


def test_numbers_whose_sum_overflows_are_no_mistake() -> None:
    large = np.array([[3e38, 2e38, 1e38, -1e38]], np.float32)
    assert kendall_tau(large, large).tolist() == [1.0]
    assert spearman(large, -large).tolist() == [-1.0]
    assert average_precision(large, np.array([[1, 0, 0, 0]])).tolist() == [1.0]


GOOD = np.arange(6.0).reshape(2, 3)
MARKS = np.array([[1, 0, 0], [0, 1, 1]])


def with_one(value: float) -> Any:
    changed = GOOD.copy()
    changed[1, 2] = value
    return changed


@pytest.mark.parametrize("measure", [kendall_tau, spearman])
@pytest.mark.parametrize(
    ("predicted", "actual", "text"),
    [
        (with_one(math.nan), GOOD, r"predicted\[1, 2\]: found nan, expected a finite number"),
        (GOOD, with_one(math.inf), r"actual\[1, 2\]: found inf, expected a finite number"),
        (with_one(-math.inf), GOOD, r"predicted\[1, 2\]: found -inf"),
        (GOOD[0], GOOD, r"predicted: found shape \(3,\), expected 2 dimensions"),
        (GOOD, GOOD[:1], r"actual: found shape \(1, 3\), expected \(2, 3\) as in predicted"),
        (GOOD[:0], GOOD[:0], r"predicted: found shape \(0, 3\), expected no dimension of 0"),
        (GOOD[:, :0], GOOD, r"predicted: found shape \(2, 0\)"),
        (GOOD.tolist(), GOOD, "predicted: found list, expected an array of float32"),
        (GOOD.astype(np.float16), GOOD, "predicted: found float16"),
        (GOOD, GOOD > 1, "actual: found bool, expected an array"),
        (GOOD, GOOD.astype(np.complex128), "actual: found complex128"),
        (GOOD, GOOD.astype(np.int64) + 2**53, r"actual\[0, 1\]: found 9007199254740993, expected"),
    ],
)
def test_wrong_windows_are_named(
    measure: Callable[..., Any], predicted: Any, actual: Any, text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        measure(predicted, actual)


@pytest.mark.parametrize(
    "measure",
    [average_precision, interpolated_average_precision, trapezoid_average_precision, hit_at_1],
)
@pytest.mark.parametrize(
    ("scores", "relevant", "text"),
    [
        (with_one(math.nan), MARKS, r"scores\[1, 2\]: found nan, expected a finite number"),
        (with_one(-math.inf), MARKS, r"scores\[1, 2\]: found -inf"),
        (GOOD, MARKS * 2, r"relevant\[0, 0\]: found 2, expected 0 or 1"),
        (GOOD, MARKS.astype(np.float64), "relevant: found float64, expected an array of booleans"),
        (GOOD, MARKS[0], r"relevant: found shape \(3,\), expected \(2, 3\) as in scores"),
        (GOOD[:0], MARKS[:0], r"scores: found shape \(0, 3\)"),
    ],
)
def test_wrong_relevance_is_named(
    measure: Callable[..., Any], scores: Any, relevant: Any, text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        measure(scores, relevant)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: ndcg_at_k(GOOD, GOOD, 0), "k: found 0, expected a whole number, 1 or more"),
        (lambda: ndcg_at_k(GOOD, GOOD, 1.5), "k: found 1.5"),  # type: ignore[arg-type]
        (lambda: ndcg_at_k(GOOD, -GOOD, 1), r"gains\[0, 1\]: found -1.0, expected 0 or more"),
        (lambda: ndcg_at_k(with_one(math.nan), GOOD, 1), r"scores\[1, 2\]: found nan"),
        (lambda: ndcg_at_k(GOOD, with_one(math.inf), 1), r"gains\[1, 2\]: found inf"),
        (lambda: ndcg_at_k(GOOD, GOOD[:1], 1), r"gains: found shape \(1, 3\)"),
        (lambda: trapezoid_average_precision(GOOD, MARKS, k=-1), "k: found -1"),
        (lambda: kendall_tau(GOOD, GOOD, threads=0), "threads: found 0"),
        (lambda: qvhighlights(GOOD, GOOD), "saliency: found float64, expected an array of integ"),  # type: ignore[arg-type]
        (lambda: qvhighlights(GOOD, MARKS), r"saliency: found shape \(2, 3\), expected \(2, 3\)"),
    ],
)
def test_other_wrong_arguments_are_named(call: Callable[[], object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call()


def test_no_count_of_pairs_leaves_32_bits() -> None:
    """Opposite pairs are counted twice: N (N - 1) of them in a window that is turned round."""
    most = ranking._MOST_IN_FLOAT32
    assert most * (most - 1) < 2**31
