"""Best segments, true intervals and matches against sorting and SciPy's assignment."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from limelight.replay.evaluation.highlights import (
    Detected,
    Interval,
    best_segments,
    detect,
    matches,
    true_intervals,
)
from limelight.streams.settings import DetectorSettings
from tests.replay.evaluation import plain
from tests.replay.evaluation.made_rooms import make_room

NAN = np.nan
stretches = st.lists(st.integers(0, 60), max_size=12, unique=True).map(
    lambda found: list(zip(sorted(found)[::2], sorted(found)[1::2], strict=False))
)


@given(stretches, stretches, st.integers(0, 8))
def test_there_are_as_many_matches_as_can_be(found, wanted, tolerance: int) -> None:
    highlights = [Detected(start, end, end, start, 0.5) for start, end in found]
    intervals = [Interval(start, end) for start, end in wanted]
    pairs = matches(highlights, intervals, tolerance)
    fits = np.array(
        [[s < b + tolerance and e > a - tolerance for a, b in wanted] for s, e in found], bool
    ).reshape(len(found), len(wanted))
    assert all(fits[pair] for pair in pairs)
    for side in zip(*pairs, strict=True):
        assert len(set(side)) == len(side)
    assert len(pairs) == fits[linear_sum_assignment(fits, maximize=True)].sum()


@given(
    st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.3, NAN]), min_size=1, max_size=15),
    st.sampled_from([0.1, 0.2, 0.5, 0.9]),
)
def test_the_best_are_the_top_share_with_ties(ctrs: list[float], share: float) -> None:
    found = best_segments(np.array(ctrs, np.float32), share)
    np.testing.assert_array_equal(found, plain.best(np.array(ctrs, np.float32), share))


def test_the_worst_is_never_among_the_best() -> None:
    assert best_segments(np.array([0.1, 0.1, 0.1, 0.4]), 0.5).tolist() == [False] * 3 + [True]
    assert not best_segments(np.array([0.2, 0.2, NAN]), 0.5).any()
    assert not best_segments(np.array([NAN, NAN]), 0.5).any()


def test_intervals_are_runs_and_a_gap_in_time_ends_one() -> None:
    start_ms = np.array([0, 30, 60, 90, 150, 180], np.int64) * 1000
    room = make_room(
        segments=6,
        start_ms=start_ms,
        measured=np.array([0.1, 0.5, 0.5, 0.5, 0.5, 0.1], np.float32),
    )
    best = best_segments(room.measured, 0.5)
    assert true_intervals(room, best) == [Interval(30_000, 120_000), Interval(150_000, 180_000)]


def test_a_highlight_is_known_at_the_end_of_the_segment_that_opened_it() -> None:
    ctrs = [0.1, 0.1, 0.1, 0.1, 0.1, 0.4, 0.6, 0.5, 0.1, 0.1]
    start_ms = 1_700_000_010_000 + 30_000 * np.arange(10)
    room = make_room(segments=10, predictions={"m": np.array(ctrs, np.float32)})
    room = make_room(segments=10, start_ms=start_ms, predictions={"m": np.array(ctrs, np.float32)})
    (found,) = detect(room, "m", DetectorSettings(), is_energy=False)
    start = int(start_ms[5])
    assert (found.start_ms, found.end_ms) == (start, start + 90_000)
    assert found.opened_ms == start + 30_000
    assert (found.peak_start_ms, found.peak) == (start + 30_000, pytest.approx(0.6))
    assert detect(room, "m", DetectorSettings(floor=0.7), is_energy=True) == []


def test_a_highlight_that_is_open_at_the_end_counts() -> None:
    ctrs = np.array([0.1] * 6 + [0.5], np.float32)
    room = make_room(segments=7, predictions={"m": ctrs})
    assert len(detect(room, "m", DetectorSettings(), is_energy=False)) == 1
