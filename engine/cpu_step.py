"""A decode step on the CPU: one product for queries, keys and values, and the rings in place.

The same numbers as `DecoderLayer`, up to the order of sums. What torch does for any mask and any
layout costs as much here as the products themselves: gathering the rings, splitting heads, a mask.
"""

import torch
from torch import Tensor

from limelight.engine.kv_cache import RingKVCache
from limelight.engine.packed_linear import PackedLinear, packed_ffn
from limelight.kernels.ring_attention import Numbers, ring_attention
from limelight.models.contentctr.attention import DecoderLayer
from limelight.models.contentctr.model import ContentCTR


class CpuDecodeStep:
    """Decodes new segments of rooms over a cache on the CPU, in float32 or bfloat16.

    In bfloat16 the products are torch's own, attention and its softmax are float32. The projections
    are packed when it is made: weights that change later are not seen.
    """

    def __init__(self, model: ContentCTR, cache: RingKVCache) -> None:
        self._model = model
        self._cache = cache
        self._layers = [_PackedLayer(layer) for layer in model.decoder_layers]
        self._keys = [_numbers(layer) for layer in cache.keys]
        self._values = [_numbers(layer) for layer in cache.values]

    def __call__(
        self, slots: Tensor, x: Tensor, places: Tensor, filled: Tensor, *, store: bool
    ) -> Tensor:
        """Logits (B,) of segments x (B, C) that stand at `places`; `store` keeps them there."""
        where = slots.numpy(), places.numpy(), filled.numpy()
        heads, width = self._layers[0].heads
        mixed = torch.empty(len(x), heads, width)
        for layer, keys, values in zip(self._layers, self._keys, self._values, strict=True):
            ring_attention(
                _numbers(layer.project(x)),
                keys,
                values,
                *where,
                store=store,
                out=mixed.numpy(),
                threads=torch.get_num_threads(),
            )
            x = layer.finish(x, mixed.flatten(1).to(x.dtype))
        return self._model.logits(x[:, None])[:, 0].float()


def _numbers(tensor: Tensor) -> Numbers:
    """The tensor's memory as an array, bfloat16 as the int16 of its bits."""
    same = tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor
    numbers: Numbers = same.numpy()
    return numbers


class _PackedLayer:
    def __init__(self, layer: DecoderLayer) -> None:
        attention = layer.attention
        self.heads = attention.heads
        self._layer = layer
        with torch.no_grad():
            self._projection = PackedLinear(
                torch.cat([attention.query.weight, attention.key.weight, attention.value.weight])
            )
            self._ffn = packed_ffn(layer.ffn)

    def project(self, x: Tensor) -> Tensor:
        """(B, 3, H, D): queries, keys and values of x (B, C)."""
        return self._projection(self._layer.attention_norm(x)).view(len(x), 3, *self.heads)

    def finish(self, x: Tensor, mixed: Tensor) -> Tensor:
        """(B, C): x with what attention mixed, (B, H*D), and the feed-forward part added."""
        x = x + self._layer.attention.output(mixed)
        return x + self._ffn(self._layer.ffn_norm(x))
