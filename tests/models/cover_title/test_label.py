"""The label of section 2.1.3, by hand and at its edges."""

import numpy as np
import pytest

from limelight.models.cover_title.label import (
    PAPER_THRESHOLDS,
    LabelScale,
    fit_label_scale,
    ordinal_accuracy,
)

# Three videos. Views: mean 400, span 900. Likes: mean 20, span 30. Coins: mean 3, span 6.
# Favorites: mean 2, span 4. Shares weigh nothing.
COUNTS = {
    "views": np.array([100.0, 100.0, 1000.0]),
    "likes": np.array([10.0, 40.0, 10.0]),
    "coins": np.array([0.0, 3.0, 6.0]),
    "favorites": np.array([0.0, 2.0, 4.0]),
    "shares": np.array([7.0, 7.0, 7.0]),
}


def scale_of(thresholds: list[float]) -> LabelScale:
    """One whose score is the views themselves."""
    return LabelScale({"views": 1.0}, {"views": 0.0}, {"views": 1.0}, thresholds)


def test_the_score_is_the_papers_by_hand() -> None:
    scale = fit_label_scale(COUNTS)
    first = 0.75 * -300 / 900 + 0.1 * -10 / 30 + 0.1 * -3 / 6 + 0.05 * -2 / 4
    second = 0.75 * -300 / 900 + 0.1 * 20 / 30
    third = 0.75 * 600 / 900 + 0.1 * -10 / 30 + 0.1 * 3 / 6 + 0.05 * 2 / 4
    assert scale.scores(COUNTS) == pytest.approx([first, second, third], abs=1e-15)
    assert scale.classes(COUNTS).tolist() == [0, 0, 4]


def test_other_videos_are_measured_by_the_training_videos() -> None:
    scale = fit_label_scale({"views": COUNTS["views"]}, {"views": 1.0})
    assert scale.scores({"views": np.array([400.0, 1300.0])}).tolist() == [0.0, 1.0]


def test_a_score_on_a_threshold_belongs_to_the_class_above() -> None:
    edges = np.array(PAPER_THRESHOLDS)
    scale = scale_of(list(PAPER_THRESHOLDS))
    assert scale.classes({"views": edges}).tolist() == [1, 2, 3, 4]
    assert scale.classes({"views": np.nextafter(edges, -1)}).tolist() == [0, 1, 2, 3]


def test_a_count_that_the_data_lacks_adds_nothing() -> None:
    with_all = fit_label_scale(COUNTS, {"views": 0.75, "likes": 0.1})
    lacking = fit_label_scale({name: COUNTS[name] for name in ("views", "likes")})
    assert lacking == with_all


def test_equal_count_thresholds_part_the_training_videos_evenly() -> None:
    counts = {"views": np.random.default_rng(0).lognormal(8, 2, 1_000)}
    scale = fit_label_scale(counts, thresholds="equal-count")
    assert np.bincount(scale.classes(counts)).tolist() == [200] * 5
    assert scale.kind == "equal-count"
    # The paper's put nearly all of them into one.
    fixed = np.bincount(fit_label_scale(counts).classes(counts), minlength=5)
    assert fixed[0] > 800


@pytest.mark.parametrize(
    ("counts", "options", "text"),
    [
        ({"views": [0, 0, 0]}, {}, "views: found 0 for each of the 3 training videos"),
        ({"views": [1, 2], "likes": [5, 5]}, {}, "likes: found 5 for each of the 2"),
        ({"comments": [1, 2]}, {}, "weights: found none above 0 for"),
        ({"views": [-1, 2]}, {}, "views: found counts below 0"),
        ({"views": []}, {}, "views: found no video"),
        ({"views": [1, 2]}, {"thresholds": [0.2, 0.1]}, r"thresholds: found \[0.2, 0.1\]"),
        ({"views": [1, 2]}, {"thresholds": []}, "thresholds: found"),
        ({"views": [1, 1, 1, 1, 1, 2]}, {"thresholds": "equal-count"}, "too few different"),
        ({"views": [1, 2]}, {"weights": {"views": -1.0}}, "weights: found"),
    ],
)
def test_counts_that_give_no_label_are_refused(
    counts: dict[str, list[float]], options: dict[str, object], text: str
) -> None:
    columns = {name: np.array(column, np.float64) for name, column in counts.items()}
    with pytest.raises(ValueError, match=text):
        fit_label_scale(columns, **options)  # type: ignore[arg-type]


def test_data_without_a_count_that_the_scale_needs_is_refused() -> None:
    with pytest.raises(ValueError, match="expected coins, favorites too"):
        fit_label_scale(COUNTS).scores({"views": COUNTS["views"], "likes": COUNTS["likes"]})


def test_ordinal_accuracy_is_that_of_a_plain_loop() -> None:
    rng = np.random.default_rng(1)
    predicted, true = rng.integers(0, 5, (2, 300))
    points = 0.0
    for one, other in zip(predicted.tolist(), true.tolist(), strict=True):
        if one == other:
            points += 1
        elif one in (other - 1, other + 1):
            points += 0.5
    assert ordinal_accuracy(predicted, true) == pytest.approx(points / 300)
    assert np.isnan(ordinal_accuracy(predicted[:0], true[:0]))
