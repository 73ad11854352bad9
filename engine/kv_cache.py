"""The keys and values of every room's last segments, in rings that are allocated once.

A room's ring has N places; segment number s (counted from the room's first append) lies in place
s % N, over the one N segments older, which no later segment may look at. With N = 4, after six
appends (segments 0 to 5):

    place      0  1  2  3
    segment    4  5  2  3        length 6, so the next append goes to place 6 % 4 = 2

and before the ring is full, after three appends:

    place      0  1  2  3
    segment    0  1  2  -        length 3: places 0, 1, 2 hold something, the next is 3 % 4 = 3

The places are out of order from the fifth append on. That is harmless: the network has no
positional embedding, so attention gives the same whatever the order of its keys.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


class RingKVCache:
    """Keys and values, each [L, capacity, H, N, D], and how many segments each slot was given.

    The lengths stay on the CPU, where the engine decides, so that no step waits for the GPU.

    Behind the last slot lies a scratch slot, number `capacity`, for the padding rows of a step of
    fixed size: `layer_rings` shows it, `keys` and `values` do not. What it holds means nothing.
    """

    def __init__(
        self,
        *,
        num_layers: int,
        capacity: int,
        num_heads: int,
        window_length: int,
        head_dim: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        shape = (num_layers, capacity, num_heads, window_length, head_dim)
        if min(shape) < 1:
            raise ValueError(f"cache of shape [L, capacity, H, N, D] = {shape}: expected >= 1 each")
        self.capacity = capacity
        self.scratch_slot = capacity
        self.window_length = window_length
        with_scratch = (num_layers, capacity + 1, num_heads, window_length, head_dim)
        self._keys = torch.zeros(with_scratch, device=device, dtype=dtype)
        self._values = torch.zeros(with_scratch, device=device, dtype=dtype)
        self.keys, self.values = self._keys[:, :capacity], self._values[:, :capacity]
        self.lengths = torch.zeros(capacity, dtype=torch.int64)
        self._last_row = torch.zeros(capacity, dtype=torch.int64)

    @property
    def device(self) -> torch.device:
        return self.keys.device

    @property
    def bytes_per_slot(self) -> int:
        """What a room's keys and values take in all layers."""
        numbers = self.keys[:, 0].numel() + self.values[:, 0].numel()
        return numbers * self.keys.element_size()

    def layer_rings(self, layer: int) -> tuple[Tensor, Tensor]:
        """One layer's keys and values, each (capacity + 1, H, N, D), the scratch slot included."""
        return self._keys[layer], self._values[layer]

    def next_places(self, slots: Tensor) -> Tensor:
        """(B,) where the next segment of each slot will lie."""
        return self.lengths[slots] % self.window_length

    def newest_places(self, slots: Tensor) -> Tensor:
        """(B,) where the newest segment of each slot lies; the slots must not be empty."""
        return (self.lengths[slots] - 1) % self.window_length

    def filled(self, slots: Tensor) -> Tensor:
        """(B,) how many places of each slot hold a segment, at most N."""
        return self.lengths[slots].clamp(max=self.window_length)

    def read(self, layer: int, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Copies of one layer's keys and values, each (B, H, N, D). Slots may repeat.

        Places beyond `filled` hold zeros.
        """
        at = slots.to(self.device)
        return self.keys[layer].index_select(0, at), self.values[layer].index_select(0, at)

    def append(self, slots: Tensor, keys: Tensor, values: Tensor) -> None:
        """Stores one segment for each slot, in all layers, and counts it.

        Args:
            slots: (B,) int64 on the CPU, each at most once.
            keys, values: (L, B, H, D).

        Raises:
            ValueError: a slot occurs twice: one of its two segments would be lost.
        """
        places = self.next_places(slots).to(self.device)
        self.count_one_more(slots)
        at = slots.to(self.device)
        # Between two index tensors torch moves the indexed axis (B) to the front.
        self.keys[:, at, :, places] = keys.transpose(0, 1).to(self.keys)
        self.values[:, at, :, places] = values.transpose(0, 1).to(self.values)

    def count_one_more(self, slots: Tensor) -> None:
        """Counts a segment for each slot, whose keys and values the caller puts in their place.

        Raises:
            ValueError: a slot occurs twice.
        """
        self._check_distinct(slots)
        self.lengths[slots] += 1

    def fill(
        self, slots: Tensor, keys: Sequence[Tensor], values: Sequence[Tensor], lengths: Tensor
    ) -> None:
        """Replaces the slots' contents by whole sequences, oldest segment first.

        Args:
            slots: (B,) int64 on the CPU, each at most once.
            keys, values: of each layer (B, H, S, D), S <= N, padded at the end.
            lengths: (B,) int64 on the CPU, how many of the S segments are real, >= 1.

        Raises:
            ValueError: a slot occurs twice, or a sequence is longer than the ring.
        """
        self._check_distinct(slots)
        segments = keys[0].shape[2]
        if segments > self.window_length:
            raise ValueError(f"found {segments} segments, expected at most {self.window_length}")
        # Zeros are written only where no segment lies: a mask over all of the sequences would cost
        # several times the copying.
        rows, places = (torch.arange(self.window_length) >= lengths[:, None]).nonzero(as_tuple=True)
        at, young = slots.to(self.device), slots[rows].to(self.device)
        places = places.to(self.device)
        self.lengths[slots] = 0
        for rings, given in ((self.keys, keys), (self.values, values)):
            for ring, sequences in zip(rings, given, strict=True):
                ring[at, :, :segments] = sequences.to(ring)
                ring[young, :, places] = 0
        self.lengths[slots] = lengths

    def clear(self, slots: Tensor) -> None:
        """Empties the slots. Zeroing matters: a NaN left behind would pass a mask of weight 0."""
        at = slots.to(self.device)
        self.keys[:, at] = 0
        self.values[:, at] = 0
        self.lengths[slots] = 0

    def _check_distinct(self, slots: Tensor) -> None:
        """By writing each row's number to its slot: what another row has written over shows."""
        rows = torch.arange(len(slots))
        self._last_row[slots] = rows
        if not torch.equal(self._last_row[slots], rows):
            raise ValueError(f"slots: found {slots.tolist()}, expected each at most once")
