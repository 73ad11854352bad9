"""Slots go to rooms, and from the least recently used room to the next."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limelight.engine.errors import CacheOverflow
from limelight.engine.slots import SlotTable


def test_a_room_keeps_its_slot() -> None:
    table = SlotTable(2)
    slots, evicted = table.assign(["a", "b"])
    assert table.assign(["b", "a"]) == (slots[::-1], [])
    assert evicted == []


def test_the_least_recently_used_room_loses_its_slot() -> None:
    table = SlotTable(2)
    (slot_a, slot_b), _ = table.assign(["a", "b"])
    table.assign(["a"])
    assert table.assign(["c"]) == ([slot_b], ["b"])
    assert table.find("a") == slot_a
    assert table.find("b") is None


def test_a_room_of_the_same_batch_is_never_evicted() -> None:
    table = SlotTable(2)
    table.assign(["a", "b"])
    # "a" is the older one, yet it is in the batch, so "b" has to go.
    slots, evicted = table.assign(["c", "a"])
    assert evicted == ["b"]
    assert len(set(slots)) == 2


def test_a_released_slot_is_used_before_anyone_is_evicted() -> None:
    table = SlotTable(2)
    (slot_a, _), _ = table.assign(["a", "b"])
    assert table.release("a") == slot_a
    assert table.release("a") is None
    assert table.assign(["c"]) == ([slot_a], [])


def test_looking_a_room_up_is_not_using_it() -> None:
    table = SlotTable(2)
    table.assign(["a", "b"])
    table.find("a")
    assert table.assign(["c"])[1] == ["a"]


def test_more_rooms_than_slots_in_one_batch_overflow_and_change_nothing() -> None:
    table = SlotTable(2)
    table.assign(["a"])
    with pytest.raises(CacheOverflow, match="found 3 rooms in one batch, capacity 2"):
        table.assign(["x", "y", "z"])
    assert table.find("a") is not None
    assert len(table) == 1


def test_a_room_named_twice_in_a_batch_takes_one_slot() -> None:
    slots, _ = SlotTable(1).assign(["a", "a"])
    assert slots == [0, 0]


def test_a_table_without_slots_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity: found 0, expected at least 1"):
        SlotTable(0)


@given(st.lists(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=3), max_size=30))
def test_the_table_equals_a_list_ordered_by_use(batches: list[list[str]]) -> None:
    table, by_use = SlotTable(3), list[str]()
    for batch in batches:
        slots, _ = table.assign(batch)
        for room_id in [*batch]:
            if room_id in by_use:
                by_use.remove(room_id)
                by_use.append(room_id)
        for room_id in batch:
            if room_id not in by_use:
                by_use.append(room_id)
        by_use = by_use[-3:]
        assert {room_id for room_id in "abcdefg" if table.find(room_id) is not None} == set(by_use)
        assert len(set(slots)) == len(set(batch))
        assert all(0 <= slot < 3 for slot in slots)
