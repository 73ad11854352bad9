"""The `rolling` decoder: each segment's keys and values are computed once and kept.

It equals `ContentCTR.decode` over the room's whole sequence since the prefill, whose mask is banded
in every layer. Deeper layers carry older segments along: through L layers a logit depends on the
last L * (N - 1) + 1 segments, 58 for three layers and a window of 20.
"""

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from limelight.engine.cpu_step import CpuDecodeStep
from limelight.engine.kv_cache import RingKVCache
from limelight.models.contentctr.model import ContentCTR, banded_causal_mask

if TYPE_CHECKING:
    from limelight.engine.cuda_step import CudaDecodeStep

# What `CpuDecodeStep` computes in.
_CPU_DTYPES = (torch.float32, torch.bfloat16)


class _Step(Protocol):
    """A decode step that reads and writes the rings where they lie."""

    def __call__(
        self, slots: Tensor, x: Tensor, places: Tensor, filled: Tensor, *, store: bool
    ) -> Tensor: ...


class IncrementalDecoder:
    """Decodes due rooms, all at once, over a ring cache of `capacity` slots.

    On a CUDA device the logits of `decode_step` and `peek` lie where the next call of the same
    method writes, so read or copy them before; there, one thread may use the decoder at a time.
    """

    def __init__(self, model: ContentCTR, capacity: int) -> None:
        self.model = model
        self.cache = RingKVCache(
            num_layers=model.config.num_decoder_layers,
            capacity=capacity,
            num_heads=model.config.num_heads,
            window_length=model.config.window_length,
            head_dim=model.config.head_dim,
            device=model.device,
            dtype=model.dtype,
        )
        self._cuda_step = _cuda_step(model, self.cache)
        self._in_place: _Step | None = self._cuda_step
        if self.cache.device.type == "cpu" and model.dtype in _CPU_DTYPES:
            self._in_place = CpuDecodeStep(model, self.cache)

    def warm_up(self) -> None:
        """Captures the CUDA graphs, each of which is else captured when first needed."""
        if self._cuda_step is not None:
            self._cuda_step.warm_up()

    @torch.inference_mode()
    def prefill(self, slots: Tensor, x: Tensor, lengths: Tensor) -> Tensor:
        """Logits (B,) of each room's newest segment; its slot then holds the whole sequence.

        Args:
            slots: (B,) int64 on the CPU, each at most once.
            x: (B, S, C) Perceiver outputs, oldest first, S <= N, padded at the end. The padding
                needs no mask: it lies in the future of every real segment.
            lengths: (B,) int64 on the CPU, the real segments of each room, 1 <= length <= S.
        """
        segments = x.shape[1]
        visible = banded_causal_mask(segments, self.cache.window_length, x.device)
        layer_keys, layer_values = [], []
        for layer in self.model.decoder_layers:
            queries, keys, values = layer.project(x)
            layer_keys.append(keys)
            layer_values.append(values)
            x = layer.attend(x, queries, keys, values, visible)
        self.cache.fill(slots, layer_keys, layer_values, lengths)
        rows = torch.arange(len(slots), device=x.device)
        newest = x[rows, (lengths - 1).to(x.device)]  # (B, S, C) -> (B, C)
        return self.model.logits(newest)

    @torch.inference_mode()
    def decode_step(self, slots: Tensor, x: Tensor) -> Tensor:
        """Logits (B,) of one new segment for each room, which its slot then holds.

        Args:
            slots: (B,) int64 on the CPU, each at most once.
            x: (B, C) Perceiver outputs of the new segments.
        """
        cache = self.cache
        filled = (cache.filled(slots) + 1).clamp(max=cache.window_length)
        places = cache.next_places(slots)
        if self._in_place is not None:
            cache.count_one_more(slots)
            return self._in_place(slots, x, places, filled, store=True)
        logits, keys, values = self._gathered_step(slots, x, places, filled)
        cache.append(slots, keys, values)
        return logits

    @torch.inference_mode()
    def peek(self, slots: Tensor, x: Tensor) -> Tensor:
        """Logits (B,) had the newest segment of each room been another; nothing is stored.

        Args:
            slots: (B,) int64 on the CPU, not empty ones; a slot may occur several times.
            x: (B, C) Perceiver outputs of the changed newest segments.
        """
        places, filled = self.cache.newest_places(slots), self.cache.filled(slots)
        if self._in_place is not None:
            return self._in_place(slots, x, places, filled, store=False)
        logits, _, _ = self._gathered_step(slots, x, places, filled)
        return logits

    def clear(self, slots: Tensor) -> None:
        self.cache.clear(slots)

    def _gathered_step(
        self, slots: Tensor, x: Tensor, places: Tensor, filled: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (B,), keys and values (L, B, H, D) of segments x (B, C) put at `places`.

        By torch alone, for devices and dtypes without a step of their own.
        """
        rows = torch.arange(len(slots), device=x.device)
        at = places.to(x.device)
        # A full ring is all visible: the place of the segment that just left the band is taken by
        # the new one. A younger room has filled its first places only.
        visible = torch.arange(self.cache.window_length) < filled[:, None]
        visible = visible.to(x.device)[:, None, None]  # (B, N) -> (B, 1, 1, N)
        x = x[:, None]  # (B, C) -> (B, 1, C)
        new_keys, new_values = [], []
        for index, layer in enumerate(self.model.decoder_layers):
            queries, keys, values = layer.project(x)
            new_keys.append(keys[:, :, 0])
            new_values.append(values[:, :, 0])
            ring_keys, ring_values = self.cache.read(index, slots)
            ring_keys[rows, :, at] = new_keys[-1]
            ring_values[rows, :, at] = new_values[-1]
            x = layer.attend(x, queries, ring_keys, ring_values, visible)
        return self.model.logits(x)[:, 0], torch.stack(new_keys), torch.stack(new_values)


def _cuda_step(model: ContentCTR, cache: RingKVCache) -> "CudaDecodeStep | None":
    if cache.device.type != "cuda":
        return None
    # Triton comes with torch's CUDA builds only.
    from limelight.engine.cuda_step import CudaDecodeStep

    return CudaDecodeStep(model, cache)
