"""`limelight.kernels.ring_attention` for CUDA tensors, by Triton; that one is the reference.

One program has one room, and goes through its ring once, where it lies, place by place. The numbers
of a place are spread over lanes, 16 bytes each, so that the sums over D stay within a warp and no
shared memory is used. For 8 heads of 64 in bfloat16, two warps have the room and each of their
loads fetches four heads' rows of 128 bytes.
"""

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

_RING_DTYPES = (torch.bfloat16, torch.float32)
_NUMBERS_A_WARP = 256
_MOST_WARPS = 8
_PLACES_A_TURN = 4


def ring_attention(
    projected: Tensor,
    keys: Tensor,
    values: Tensor,
    slots: Tensor,
    places: Tensor,
    filled: Tensor,
    *,
    store: bool,
    out: Tensor,
) -> None:
    """softmax(q k^T / sqrt(D)) v for each room and head (eq. 3), over its ring's filled places.

    As `limelight.kernels.ring_attention`, with weights and sums in float32 whatever the tensors
    are. All tensors are contiguous and on one device; nothing is allocated. The indices are not
    checked, for that would wait for the device: one out of range reads or writes elsewhere.

    Args:
        projected: (B, 3, H, D) float: queries, keys and values of the new segments.
        keys, values: (capacity, H, N, D), bfloat16 or float32: the rings of one layer.
        slots: (B,) int64 or int32, which ring; if stored, each at most once, or else with one and
            the same new segment.
        places: (B,) likewise, where in the ring the new segment stands, below `filled`.
        filled: (B,) likewise, how many places hold a segment, the new one included, 1 to N.
        out: (B, H, D) float, where the result goes.

    Raises:
        ValueError: shapes or dtypes that do not fit, or a tensor that is not contiguous.
    """
    _check(projected, keys, values, (slots, places, filled), out)
    _, heads, length, width = keys.shape
    heads_block, width_block = triton.next_power_of_2(heads), triton.next_power_of_2(width)
    _attend[(len(slots),)](
        projected,
        keys,
        values,
        slots,
        places,
        filled,
        out,
        math.log2(math.e) / math.sqrt(width),
        heads,
        length,
        width,
        heads_block,
        width_block,
        _PLACES_A_TURN,
        store,
        num_warps=max(1, min(_MOST_WARPS, heads_block * width_block // _NUMBERS_A_WARP)),
    )


def _check(
    projected: Tensor, keys: Tensor, values: Tensor, indices: tuple[Tensor, ...], out: Tensor
) -> None:
    rooms, (_, heads, _, width) = len(indices[0]), keys.shape
    found = tuple(tuple(tensor.shape) for tensor in (projected, out, values))
    expected = ((rooms, 3, heads, width), (rooms, heads, width), tuple(keys.shape))
    if found != expected:
        raise ValueError(f"projected, out, values: found {found}, expected {expected}")
    if any(index.shape != (rooms,) for index in indices):
        raise ValueError("slots, places, filled: found other lengths, expected one each a room")
    if keys.dtype not in _RING_DTYPES or values.dtype != keys.dtype:
        raise ValueError(
            f"keys, values: found {keys.dtype}, {values.dtype}, expected both in one of"
            f" {_RING_DTYPES}"
        )
    if not all(each.is_contiguous() for each in (projected, keys, values, *indices, out)):
        raise ValueError("ring attention: found a tensor that is not contiguous, expected none")


@triton.jit  # type: ignore[untyped-decorator]
def _attend(
    projected: "Any",
    keys: "Any",
    values: "Any",
    slots: "Any",
    places: "Any",
    filled: "Any",
    out: "Any",
    scale: "Any",
    heads: tl.constexpr,
    length: tl.constexpr,
    width: tl.constexpr,
    heads_block: tl.constexpr,
    width_block: tl.constexpr,
    places_a_turn: tl.constexpr,
    store: tl.constexpr,
) -> None:
    """The annotations are quoted because Triton looks up every name it finds, and knows no Any."""
    room = tl.program_id(0).to(tl.int64)
    slot = tl.load(slots + room).to(tl.int64)  # beyond 200,000 rooms a ring's start needs 64 bits
    place = tl.load(places + room).to(tl.int32)
    count = tl.load(filled + room).to(tl.int32)
    head = tl.arange(0, heads_block)[:, None]
    d = tl.arange(0, width_block)[None, :]
    inside = (head < heads) & (d < width)
    new = projected + room * (3 * heads * width) + head * width + d
    query = tl.load(new, inside, 0.0).to(tl.float32) * scale
    new_key = tl.load(new + heads * width, inside, 0.0)
    new_value = tl.load(new + 2 * heads * width, inside, 0.0)
    ring = slot * (heads * length * width) + head * (length * width) + d
    if store:
        at = ring + place * width
        tl.store(keys + at, new_key.to(keys.dtype.element_ty), inside)
        tl.store(values + at, new_value.to(values.dtype.element_ty), inside)
    # The softmax runs along with the sums: they are in units of exp2(highest so far). It begins
    # with the new segment, whose place in the ring is then left out.
    highest = tl.sum(query * new_key.to(tl.float32), 1, keep_dims=True)
    total = tl.full([heads_block, 1], 1.0, tl.float32)
    mixed = new_value.to(tl.float32)
    for first in range(0, count, places_a_turn):
        for step in tl.static_range(places_a_turn):
            n = first + step + tl.zeros([1, 1], tl.int32)
            held = (n < count) & (n != place)
            key = tl.load(keys + ring + n * width, inside & held, 0.0).to(tl.float32)
            value = tl.load(values + ring + n * width, inside & held, 0.0).to(tl.float32)
            product = tl.sum(query * key, 1, keep_dims=True)
            product = tl.where(held, product, float("-inf"))
            above = tl.maximum(highest, product)
            fade = tl.exp2(highest - above)
            weight = tl.exp2(product - above)
            total = total * fade + weight
            mixed = mixed * fade + weight * value
            highest = above
    target = out + room * (heads * width) + head * width + d
    tl.store(target, (mixed / total).to(out.dtype.element_ty), inside)
