"""Batches are fair to rooms, honour deadlines, and lose nothing."""

from collections.abc import Callable

import hypothesis.strategies as st
from hypothesis import given

from limelight.engine.waiting import WaitingWindows
from limelight.engine.window import Window

MakeWindow = Callable[..., Window]
Queue = WaitingWindows[int]


def queue(max_rooms: int = 4, max_wait_s: float = 1.0) -> Queue:
    return WaitingWindows(max_rooms=max_rooms, max_wait_s=max_wait_s)


def test_a_batch_waits_for_company_but_not_longer_than_it_may(make_window: MakeWindow) -> None:
    waiting = queue(max_rooms=3)
    assert waiting.wait_s(0.0) is None
    waiting.add(make_window(1, "a"), 0, now_s=10.0, due_s=99.0)
    waiting.add(make_window(1, "b"), 1, now_s=10.5, due_s=99.0)
    assert waiting.wait_s(10.5) == 0.5
    assert waiting.wait_s(12.0) == 0.0
    waiting.add(make_window(1, "c"), 2, now_s=10.6, due_s=99.0)
    assert waiting.wait_s(10.6) == 0.0


def test_windows_of_one_room_do_not_make_a_full_batch(make_window: MakeWindow) -> None:
    waiting = queue(max_rooms=2)
    for index in range(5):
        waiting.add(make_window(index, "a"), index, now_s=0.0, due_s=99.0)
    assert waiting.wait_s(0.25) == 0.75


def test_a_room_with_a_backlog_takes_one_place_in_each_batch_in_its_order(
    make_window: MakeWindow,
) -> None:
    waiting = queue(max_rooms=2)
    for index in range(3):
        waiting.add(make_window(index, "slow"), index, now_s=0.0, due_s=5.0)
    for number, name in enumerate("abc"):
        waiting.add(make_window(7, name), 10 + number, now_s=1.0, due_s=6.0)
    batches = [[each.origin for each in waiting.take(2.0)] for _ in range(4)]
    assert batches == [[0, 10], [1, 11], [2, 12], []]
    assert len(waiting) == 0


def test_the_most_urgent_go_first_and_the_late_share_a_quarter(make_window: MakeWindow) -> None:
    waiting = queue(max_rooms=4)
    for number in range(6):
        waiting.add(make_window(1, f"late {number}"), number, now_s=0.0, due_s=float(number))
    for number in range(6):
        due_s = 30.0 - number
        waiting.add(make_window(1, f"live {number}"), 10 + number, now_s=0.0, due_s=due_s)
    batches = [{each.origin for each in waiting.take(20.0)} for _ in range(4)]
    assert batches == [{0, 15, 14, 13}, {1, 12, 11, 10}, {2, 3, 4, 5}, set()]


def test_rooms_that_are_new_cost_more_and_leave_place_for_the_others(
    make_window: MakeWindow,
) -> None:
    waiting: Queue = WaitingWindows(
        max_rooms=8, max_wait_s=1.0, cost=lambda window: len(window.segments)
    )
    for number in range(4):
        waiting.add(make_window(2, f"new {number}"), number, now_s=0.0, due_s=1.0 + number)
    for number in range(4):
        waiting.add(make_window(0, f"known {number}"), 10 + number, now_s=0.0, due_s=9.0)
    batches = [{each.origin for each in waiting.take(0.0)} for _ in range(3)]
    assert batches == [{0, 1}, {2, 3, 10, 11}, {12, 13}]
    # Late ones have a quarter, which is too little for one of them, but get what the others leave.
    for number in range(3):
        waiting.add(make_window(2, f"late {number}"), number, now_s=0.0, due_s=1.0)
        waiting.add(make_window(0, f"known {number}"), 10 + number, now_s=0.0, due_s=99.0)
    assert {each.origin for each in waiting.take(50.0)} == {10, 11, 12, 0}
    waiting.add(make_window(19, "larger than a batch"), 7, now_s=0.0, due_s=0.5)
    assert [each.origin for each in waiting.take(0.0)] == [7]


def test_a_late_room_dearer_than_a_batch_does_not_wait_for_ever(make_window: MakeWindow) -> None:
    waiting: Queue = WaitingWindows(
        max_rooms=4, max_wait_s=1.0, cost=lambda window: len(window.segments)
    )
    waiting.add(make_window(19, "late and new"), 99, now_s=0.0, due_s=1.0)
    for number in range(8):
        waiting.add(make_window(0, f"live {number}"), number, now_s=0.0, due_s=50.0)
    assert 99 in [each.origin for each in waiting.take(2.0)]


def test_what_is_dropped_is_gone_and_the_rest_stays_in_order(make_window: MakeWindow) -> None:
    waiting = queue()
    for index in range(6):
        waiting.add(make_window(index, "ab"[index % 2]), index, now_s=0.0, due_s=9.0)
    assert waiting.drop(lambda origin: origin in (0, 2, 4, 3)) == 4
    assert len(waiting) == 2
    assert [[each.origin for each in waiting.take(1.0)] for _ in range(3)] == [[1], [5], []]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(0, 20)), max_size=60), st.data())
def test_every_window_is_taken_once_and_each_rooms_in_order(
    arrivals: list[tuple[str, float]], data: st.DataObject
) -> None:
    waiting = queue(max_rooms=data.draw(st.integers(1, 8)))
    numbers: dict[str, list[int]] = {}
    for number, (name, due_s) in enumerate(arrivals):
        bare = Window(name, "", None, 1, "", "", ())
        waiting.add(bare, number, now_s=0.0, due_s=due_s)
        numbers.setdefault(name, []).append(number)
    taken: dict[str, list[int]] = {}
    while batch := waiting.take(data.draw(st.floats(0, 20))):
        assert len({each.window.room_id for each in batch}) == len(batch)
        for each in batch:
            taken.setdefault(each.window.room_id, []).append(each.origin)
    assert taken == numbers
    assert len(waiting) == 0
