import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from limelight.models.topics.day_by_day import (
    Ranker,
    costs,
    daily_auc,
    interval,
    predict_days,
    predict_last_day,
    user_weights,
)


def log(days: int = 3, a_day: int = 400) -> dict[str, np.ndarray]:
    """Users of two tastes, videos of two kinds: clicked where they agree, nine times of ten."""
    rng = np.random.default_rng(0)
    count = days * a_day
    user, video = rng.integers(0, 30, count), rng.integers(0, 20, count)
    likes = user % 2 == video % 2
    return {
        "user_id": user,
        "video_id": video,
        "date": np.repeat(np.arange(days), a_day),
        "is_click": (rng.random(count) < np.where(likes, 0.9, 0.1)).astype(np.int64),
    }


def ranker(given: dict[str, np.ndarray]) -> Ranker:
    agree = (given["user_id"] % 2 == given["video_id"] % 2).astype(np.int64)
    return Ranker({"agree": agree, "video": given["video_id"]})


def test_each_day_is_predicted_before_it_is_learned_from() -> None:
    given = log()
    first = predict_days(ranker(given), given, seed=1)
    assert np.isnan(first[:400]).all()
    assert not np.isnan(first[400:]).any()
    # The last day's clicks change no prediction, the second day's only the last day's.
    for day, changed_from in ((2, 1200), (1, 800)):
        other = dict(given)
        other["is_click"] = np.where(given["date"] == day, 1 - given["is_click"], given["is_click"])
        found = predict_days(ranker(other), other, seed=1)
        np.testing.assert_array_equal(found[400:changed_from], first[400:changed_from])
        assert (found[changed_from:] != first[changed_from:]).all()


def test_what_a_day_teaches_tells_the_next_days_clicks() -> None:
    given = log(a_day=8000)
    found = predict_days(ranker(given), given)
    assert roc_auc_score(given["is_click"][8000:], found[8000:]) > 0.8


def test_the_last_day_is_predicted_from_all_days_before() -> None:
    given = log(a_day=8000)
    found = predict_last_day(ranker(given), given, name="wdl")
    assert np.isnan(found[:16_000]).all()
    assert roc_auc_score(given["is_click"][16_000:], found[16_000:]) > 0.8


def test_a_days_auc_is_scikit_learns_and_resamples_repeat_users() -> None:
    given = log()
    predicted = np.random.default_rng(1).random(1200) + 0.3 * given["is_click"]
    predicted[given["date"] == 0] = np.nan
    weights = user_weights(given, 5, seed=2)
    found = daily_auc(given, predicted, weights)
    assert found.shape == (2, 6)
    users = np.unique(given["user_id"], return_inverse=True)[1]
    for at, day in enumerate((1, 2)):
        today = given["date"] == day
        for resample in range(6):
            expected = roc_auc_score(
                given["is_click"][today],
                predicted[today],
                sample_weight=weights[users[today], resample],
            )
            assert found[at, resample] == pytest.approx(expected)
    assert weights[:, 0].tolist() == [1] * 30
    assert weights.sum(axis=0).tolist() == [30] * 6


def test_content_of_many_numbers_takes_more_memory_than_ids() -> None:
    given = log()
    ids = ranker(given)
    content = Ranker(ids.columns, np.zeros((1200, 128)))
    found = costs({"ids": ids, "content": content})
    # Rows of 2 and 130 numbers, and the deep part's input of 16 and 144.
    assert (found["ids"].sample_bytes, found["content"].sample_bytes) == (72, 1096)
    assert found["content"].weights_mb > found["ids"].weights_mb
    assert all(each.sample_us > 0 for each in found.values())


def test_an_interval_is_the_middle_of_the_resamples() -> None:
    assert interval([float(value) for value in range(1001)]) == (25, 975)
