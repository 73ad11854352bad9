"""Comment energy agrees with counting by hand and by brute force."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limelight.kernels.energy import IncrementalEnergy, comment_energy, user_weights


def brute_force(
    times: list[int],
    at: int,
    weights: list[float],
    short: int,
    long: int,
    first: int,
    prior: float,
) -> float:
    current = sum(w for t, w in zip(times, weights, strict=True) if at - short < t <= at)
    past = sum(
        w for t, w in zip(times, weights, strict=True) if at - short - long < t <= at - short
    )
    known = min(long, at - short - first)
    if known < short:
        return 0.5
    return (current + prior) / (current + past * short / known + 2 * prior)


def test_the_worked_example_of_the_docstring() -> None:
    past = np.linspace(-540_000, -1, 19).astype(int)
    now = [1, 5_000, 10_000, 15_000, 20_000, 30_000]
    found = comment_energy([*past, *now], [30_000], first_ms=-570_000, prior=1.0)
    assert found == pytest.approx([7 / 9])


def test_the_same_rate_as_before_is_one_half() -> None:
    times = np.arange(0, 1_200_000, 1_000)
    found = comment_energy(times, [700_000, 900_000], first_ms=-1_000)
    assert found == pytest.approx([0.5, 0.5])


def test_a_span_holds_its_end_and_not_its_beginning() -> None:
    # (10, 20] is asked about, (0, 10] is the past: 10 counts as past, 20 as now, 0 not at all.
    found = comment_energy([0, 10, 20, 21], [20], short_ms=10, long_ms=10, prior=1.0)
    assert found == pytest.approx([(1 + 1) / (1 + 1 + 2)])
    found = comment_energy([0, 20, 20], [20], short_ms=10, long_ms=10, prior=1.0)
    assert found == pytest.approx([(2 + 1) / (2 + 0 + 2)])


def test_a_short_past_is_scaled_by_its_own_length() -> None:
    # 20 ms of past are known instead of 190: 4 comments there make 2 for each 10 ms.
    found = comment_energy([1, 2, 3, 4, 25], [30], short_ms=10, long_ms=190, first_ms=0, prior=1.0)
    assert found == pytest.approx([(1 + 1) / (1 + 2 + 2)])


def test_without_a_past_nothing_is_said() -> None:
    assert comment_energy([5, 6, 7], [10], short_ms=10, long_ms=100).tolist() == [0.5]
    assert comment_energy([], [10, 20]).tolist() == [0.5, 0.5]
    assert comment_energy([1, 2], []).tolist() == []


def test_a_few_ms_of_past_are_not_taken_for_a_rate() -> None:
    # 1 ms known: its single comment would stand for 30,000 in the short span.
    assert comment_energy([0, 30_001], [30_001]).tolist() == [0.5]


def test_weights_replace_counting() -> None:
    times, at = [1, 11, 12], [20]
    counted = comment_energy([1, 11, 11, 11, 12], at, short_ms=10, long_ms=10, first_ms=0)
    weighted = comment_energy(
        times, at, weights=[1.0, 3.0, 1.0], short_ms=10, long_ms=10, first_ms=0
    )
    assert weighted == pytest.approx(counted)


@settings(max_examples=200, deadline=None)
@given(
    comments=st.lists(st.tuples(st.integers(0, 300), st.floats(0, 5)), min_size=1, max_size=40),
    at=st.lists(st.integers(-50, 400), max_size=15),
    short=st.integers(1, 40),
    long=st.integers(1, 200),
    first=st.none() | st.integers(-100, 0),
    prior=st.floats(0.1, 5),
)
def test_energy_agrees_with_brute_force(
    comments: list[tuple[int, float]],
    at: list[int],
    short: int,
    long: int,
    first: int | None,
    prior: float,
) -> None:
    comments.sort()
    at.sort()
    times = [time for time, _ in comments]
    weights = [weight for _, weight in comments]
    found = comment_energy(
        times, at, weights=weights, short_ms=short, long_ms=long, first_ms=first, prior=prior
    )
    known_from = times[0] if first is None else first
    expected = [brute_force(times, a, weights, short, long, known_from, prior) for a in at]
    assert found.tolist() == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert ((found > 0) & (found < 1)).all()


def test_the_worked_example_of_the_incremental_form() -> None:
    room = IncrementalEnergy(short_ms=10, long_ms=20, prior=1.0)
    for time in (0, 5, 12, 30):
        room.add(time)
    assert room.energy(30) == 0.5
    assert len(room) == 3


@settings(max_examples=200, deadline=None)
@given(
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 40), st.floats(0, 5)), max_size=60),
    short=st.integers(1, 40),
    long=st.integers(1, 200),
    first=st.none() | st.integers(-100, 0),
    prior=st.floats(0.1, 5),
)
def test_incremental_energy_is_bit_identical_to_all_comments_at_once(
    steps: list[tuple[bool, int, float]], short: int, long: int, first: int | None, prior: float
) -> None:
    room = IncrementalEnergy(short_ms=short, long_ms=long, first_ms=first, prior=prior)
    times: list[int] = []
    weights: list[float] = []
    clock = 0
    for is_comment, step, weight in steps:
        clock += step
        if is_comment:
            room.add(clock, weight)
            times.append(clock)
            weights.append(weight)
        else:
            expected = comment_energy(
                times,
                [clock],
                weights=weights,
                short_ms=short,
                long_ms=long,
                first_ms=first,
                prior=prior,
            )
            assert room.energy(clock) == expected[0]
        assert len(room) == sum(clock - short - long < time for time in times)


def test_incremental_energy_of_a_long_room_is_bit_identical_and_forgets() -> None:
    rng = np.random.default_rng(0)
    times = np.sort(rng.integers(0, 3_600_000, 6_000))
    weights = rng.random(6_000)
    at = np.arange(0, 3_700_000, 1_000)
    room = IncrementalEnergy()
    fed, found, most = 0, [], 0
    for end in at:
        while fed < len(times) and times[fed] <= end:
            room.add(times[fed], weights[fed])
            fed += 1
        found.append(room.energy(end))
        most = max(most, len(room))
    assert found == comment_energy(times, at, weights=weights).tolist()
    assert most < 1_200


def test_incremental_energy_of_an_empty_room_is_neutral() -> None:
    assert IncrementalEnergy().energy(1_000_000) == 0.5
    assert IncrementalEnergy(first_ms=0).energy(-5) == 0.5


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda room: room.add(9), "time_ms: found 9 after 20, expected ascending order"),
        (lambda room: room.energy(19), "at_ms: found 19 after 20, expected ascending order"),
        (lambda room: room.add(0), "time_ms: found 0, expected at least first_ms, 1"),
        (lambda room: room.add(21.5), "time_ms: found 21.5, expected whole ms"),
        (lambda room: room.add(21, -1.0), "weight: found -1.0, expected finite, >= 0"),
        (lambda room: room.add(21, float("nan")), "weight: found nan"),
        (lambda room: room.add(21, float("inf")), "weight: found inf"),
        (
            lambda _: IncrementalEnergy(short_ms=0),
            "short_ms: found 0, expected whole ms, more than 0",
        ),
        (lambda _: IncrementalEnergy(prior=float("inf")), "prior: found inf"),
    ],
)
def test_a_wrong_comment_is_named_and_changes_nothing(
    call: Callable[[IncrementalEnergy], object], text: str
) -> None:
    room = IncrementalEnergy(short_ms=5, long_ms=10, first_ms=1)
    room.add(10)
    before = room.energy(20)
    with pytest.raises(ValueError, match=text):
        call(room)
    assert len(room) == 1
    assert room.energy(20) == before


def test_a_users_kth_comment_counts_one_kth() -> None:
    found = user_weights([1, 2, 3, 4, 5, 6], ["a", "b", "a", None, "a", ""])
    assert found.tolist() == pytest.approx([1, 1, 1 / 2, 1, 1 / 3, 1])


def test_no_comments_have_no_weights() -> None:
    assert user_weights([], []).shape == (0,)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"times_ms": [3, 1]}, r"times_ms\[1\]: found 1 after 3, expected ascending order"),
        ({"at_ms": [9, 8]}, r"at_ms\[1\]: found 8 after 9, expected ascending order"),
        ({"times_ms": [1.0, float("nan")]}, r"times_ms\[1\]: found nan, expected a finite number"),
        ({"times_ms": [1.5]}, r"times_ms\[0\]: found 1.5, expected whole ms"),
        ({"times_ms": [[1]]}, "times_ms: found 2 dimensions, expected 1"),
        ({"times_ms": ["1"]}, "times_ms: found dtype <U1, expected numbers"),
        ({"weights": [1.0]}, r"weights: found shape \(1,\), expected \(2,\)"),
        ({"weights": [1.0, -1.0]}, r"weights\[1\]: found -1.0, expected finite, >= 0"),
        ({"weights": [float("inf"), 1.0]}, r"weights\[0\]: found inf"),
        ({"short_ms": 0}, "short_ms: found 0, expected whole ms, more than 0"),
        ({"short_ms": 0.5}, "short_ms: found 0.5, expected whole ms"),
        ({"first_ms": math.nan}, "first_ms: found nan, expected whole ms"),
        ({"long_ms": -1}, "long_ms: found -1, expected whole ms, more than 0"),
        ({"first_ms": 2}, "first_ms: found 2, expected at most the first time 1"),
        ({"prior": 0.0}, "prior: found 0.0, expected a finite number above 0"),
        ({"prior": float("nan")}, "prior: found nan"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, object], text: str) -> None:
    usual: dict[str, object] = {"times_ms": [1, 2], "at_ms": [10]}
    with pytest.raises(ValueError, match=text):
        comment_energy(**{**usual, **arguments})  # type: ignore[arg-type]


def test_user_ids_must_match_the_times() -> None:
    with pytest.raises(ValueError, match="user_ids: found 1, expected 2"):
        user_weights([1, 2], ["a"])
    with pytest.raises(ValueError, match=r"times_ms\[1\]: found 1 after 2"):
        user_weights([2, 1], ["a", "b"])
