"""Sets of offsets against Python's own sets."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from limelight.replay.feature_log.intervals import Offsets

pairs = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=6)


def plain(intervals: list[tuple[int, int]]) -> set[int]:
    return {offset for first, end in intervals for offset in range(first, end)}


@given(pairs, pairs)
def test_offsets_are_what_a_set_is(some: list[tuple[int, int]], others: list[tuple[int, int]]):
    left, right = Offsets.of(some), Offsets.of(others)
    a, b = plain(some), plain(others)
    assert plain(list(left)) == a
    assert plain(list(left.minus(right))) == a - b
    assert plain(list(left.union(right))) == a | b
    assert left.count() == len(a)
    assert left.end == max(a, default=-1) + 1
    assert bool(left) == bool(a)
    assert plain(list(left.holes())) == (set(range(min(a), max(a))) - a if a else set())
    every = np.arange(-1, 32)
    assert set(every[left.mask(every)].tolist()) == a
    assert left.covers(3, 7) == (set(range(3, 7)) <= a)


@given(pairs)
def test_intervals_are_sorted_and_do_not_touch(some: list[tuple[int, int]]):
    found = list(Offsets.of(some))
    assert all(first < end for first, end in found)
    assert all(before[1] < after[0] for before, after in pairwise(found))
