"""The ring attention kernel against torch's own attention over the rings written out."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from limelight.kernels.ring_attention import ring_attention


def draw(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)


@settings(max_examples=60, deadline=None)
@given(
    rooms=st.integers(0, 9),
    heads=st.integers(1, 4),
    length=st.integers(1, 21),
    width=st.sampled_from([1, 3, 8, 64]),
    threads=st.integers(1, 3),
    store=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_it_equals_torch_over_the_ring_with_the_new_segment_in_its_place(
    rooms: int, heads: int, length: int, width: int, threads: int, store: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    capacity = rooms + 2
    keys, values = (draw(rng, capacity, heads, length, width) for _ in range(2))
    projected = draw(rng, rooms, 3, heads, width)
    slots = rng.permutation(capacity)[:rooms]
    filled = rng.integers(1, length + 1, rooms)
    places = rng.integers(0, filled)
    rings = torch.from_numpy(keys.copy()), torch.from_numpy(values.copy())
    new = torch.from_numpy(projected)
    expected = torch.empty(rooms, heads, width)
    for room, (slot, place, count) in enumerate(zip(slots, places, filled, strict=True)):
        for ring, vector in zip(rings, new[room, 1:], strict=True):
            ring[slot, :, place] = vector
        query, (k, v) = new[room, 0][:, None], (ring[slot, :, :count] for ring in rings)
        expected[room] = F.scaled_dot_product_attention(query, k, v)[:, 0]
    before = keys.copy(), values.copy()
    out = np.empty((rooms, heads, width), np.float32)
    ring_attention(
        projected, keys, values, slots, places, filled, store=store, out=out, threads=threads
    )
    np.testing.assert_allclose(out, expected.numpy(), rtol=2e-5, atol=2e-6)
    kept = [ring.numpy() for ring in rings] if store else before
    assert np.array_equal(keys, kept[0]) and np.array_equal(values, kept[1])


def test_what_is_not_finite_stays_visible() -> None:
    ones = np.ones((1, 1, 2, 4), np.float32)
    projected = np.ones((1, 3, 1, 4), np.float32)
    projected[0, 2] = np.nan
    out = np.zeros((1, 1, 4), np.float32)
    at = np.zeros(1, np.int64)
    ring_attention(projected, ones, ones.copy(), at, at, at + 2, store=False, out=out)
    assert np.isnan(out).all()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"slots": 2}, "slots below 2"),
        ({"slots": -1}, "out of range"),
        ({"places": 3}, "places below filled"),
        ({"filled": 5, "places": 0}, "at most 4"),
        ({"filled": 0, "places": 0}, "places below filled"),
    ],
)
def test_an_index_out_of_range_is_refused(changes: dict[str, int], expected: str) -> None:
    rings = np.zeros((2, 1, 4, 8), np.float32)
    index = {"slots": 0, "places": 1, "filled": 3} | changes
    arrays = {name: np.array([at]) for name, at in index.items()}
    out = np.zeros((1, 1, 8), np.float32)
    with pytest.raises(ValueError, match=expected):
        ring_attention(
            np.zeros((1, 3, 1, 8), np.float32), rings, rings, **arrays, store=False, out=out
        )


def test_shapes_that_do_not_fit_are_named() -> None:
    rings = np.zeros((2, 1, 4, 8), np.float32)
    at = np.zeros(1, np.int64)
    with pytest.raises(ValueError, match=r"expected \(\(1, 3, 1, 8\)"):
        ring_attention(
            np.zeros((1, 3, 2, 8), np.float32),
            rings,
            rings,
            at,
            at,
            at + 1,
            store=False,
            out=np.zeros((1, 1, 8), np.float32),
        )


def test_bfloat16_rings_give_what_the_same_numbers_give_in_float32() -> None:
    generator = torch.Generator().manual_seed(0)
    rings = [torch.randn(5, 2, 20, 64, generator=generator).bfloat16() for _ in range(2)]
    projected = torch.randn(3, 3, 2, 64, generator=generator).bfloat16()
    at = np.array([4, 0, 2]), np.array([3, 0, 19]), np.array([7, 1, 20])
    wide = [ring.float().numpy() for ring in rings]
    expected, found = np.empty((2, 3, 2, 64), np.float32)
    ring_attention(projected.float().numpy(), *wide, *at, store=True, out=expected)
    bits = [each.view(torch.int16).numpy() for each in (projected, *rings)]
    ring_attention(*bits, *at, store=True, out=found)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    for ring, kept in zip(rings, wide, strict=True):
        assert np.array_equal(ring.float().numpy(), kept)


def test_rings_of_another_type_than_the_projections_are_refused() -> None:
    rings = np.zeros((1, 1, 4, 8), np.int16)
    at = np.zeros(1, np.int64)
    projected, out = np.zeros((1, 3, 1, 8), np.float32), np.zeros((1, 1, 8), np.float32)
    with pytest.raises(ValueError, match="expected one type"):
        ring_attention(projected, rings, rings, at, at, at + 1, store=False, out=out)
