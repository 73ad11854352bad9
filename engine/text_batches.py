"""Texts in batches of few shapes: a CUDA graph for each, little of it padding."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from limelight.engine.graphs import BatchInput, BucketedFunction, GraphPool, bucket_sizes

# Lengths are rounded up to multiples of this; above 128 tokens, to a 16th of the next power of two.
_LENGTH_STEP = 8
# What a launch costs besides its tokens, in tokens. A larger number launches less and pads more.
_LAUNCH_TOKENS = 256

# Token numbers, types and mask, each (B, L), to (B, T) features.
TextForward = Callable[[Tensor, Tensor, Tensor], Tensor]


class TextBatch(NamedTuple):
    """Which texts go together, and the shape they are filled up to."""

    places: list[int]
    rows: int
    tokens: int


class TextBatches:
    """Runs batches of texts at fixed shapes, as graphs on CUDA. One thread at a time.

    Args:
        forward: treats rows apart and does the same work whatever the mask holds.
        max_tokens: of the longest text.
        max_batch: of texts.
    """

    def __init__(
        self, forward: TextForward, *, max_tokens: int, max_batch: int, device: torch.device
    ) -> None:
        self._rows = bucket_sizes(max_batch)
        self._lengths = length_buckets(max_tokens)
        self._functions: dict[int, BucketedFunction] = {}
        pool: GraphPool | None = None
        # The longest first: shorter texts then fit into the memory that is there.
        for length in reversed(self._lengths):
            inputs = [
                BatchInput((length,), torch.int64),
                BatchInput((length,), torch.int64),
                # Of a padding row everything counts: softmax over nothing would be NaN.
                BatchInput((length,), torch.bool, padding=True),
            ]
            function = BucketedFunction(
                forward, inputs, maximum=max_batch, device=device, pool=pool
            )
            self._functions[length] = function
            pool = function.pool

    def plan(self, lengths: Sequence[int]) -> list[TextBatch]:
        return plan_batches(lengths, rows=self._rows, buckets=self._lengths)

    def warm_up(self) -> None:
        for function in self._functions.values():
            function.warm_up()

    def __call__(self, tokens: Tensor, types: Tensor, mask: Tensor) -> Tensor:
        """(B, T), valid until the next call, of B texts in (B, L) with L of a planned batch."""
        return self._functions[tokens.shape[1]](tokens, types, mask)


def plan_batches(
    lengths: Sequence[int], *, rows: Sequence[int], buckets: Sequence[int]
) -> list[TextBatch]:
    """All texts in batches, longest first, each of the rows that spend least on a token of text.

    With rows 1, 2, 4 and length buckets 8, 16 the lengths 16, 5, 15, 6, 16 go together as
    (16, 16, 15, 6), a batch of 4 x 16, and (5), one of 1 x 8. The cost of a launch counts as
    `_LAUNCH_TOKENS` tokens, so a few texts go together even if much is padded.
    """
    order = sorted(range(len(lengths)), key=lambda at: -lengths[at])
    batches = []
    while order:
        tokens = next(bucket for bucket in buckets if bucket >= lengths[order[0]])
        best_cost, best_rows = float("inf"), rows[0]
        for count in rows:
            text = sum(lengths[at] for at in order[:count])
            if (cost := (count * tokens + _LAUNCH_TOKENS) / text) <= best_cost:
                best_cost, best_rows = cost, count
        batches.append(TextBatch(order[:best_rows], best_rows, tokens))
        order = order[best_rows:]
    return batches


def length_buckets(max_tokens: int) -> list[int]:
    """Ascending, up to `max_tokens`."""
    buckets = [0]
    while buckets[-1] < max_tokens:
        octave = 1 << buckets[-1].bit_length()
        buckets.append(buckets[-1] + max(_LENGTH_STEP, octave // 16))
    buckets[-1] = max_tokens
    return buckets[1:]
