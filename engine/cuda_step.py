"""A decode step on a GPU: one CUDA graph, with the rings read and written where they lie.

The same numbers as `DecoderLayer`, up to rounding. In bfloat16 that means: weights, activations and
rings in bfloat16, sums of products, softmax, the final norm and the head in float32.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from limelight.engine.cuda_attention import ring_attention
from limelight.engine.graphs import BatchInput, BucketedFunction
from limelight.engine.kv_cache import RingKVCache
from limelight.models.contentctr.attention import DecoderLayer
from limelight.models.contentctr.model import ContentCTR, calibrated

MAX_BATCH = 4096
# Below that a step costs the launches and the weights, whatever the number of rooms.
_MIN_BATCH = 16


class CudaDecodeStep:
    """Decodes new segments of rooms over a cache of the model's dtype, on the model's device.

    The weights are packed when it is made: weights that change later are not all seen. Padding rows
    stand in the cache's scratch slot. On a CPU it runs as well, by Triton's interpreter.

    Threads and the life of results: as `BucketedFunction`.
    """

    def __init__(self, model: ContentCTR, cache: RingKVCache, max_batch: int = MAX_BATCH) -> None:
        self._config = model.config
        self._layers = [
            _Layer(layer, *cache.layer_rings(at)) for at, layer in enumerate(model.decoder_layers)
        ]
        norm, head = model.final_norm, model.head
        with torch.no_grad():
            self._norm = norm.normalized_shape, norm.weight.float(), norm.bias.float(), norm.eps
            self._head = head.weight.float(), head.bias.float()
        inputs = [
            BatchInput((), torch.int32, padding=cache.scratch_slot),
            BatchInput((model.config.hidden_size,), model.dtype),
            BatchInput((), torch.int32, padding=0),
            BatchInput((), torch.int32, padding=1),
        ]
        minimum = min(_MIN_BATCH, max_batch)
        self._storing = BucketedFunction(
            self._stored, inputs, maximum=max_batch, device=model.device, minimum=minimum
        )
        self._asking = BucketedFunction(
            self._asked,
            inputs,
            maximum=max_batch,
            device=model.device,
            minimum=minimum,
            pool=self._storing.pool,
        )

    def warm_up(self) -> None:
        """Captures all graphs, which otherwise happens when a size is first met."""
        self._storing.warm_up()
        self._asking.warm_up()

    def __call__(
        self, slots: Tensor, x: Tensor, places: Tensor, filled: Tensor, *, store: bool
    ) -> Tensor:
        """Logits (B,), float32, of segments that stand at `places`; `store` keeps them there.

        Args:
            slots, places, filled: (B,) as in `ring_attention`, on the CPU or the device.
            x: (B, C) Perceiver outputs, on either.
        """
        run = self._storing if store else self._asking
        return run.in_chunks(slots, x, places, filled)

    def _stored(self, slots: Tensor, x: Tensor, places: Tensor, filled: Tensor) -> Tensor:
        return self._logits(slots, x, places, filled, store=True)

    def _asked(self, slots: Tensor, x: Tensor, places: Tensor, filled: Tensor) -> Tensor:
        return self._logits(slots, x, places, filled, store=False)

    def _logits(
        self, slots: Tensor, x: Tensor, places: Tensor, filled: Tensor, *, store: bool
    ) -> Tensor:
        x = x.clone()  # the layers add to it, and the input is not theirs
        for layer in self._layers:
            layer.add_to(x, slots, places, filled, store=store)
        # One read of x: float32 costs next to nothing here, and keeps a logit's last digits.
        logits = F.linear(F.layer_norm(x.float(), *self._norm), *self._head)
        return calibrated(logits.squeeze(-1), self._config)


class _Layer:
    """A decoder layer beside its rings, (capacity + 1, H, N, D) each."""

    def __init__(self, layer: DecoderLayer, keys: Tensor, values: Tensor) -> None:
        self._layer = layer
        self._keys, self._values = keys, values
        attention = layer.attention
        self._heads = attention.heads
        with torch.no_grad():
            self._weight = torch.cat(
                [attention.query.weight, attention.key.weight, attention.value.weight]
            )

    def add_to(
        self, x: Tensor, slots: Tensor, places: Tensor, filled: Tensor, *, store: bool
    ) -> None:
        """x (B, C) becomes the layer's output."""
        layer, (heads, width) = self._layer, self._heads
        projected = F.linear(layer.attention_norm(x), self._weight).view(len(x), 3, heads, width)
        mixed = x.new_empty(len(x), heads, width)
        ring_attention(
            projected, self._keys, self._values, slots, places, filled, store=store, out=mixed
        )
        x.addmm_(mixed.flatten(1), layer.attention.output.weight.t())
        x.add_(layer.ffn(layer.ffn_norm(x)))
