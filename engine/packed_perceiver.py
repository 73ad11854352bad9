"""The Perceiver of algorithm 1 with everything multiplied once that can be multiplied at once.

The same numbers as `ContentCTR.perceive`, up to the order of sums. A layer norm is a standardised
vector scaled and shifted by weights of its own, and those can be moved into the product that
follows it:

    W (g * z + b) = (W * g) z + W b,    z = (x - mean) / deviation

The tokens are the same for all layers, so their z is computed once and one product gives the keys
and values of all layers; the latent's z gives query, key and value of its layer in one product. Two
tokens and a latent are too few keys for an attention kernel to pay.
"""

import math
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limelight.engine.packed_linear import PackedLinear, packed_ffn
from limelight.models.contentctr.attention import FusionLayer
from limelight.models.contentctr.fusion import Perceiver
from limelight.models.contentctr.model import (
    NUM_TOKENS,
    UNKNOWN_STREAMER,
    ContentCTR,
    modality_tokens,
)


class SegmentPerceiver(Protocol):
    """The Perceiver over single segments, as many as there are rows."""

    def __call__(
        self, frame_features: Tensor, text_features: Tensor, streamer_ids: Tensor, present: Tensor
    ) -> Tensor:
        """(B, C) of (B, F), (B, T), (B,) and (B, K), each row a segment by itself."""


def segment_perceiver(model: ContentCTR) -> SegmentPerceiver:
    """The packed one where the model fuses by the Perceiver, else the model's own."""
    if isinstance(model.perceiver, Perceiver):
        return PackedPerceiver(model)
    return _PlainPerceiver(model)


class PackedPerceiver:
    """Weights are packed when it is made: those that change later are not seen.

    Inputs lie on the model's device and are of its dtype.
    """

    def __init__(self, model: ContentCTR) -> None:
        self._model = model
        self._heads = (model.config.num_heads, model.config.head_dim)
        layers = cast(list[FusionLayer], list(cast(Perceiver, model.perceiver).layers))
        self._eps = model.config.layer_norm_eps
        with torch.no_grad():
            packed = [
                _folded(layer.key_norm, layer.attention.key, layer.attention.value)
                for layer in layers
            ]
            self._token_projection = PackedLinear(
                torch.cat([weight for weight, _ in packed]), torch.cat([bias for _, bias in packed])
            )
            self._layers = [_PackedLayer(layer) for layer in layers]
            self._used = _used(model)
            self._streamers = model.streamers.weight
            if "streamer" not in model.config.modalities:
                row = self._streamers[UNKNOWN_STREAMER]
                self._streamers = row.expand(len(self._streamers), -1)

    @torch.inference_mode()
    def __call__(
        self, frame_features: Tensor, text_features: Tensor, streamer_ids: Tensor, present: Tensor
    ) -> Tensor:
        """(B, C) of (B, F), (B, T), (B,) and (B, K), each row a segment by itself."""
        present = present & self._used
        model, rows = self._model, len(present)
        tokens = modality_tokens(
            (model.proj_1, model.proj_2),
            frame_features[:, None],
            text_features[:, None],
            present[:, None],
        )[:, 0]  # (B, K, C)
        projected = self._token_projection(self._standardised(tokens))
        # (B, K, L * 2 * H * D) -> (L, 2, B, K, H, D), as a view
        layered = projected.view(rows, NUM_TOKENS, len(self._layers), 2, *self._heads)
        layered = layered.permute(2, 3, 0, 1, 4, 5)
        # The latent is always a key, so a segment without picture and text still has one.
        hidden = ~F.pad(present, (0, 1), value=True)[..., None]  # (B, K + 1, 1)
        latent = F.embedding(streamer_ids, self._streamers)
        for layer, (keys, values) in zip(self._layers, layered, strict=True):
            latent = layer(latent, self._standardised(latent), keys, values, hidden)
        return latent

    def _standardised(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], eps=self._eps)


class _PackedLayer:
    def __init__(self, layer: FusionLayer) -> None:
        attention = layer.attention
        self._heads = attention.heads
        self._scale = 1 / math.sqrt(attention.heads[1])
        self._layer = layer
        query = _folded(layer.query_norm, attention.query)
        key_value = _folded(layer.key_norm, attention.key, attention.value)
        self._projection = PackedLinear(
            torch.cat([query[0], key_value[0]]), torch.cat([query[1], key_value[1]])
        )
        self._ffn = packed_ffn(layer.ffn)

    def __call__(
        self, latent: Tensor, z: Tensor, keys: Tensor, values: Tensor, hidden: Tensor
    ) -> Tensor:
        """(B, C) from the latent, its z, keys and values (B, K, H, D), hidden (B, K + 1, 1)."""
        projected = self._projection(z).view(len(z), 3, 1, *self._heads)
        query, key, value = projected.unbind(1)  # (B, 1, H, D) each
        products = (query * torch.cat([keys, key], 1)).sum(-1, dtype=torch.float32)
        weights = (products * self._scale).masked_fill(hidden, -math.inf).softmax(1)
        weights = weights.to(values.dtype)[..., None]  # (B, K + 1, H, 1)
        mixed = (weights * torch.cat([values, value], 1)).sum(1).flatten(1)
        layer = self._layer
        latent = latent + layer.attention.output(mixed)
        return latent + self._ffn(layer.ffn_norm(latent))


class _PlainPerceiver:
    def __init__(self, model: ContentCTR) -> None:
        self._model = model
        self._used = _used(model)

    @torch.inference_mode()
    def __call__(
        self, frame_features: Tensor, text_features: Tensor, streamer_ids: Tensor, present: Tensor
    ) -> Tensor:
        present = (present & self._used)[:, None]  # (B, K) -> (B, 1, K)
        tokens = self._model.tokens(frame_features[:, None], text_features[:, None], present)
        return self._model.fuse(tokens, streamer_ids, present)[:, 0]


def _used(model: ContentCTR) -> Tensor:
    """(1, K) bool: the modalities that the model looks at."""
    # Made once, because a CUDA graph cannot hold a copy from ordinary host memory.
    return model.used(torch.ones(1, NUM_TOKENS, dtype=torch.bool, device=model.device))


def _folded(norm: nn.LayerNorm, *projections: nn.Linear) -> tuple[Tensor, Tensor]:
    """Weight and bias of the projections side by side, with the norm's own moved into them."""
    weight = torch.cat([projection.weight for projection in projections])
    wide = weight.float()
    scaled, shifted = wide * norm.weight.float(), wide @ norm.bias.float()
    return scaled.to(weight.dtype), shifted.to(weight.dtype)
