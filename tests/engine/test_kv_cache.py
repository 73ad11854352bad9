"""A ring equals a deque, and holds nothing that was not put in."""

from collections import deque

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from limelight.engine.kv_cache import RingKVCache

LAYERS, HEADS, WIDTH = 2, 3, 4


def ring(capacity: int = 3, window_length: int = 4) -> RingKVCache:
    return RingKVCache(
        num_layers=LAYERS,
        capacity=capacity,
        num_heads=HEADS,
        window_length=window_length,
        head_dim=WIDTH,
        device=torch.device("cpu"),
    )


def entries(numbers: list[float]) -> tuple[Tensor, Tensor]:
    """Keys and values (L, B, H, D), filled with one number for each room (and its negative)."""
    keys = torch.tensor(numbers)[None, :, None, None].expand(LAYERS, -1, HEADS, WIDTH)
    return keys, -keys


def contents(cache: RingKVCache, slot: int) -> list[float]:
    """The numbers in a slot's ring, in the ring's order, the same in all layers and heads."""
    slots = torch.tensor([slot])
    filled = int(cache.filled(slots))
    for layer in range(LAYERS):
        keys, values = cache.read(layer, slots)
        assert torch.equal(keys, -values)
        assert torch.equal(keys, keys[:, :1, :, :1].expand_as(keys))
        assert not keys[:, :, filled:].any()
    return [float(number) for number in keys[0, 0, :filled, 0]]


def test_the_worked_example_of_the_docstring() -> None:
    cache = ring(capacity=1, window_length=4)
    slots = torch.tensor([0])
    for segment in range(3):
        cache.append(slots, *entries([float(segment)]))
    assert contents(cache, 0) == [0, 1, 2]
    assert int(cache.next_places(slots)) == 3
    for segment in range(3, 6):
        cache.append(slots, *entries([float(segment)]))
    assert contents(cache, 0) == [4, 5, 2, 3]
    assert int(cache.next_places(slots)) == 2
    assert int(cache.newest_places(slots)) == 1


@settings(max_examples=60, deadline=None)
@given(
    window_length=st.integers(1, 5),
    steps=st.lists(
        st.tuples(st.sampled_from(["append", "fill", "clear"]), st.sets(st.integers(0, 2))),
        max_size=25,
    ),
    data=st.data(),
)
def test_a_ring_equals_a_deque(
    window_length: int, steps: list[tuple[str, set[int]]], data: st.DataObject
) -> None:
    cache = ring(window_length=window_length)
    expected: list[deque[float]] = [deque(maxlen=window_length) for _ in range(3)]
    number = 1.0
    for action, chosen in steps:
        slots = torch.tensor(sorted(chosen), dtype=torch.int64)
        if action == "append":
            cache.append(slots, *entries([number + slot for slot in sorted(chosen)]))
            for slot in chosen:
                expected[slot].append(number + slot)
        elif action == "clear":
            cache.clear(slots)
            for slot in chosen:
                expected[slot].clear()
        elif chosen:
            lengths = [data.draw(st.integers(1, window_length)) for _ in chosen]
            sequence = torch.arange(window_length) + number
            keys = sequence[:, None].expand(LAYERS, len(chosen), HEADS, window_length, WIDTH)
            cache.fill(slots, keys, -keys, torch.tensor(lengths))
            for slot, length in zip(sorted(chosen), lengths, strict=True):
                expected[slot] = deque(sequence[:length].tolist(), maxlen=window_length)
        number += 10
    for slot in range(3):
        assert sorted(contents(cache, slot)) == sorted(expected[slot])
        if expected[slot]:
            newest = int(cache.newest_places(torch.tensor([slot])))
            assert contents(cache, slot)[newest] == expected[slot][-1]


def test_slots_do_not_touch_each_other() -> None:
    cache = ring()
    cache.append(torch.tensor([0, 2]), *entries([1.0, 2.0]))
    cache.append(torch.tensor([2]), *entries([3.0]))
    cache.clear(torch.tensor([0]))
    assert [contents(cache, slot) for slot in range(3)] == [[], [], [2.0, 3.0]]
    assert cache.lengths.tolist() == [0, 0, 2]


def test_clearing_removes_a_nan_that_a_mask_would_let_through() -> None:
    cache = ring()
    cache.append(torch.tensor([1]), *entries([float("nan")]))
    cache.clear(torch.tensor([1]))
    assert cache.keys.isfinite().all() and cache.values.isfinite().all()


def test_a_slot_twice_in_one_append_is_refused() -> None:
    cache = ring()
    with pytest.raises(ValueError, match=r"slots: found \[1, 1\], expected each at most once"):
        cache.append(torch.tensor([1, 1]), *entries([1.0, 2.0]))


def test_a_sequence_longer_than_the_ring_is_refused() -> None:
    keys = torch.zeros(LAYERS, 1, HEADS, 5, WIDTH)
    with pytest.raises(ValueError, match="found 5 segments, expected at most 4"):
        ring().fill(torch.tensor([0]), keys, keys, torch.tensor([5]))


def test_a_cache_without_slots_is_refused() -> None:
    with pytest.raises(ValueError, match=r"= \(2, 0, 3, 4, 4\): expected >= 1 each"):
        ring(capacity=0)
