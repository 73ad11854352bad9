"""Attention of one new segment a room over the room's ring of keys and values, without copying it.

A library's attention wants the keys of all rooms of a batch side by side; gathering them costs as
much memory traffic again, twice over. Here each room's ring is read where it lies, once.
"""

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload
from numpy.typing import NDArray

from limelight.kernels.threads import run_in_threads

Floats = NDArray[np.float32]
# float32, or bfloat16 as the int16 of its bits, which NumPy has no type for.
Numbers = NDArray[np.float32] | NDArray[np.int16]
Ints = NDArray[np.int64]


def ring_attention(
    projected: Numbers,
    keys: Numbers,
    values: Numbers,
    slots: Ints,
    places: Ints,
    filled: Ints,
    *,
    store: bool,
    out: Floats,
    threads: int = 1,
) -> None:
    """softmax(q k^T / sqrt(D)) v for each room and head (eq. 3), over its ring's filled places.

    The new segment stands at its place whatever the ring holds there, and is written there if
    `store` says so. Places out of order are harmless: attention does not know the order of keys.

    Args:
        projected: (B, 3, H, D), contiguous: queries, keys and values of the new segments, float32
            or the bits of bfloat16.
        keys, values: (capacity, H, N, D), contiguous: the rings of one layer, likewise.
        slots: (B,) which ring; each at most once if stored.
        places: (B,) where in the ring the new segment stands, below `filled`.
        filled: (B,) how many places hold a segment, the new one included, 1 to N.
        out: (B, H, D) float32, where the result goes; the sums in between are float32 as well.
        threads: how many rooms at a time.

    Raises:
        ValueError: shapes or types that do not fit, or an index out of range.
    """
    _check(projected, keys, values, slots, places, filled, out)
    inputs = (projected, keys, values, slots, places, filled, store)
    if len(slots):
        run_in_threads(_attend, inputs, len(slots), (out,), threads)


def _check(
    projected: Numbers,
    keys: Numbers,
    values: Numbers,
    slots: Ints,
    places: Ints,
    filled: Ints,
    out: Floats,
) -> None:
    capacity, heads, length, width = keys.shape
    found = (projected.shape, out.shape, values.shape)
    expected = ((len(slots), 3, heads, width), (len(slots), heads, width), keys.shape)
    if found != expected:
        raise ValueError(f"projected, out, values: found {found}, expected {expected}")
    if not projected.dtype == keys.dtype == values.dtype:
        types_found = (projected.dtype, keys.dtype, values.dtype)
        raise ValueError(f"projected, keys, values: found {types_found}, expected one type")
    if not places.shape == filled.shape == slots.shape:
        raise ValueError("slots, places, filled: found other lengths, expected one each a room")
    if len(slots) and not (
        slots.min() >= 0
        and slots.max() < capacity
        and places.min() >= 0
        and (places < filled).all()
        and filled.max() <= length
    ):
        raise ValueError(
            f"slots, places, filled: found one out of range, expected slots below {capacity} and"
            f" places below filled, at most {length}"
        )


def _as_float(number: Any) -> np.float32:
    """The number that an element stands for; compiled code only."""
    raise NotImplementedError


@overload(_as_float)
def _as_float_of(number):  # type: ignore[no-untyped-def]  # Numba wants it bare
    if isinstance(number, types.Float):
        return lambda number: number
    # A bfloat16 is the upper half of a float32.
    return lambda number: np.int32(np.int32(number) << 16).view(np.float32)


# Sums may be reordered, which is what lets the inner loops run in vectors; NaN stays NaN.
@njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})  # type: ignore[untyped-decorator]
def _attend(
    projected: Numbers,
    keys: Numbers,
    values: Numbers,
    slots: Ints,
    places: Ints,
    filled: Ints,
    store: bool,
    first: int,
    last: int,
    out: Floats,
) -> bool:
    heads, length, width = keys.shape[1:]
    scale = np.float32(1.0 / np.sqrt(width))
    weights = np.empty(length, np.float32)
    for room in range(first, last):
        slot, place, count = slots[room], places[room], filled[room]
        for head in range(heads):
            ring_keys, ring_values = keys[slot, head], values[slot, head]
            query, mixed = projected[room, 0, head], out[room, head]
            newest_key, newest_value = projected[room, 1, head], projected[room, 2, head]
            highest = np.float32(-np.inf)
            for n in range(count):
                key = newest_key if n == place else ring_keys[n]
                product = np.float32(0.0)
                for d in range(width):
                    product += _as_float(query[d]) * _as_float(key[d])
                weights[n] = product * scale
                highest = max(highest, weights[n])
            total = np.float32(0.0)
            for n in range(count):
                weights[n] = np.exp(weights[n] - highest)
                total += weights[n]
            for d in range(width):
                mixed[d] = np.float32(0.0)
            for n in range(count):
                value = newest_value if n == place else ring_values[n]
                weight = weights[n] / total
                for d in range(width):
                    mixed[d] += weight * _as_float(value[d])
            if store:
                for d in range(width):
                    ring_keys[place, d] = newest_key[d]
                    ring_values[place, d] = newest_value[d]
    return True
