import math

import numpy as np
import pytest

from limelight.models.baselines.id_features import (
    FEATURE_NAMES,
    NO_SEGMENT_BEFORE,
    NUM_IDS,
    UNKNOWN,
    id_features,
    learn_vocabulary,
    log_buckets,
)

NAN = float("nan")


def test_the_columns_are_the_papers() -> None:
    assert FEATURE_NAMES[:NUM_IDS] == ("streamer_id", "room_id", "segment_index")
    assert len(FEATURE_NAMES) == 11


def test_ids_and_the_counts_of_the_segment_before(make_room) -> None:  # type: ignore[no-untyped-def]
    counts = np.array(
        [[10, 1, 0, 0, 0, 0, 0, 0], [100, 3, 2, 0, 0, 0, 0, 0], [9, 9, 9, 9, 9, 9, 9, 9]]
    )
    room = make_room([0.1, 0.2, 0.3], counts=counts)
    other = make_room([0.1, 0.2], room_id="room-2", streamer_id="ben")
    vocabulary = learn_vocabulary([other, room])
    found = id_features(room, vocabulary)
    expected = [
        [2, 2, 1, *[NO_SEGMENT_BEFORE] * 8],
        [2, 2, 2, 7, 3, 1, 1, 1, 1, 1, 1],
        [2, 2, 3, 14, 5, 4, 1, 1, 1, 1, 1],
    ]
    assert found.tolist() == expected


@pytest.mark.parametrize("segment", range(6))
def test_counts_and_the_rate_of_a_segment_reach_later_segments_only(make_room, segment) -> None:  # type: ignore[no-untyped-def]
    generator = np.random.default_rng(segment)
    counts = generator.integers(0, 500, (6, 8))
    room = make_room(generator.random(6), counts=counts)
    vocabulary = learn_vocabulary([room])
    changed_counts = counts.copy()
    changed_counts[segment] += 1_000
    changed_ctr = room.ctr.copy()
    changed_ctr[segment] = 1 - changed_ctr[segment]
    changed = id_features(make_room(changed_ctr, counts=changed_counts), vocabulary)
    same_rows = (changed == id_features(room, vocabulary)).all(axis=1)
    assert np.flatnonzero(~same_rows).tolist() == ([segment + 1] if segment < 5 else [])


def test_what_was_not_learnt_from_is_unknown(make_room) -> None:  # type: ignore[no-untyped-def]
    vocabulary = learn_vocabulary([make_room([0.5, 0.5])])
    found = id_features(make_room([0.5] * 3, room_id="new", streamer_id="new"), vocabulary)
    assert found[:, :NUM_IDS].tolist() == [
        [UNKNOWN, UNKNOWN, 1],
        [UNKNOWN, UNKNOWN, 2],
        [UNKNOWN, UNKNOWN, UNKNOWN],
    ]


def test_segments_without_a_measured_rate_teach_no_ids(make_room) -> None:  # type: ignore[no-untyped-def]
    unmeasured = make_room([NAN, NAN], room_id="room-2", streamer_id="ben")
    vocabulary = learn_vocabulary([make_room([NAN, 0.5, NAN]), unmeasured])
    assert vocabulary.streamer_ids == {"anna": 1}
    assert vocabulary.room_ids == {"room-1": 1}
    assert vocabulary.segment_indices == {1: 1}


def test_every_id_is_below_its_vocabulary_size(make_room) -> None:  # type: ignore[no-untyped-def]
    counts = np.full((4, 8), np.finfo(np.float32).max)
    room = make_room([0.5] * 4, counts=counts)
    vocabulary = learn_vocabulary([room])
    sizes = vocabulary.sizes
    assert tuple(sizes) == FEATURE_NAMES
    assert (id_features(room, vocabulary) < np.array(list(sizes.values()))).all()


def test_buckets_are_half_octaves_of_one_more_than_the_count() -> None:
    counts = [*range(300), 1_000, 12_345, 999_999, 2**20 - 2]
    # 1 + count = 2**(k/2) exactly at even k, where a logarithm might fall short.
    expected = [1 + math.floor(2 * math.log2(1 + count) + 1e-9) for count in counts]
    assert log_buckets(np.array(counts)).tolist() == expected


def test_the_last_bucket_holds_all_that_is_larger() -> None:
    assert log_buckets(np.array([2**20 - 1, 2**20, 2**40])).tolist() == [41, 41, 41]
