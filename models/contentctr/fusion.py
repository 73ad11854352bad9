"""How a segment's picture, text and streamer become one vector: the paper's block and its rivals.

Each takes the streamer's latent (B, 1, C), the tokens (B, K, C) and which of them are there,
visible (B, K) bool, and gives (B, 1, C); B runs over the segments of all rooms. A segment without
any token is fused as if its (zeroed) tokens were there, where nothing else could be looked at.

Source: ContentCTR, section 3.2.2 and the variants of section 4.3.1.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limelight.models.contentctr.attention import FusionLayer
from limelight.models.contentctr.config import ContentCTRConfig


class _Fusion(nn.Module):
    """A stack of layers; what asks what is up to `forward` of each kind."""

    def __init__(self, config: ContentCTRConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(FusionLayer(config) for _ in range(config.num_perceiver_layers))


class Perceiver(_Fusion):
    """Algorithm 1: the latent reads the tokens and itself; the outcome is the next latent."""

    def forward(self, latent: Tensor, tokens: Tensor, visible: Tensor) -> Tensor:
        # The latent is always a key, so a segment without picture and text still has one.
        seen = _as_mask(F.pad(visible, (0, 1), value=True))
        for layer in self.layers:
            latent = layer(latent, torch.cat([tokens, latent], 1), seen)
        return latent


class SelfAttentionPlain(_Fusion):
    """The tokens read each other; nobody knows the streamer."""

    def forward(self, latent: Tensor, tokens: Tensor, visible: Tensor) -> Tensor:
        visible = _never_blind(visible)
        for layer in self.layers:
            tokens = layer(tokens, tokens, _as_mask(visible))
        return _mean(tokens, visible)


class SelfAttentionInput(_Fusion):
    """The tokens and the streamer read each other."""

    def forward(self, latent: Tensor, tokens: Tensor, visible: Tensor) -> Tensor:
        visible = F.pad(visible, (0, 1), value=True)
        tokens = torch.cat([tokens, latent], 1)
        for layer in self.layers:
            tokens = layer(tokens, tokens, _as_mask(visible))
        return _mean(tokens, visible)


class CrossAttentionQ(_Fusion):
    """Every layer is asked by the streamer; the keys are the tokens, then the layer before."""

    def forward(self, latent: Tensor, tokens: Tensor, visible: Tensor) -> Tensor:
        keys, seen = tokens, _as_mask(_never_blind(visible))
        for layer in self.layers:
            keys = layer(latent, keys, seen)
            seen = torch.ones_like(seen[..., :1])
        return keys


class CrossAttentionKV(_Fusion):
    """The tokens ask, and every layer's only key is the streamer."""

    def forward(self, latent: Tensor, tokens: Tensor, visible: Tensor) -> Tensor:
        seen = torch.ones_like(_as_mask(visible)[..., :1])
        for layer in self.layers:
            tokens = layer(tokens, latent, seen)
        return _mean(tokens, _never_blind(visible))


class CrossAttentionQKV(_Fusion):
    """The streamer asks first, then each layer's outcome; the keys are always the tokens."""

    def forward(self, latent: Tensor, tokens: Tensor, visible: Tensor) -> Tensor:
        seen = _as_mask(_never_blind(visible))
        for layer in self.layers:
            latent = layer(latent, tokens, seen)
        return latent


_FUSIONS: dict[str, type[_Fusion]] = {
    "perceiver": Perceiver,
    "self-attention-plain": SelfAttentionPlain,
    "self-attention-input": SelfAttentionInput,
    "cross-attention-q": CrossAttentionQ,
    "cross-attention-kv": CrossAttentionKV,
    "cross-attention-qkv": CrossAttentionQKV,
}


def make_fusion(config: ContentCTRConfig) -> nn.Module:
    """The block that the config names."""
    return _FUSIONS[config.fusion](config)


def _as_mask(visible: Tensor) -> Tensor:
    return visible[:, None, None]  # (B, K) -> (B, 1, 1, K)


def _never_blind(visible: Tensor) -> Tensor:
    """All visible where none is: a row of only False has no defined softmax and no mean."""
    return visible | ~visible.any(1, keepdim=True)


def _mean(tokens: Tensor, visible: Tensor) -> Tensor:
    """(B, 1, C): the mean of the visible tokens."""
    weights = visible[..., None].to(tokens.dtype)
    return (tokens * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True)
