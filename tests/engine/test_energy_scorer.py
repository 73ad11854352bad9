"""A window's energy compares its newest segment with its older ones."""

from collections.abc import Callable

import pytest

from limelight.engine.energy_scorer import energies
from limelight.engine.window import Window

MakeWindow = Callable[..., Window]


def weighing(make_window: MakeWindow, *weights: float) -> Window:
    """Of as many users as comments."""
    changes = {
        index: {"comment_weight": weight, "user_count": int(weight)}
        for index, weight in enumerate(weights)
    }
    return make_window(len(weights) - 1, length=len(weights), segment_changes=changes)


def test_a_full_windows_newest_segment_against_the_19_before(make_window: MakeWindow) -> None:
    # 19 segments of 2 expect 2; with the prior of 3: (7 + 3) / (7 + 2 + 6).
    found = energies([weighing(make_window, *[2.0] * 19, 7.0)])
    assert found == pytest.approx([10 / 15])


def test_a_young_rooms_past_is_as_long_as_it_is(make_window: MakeWindow) -> None:
    # Two segments of 1 and 3 expect 2: (7 + 3) / (7 + 2 + 6).
    assert energies([weighing(make_window, 1.0, 3.0, 7.0)]) == pytest.approx([10 / 15])


def test_a_rooms_first_segment_has_nothing_to_compare_with(make_window: MakeWindow) -> None:
    assert energies([weighing(make_window, 50.0)]).tolist() == [0.5]


def test_every_window_has_its_own_energy(make_window: MakeWindow) -> None:
    quiet, steady = weighing(make_window, 9.0, 9.0, 0.0), weighing(make_window, 4.0, 4.0, 4.0)
    assert energies([quiet, steady]) == pytest.approx([3 / 15, 0.5])
    assert energies([]).shape == (0,)


def test_users_who_write_much_count_little_more_than_once_each(make_window: MakeWindow) -> None:
    # 2 users a segment; in the newest a third one writes 1,000 comments, of weight 7.49.
    flooded = {"comment_weight": 9.49, "user_count": 3}
    (found,) = energies([make_window(19, segment_changes={19: flooded})])
    assert found == pytest.approx((3.3 + 3) / (3.3 + 2 + 6))
