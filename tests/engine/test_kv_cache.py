"""A ring equals a deque, and holds nothing that was not put in."""

from collections import deque

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from limelight.engine.kv_cache import RingKVCache
from limelight.models.contentctr.config import ContentCTRConfig

LAYERS, HEADS, WIDTH = 2, 3, 4


def ring(
    capacity: int = 3, window_length: int = 4, dtype: torch.dtype = torch.float32
) -> RingKVCache:
    return RingKVCache(
        num_layers=LAYERS,
        capacity=capacity,
        num_heads=HEADS,
        window_length=window_length,
        head_dim=WIDTH,
        device=torch.device("cpu"),
        dtype=dtype,
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
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    steps=st.lists(
        st.tuples(st.sampled_from(["append", "fill", "clear"]), st.sets(st.integers(0, 2))),
        max_size=25,
    ),
    data=st.data(),
)
def test_a_ring_equals_a_deque(
    window_length: int,
    dtype: torch.dtype,
    steps: list[tuple[str, set[int]]],
    data: st.DataObject,
) -> None:
    cache = ring(window_length=window_length, dtype=dtype)
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
            longest = data.draw(st.integers(1, window_length))
            lengths = [data.draw(st.integers(1, longest)) for _ in chosen]
            sequence = torch.arange(longest) + number
            keys = sequence[:, None].expand(LAYERS, len(chosen), HEADS, longest, WIDTH)
            cache.fill(slots, keys, -keys, torch.tensor(lengths))
            for slot, length in zip(sorted(chosen), lengths, strict=True):
                expected[slot] = deque(sequence[:length].tolist(), maxlen=window_length)
        number = number % 200 + 10  # bfloat16 holds whole numbers up to 256
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


def test_padding_that_is_not_a_number_is_left_out() -> None:
    cache = ring()
    keys = torch.full((LAYERS, 2, HEADS, 3, WIDTH), torch.nan)
    keys[:, 0, :, :1], keys[:, 1] = 5, 6
    cache.fill(torch.tensor([2, 0]), keys, -keys, torch.tensor([1, 3]))
    assert [contents(cache, slot) for slot in range(3)] == [[6, 6, 6], [], [5]]


def test_a_slot_of_the_base_network_in_bfloat16_takes_122880_bytes() -> None:
    base = ContentCTRConfig()
    cache = RingKVCache(
        num_layers=base.num_decoder_layers,
        capacity=2,
        num_heads=base.num_heads,
        window_length=base.window_length,
        head_dim=base.head_dim,
        device=torch.device("cpu"),
        dtype=torch.bfloat16,
    )
    # 3 layers, keys and values, 8 heads, 20 places of 64 numbers, 2 bytes each.
    assert cache.bytes_per_slot == 3 * 2 * 8 * 20 * 64 * 2 == 122_880
    assert cache.keys.nbytes + cache.values.nbytes == 2 * 122_880


def test_the_scratch_slot_lies_behind_the_last_and_is_seen_by_nobody_else() -> None:
    cache = ring(capacity=2)
    cache.append(torch.tensor([0, 1]), *entries([1.0, 2.0]))
    for layer in range(LAYERS):
        for rings, seen in zip(cache.layer_rings(layer), (cache.keys, cache.values), strict=True):
            assert len(rings) == 3 and cache.scratch_slot == 2
            assert torch.equal(rings[:2], seen[layer]) and rings.is_contiguous()
            rings[cache.scratch_slot] = torch.nan
    assert [contents(cache, slot) for slot in range(2)] == [[1], [2]]
    assert cache.keys.shape[1] == cache.values.shape[1] == len(cache.lengths) == 2
    with pytest.raises(IndexError):
        cache.append(torch.tensor([2]), *entries([1.0]))


def test_a_slot_twice_in_one_append_is_refused() -> None:
    cache = ring()
    with pytest.raises(ValueError, match=r"slots: found \[1, 1\], expected each at most once"):
        cache.append(torch.tensor([1, 1]), *entries([1.0, 2.0]))
    keys = torch.zeros(LAYERS, 3, HEADS, 1, WIDTH)
    with pytest.raises(ValueError, match=r"slots: found \[2, 0, 2\], expected each at most once"):
        cache.fill(torch.tensor([2, 0, 2]), keys, keys, torch.ones(3, dtype=torch.int64))


def test_a_sequence_longer_than_the_ring_is_refused() -> None:
    keys = torch.zeros(LAYERS, 1, HEADS, 5, WIDTH)
    with pytest.raises(ValueError, match="found 5 segments, expected at most 4"):
        ring().fill(torch.tensor([0]), keys, keys, torch.tensor([5]))


def test_a_cache_without_slots_is_refused() -> None:
    with pytest.raises(ValueError, match=r"= \(2, 0, 3, 4, 4\): expected >= 1 each"):
        ring(capacity=0)
