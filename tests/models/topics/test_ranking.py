from typing import Any

import numpy as np
import pytest
import torch

from limelight.models.baselines.network_training import predict_ctr
from limelight.models.topics.ranking import (
    base_columns,
    build_ranker,
    rows_of,
    topic_columns,
    vocabulary_sizes,
)


def impressions(**columns: list[Any]) -> dict[str, np.ndarray]:
    count = len(columns["user_id"])
    defaults: dict[str, list[Any]] = {
        "video_id": list(range(count)),
        "author_id": [7] * count,
        "tag": ["39"] * count,
        "tab": [1] * count,
        "duration_ms": [10_000] * count,
        "time_ms": list(range(count)),
        "date": [20220425] * count,
        "is_click": [0] * count,
    }
    return {name: np.array(values) for name, values in (defaults | columns).items()}


def test_a_user_s_topics_come_from_clicks_before_the_impression_alone() -> None:
    given = impressions(
        user_id=[1, 1, 2, 1, 1, 1],
        time_ms=[10, 20, 30, 30, 40, 50],
        is_click=[1, 0, 1, 1, 0, 1],
    )
    topics = [[4, 2], [2], [4], [3], [9], []]
    found = topic_columns(given, topics)
    assert found["topic"].tolist() == [5, 3, 5, 4, 10, 0]
    # User 1 clicks topics 4 and 2 at 10 and topic 3 at 30; equals go by their number.
    assert found["user_topic"].tolist() == [0, 3, 0, 3, 3, 3]
    # Topic 2 is the first of the user's; 3 is none of them yet; 9 never is.
    assert found["topic_match"].tolist() == [0, 2, 0, 1, 1, 1]


def test_no_outcome_changes_what_is_known_of_its_own_impression_or_of_earlier_ones() -> None:
    rng = np.random.default_rng(0)
    count = 300
    given = impressions(
        user_id=rng.integers(0, 20, count).tolist(),
        # Many at the same moment.
        time_ms=rng.integers(0, 40, count).tolist(),
        is_click=rng.integers(0, 2, count).tolist(),
    )
    topics = [rng.integers(0, 6, 2).tolist() for _ in range(count)]
    before = {**base_columns(given), **topic_columns(given, topics)}
    for row in range(0, count, 7):
        changed = dict(given)
        changed["is_click"] = given["is_click"].copy()
        changed["is_click"][row] = 1 - changed["is_click"][row]
        after = {**base_columns(changed), **topic_columns(changed, topics)}
        later = given["time_ms"] > given["time_ms"][row]
        for name, values in before.items():
            np.testing.assert_array_equal(after[name][~later], values[~later])


def test_how_often_a_user_had_clicked_is_counted() -> None:
    given = impressions(user_id=[1, 1, 1, 1], is_click=[1, 1, 0, 0])
    # Half octaves of 1 + count: 0 -> 1, 1 -> 3, 2 -> 4.
    assert base_columns(given)["past_clicks"].tolist() == [1, 3, 4, 4]


def test_a_history_longer_than_128_clicks_forgets_the_first() -> None:
    count = 131
    given = impressions(user_id=[1] * count, is_click=[1] * count)
    topics = [[0]] * 2 + [[1]] * 128 + [[0]]
    found = topic_columns(given, topics)
    # Of the 128 clicks before the last impression none has topic 0 any more.
    assert found["topic_match"][-1] == 1
    assert found["topic_match"][129] == 2


@pytest.mark.parametrize("name", ["lr", "emlp", "wdl", "dcn"])
def test_every_ranker_reads_ids_and_numbers(name: str) -> None:
    columns = {"a": np.array([0, 1, 2]), "b": np.array([1, 0, 1])}
    dense = np.random.default_rng(0).random((3, 4))
    network = build_ranker(name, vocabulary_sizes(columns), dense_size=4, seed=1)  # type: ignore[arg-type]
    rows = rows_of(columns, dense)
    assert rows.shape == (3, 6)
    found = predict_ctr(network, rows)
    assert ((found > 0) & (found < 1)).all()
    # Another content gives another rate.
    assert (predict_ctr(network, rows_of(columns, dense * 1000)) != found).all()


def test_a_ranker_leaves_torchs_random_state() -> None:
    state = torch.get_rng_state()
    build_ranker("wdl", {"a": 3}, seed=5)
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(ValueError, match="name: found 'gbdt', expected lr, emlp, wdl or dcn"):
        build_ranker("gbdt", {"a": 3})  # type: ignore[arg-type]
