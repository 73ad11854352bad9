"""The step that serves, and the same work by Hugging Face's caches."""

import torch
from torch import Tensor
from transformers import DynamicCache, PretrainedConfig, StaticCache

from limelight.engine.bench.segments import Segments
from limelight.engine.incremental import IncrementalDecoder
from limelight.engine.packed_perceiver import segment_perceiver
from limelight.engine.room_network import newest_perceiver
from limelight.models.contentctr.model import ContentCTR, banded_causal_mask


class ServedStep:
    """Features in, logits out, by the Perceiver and the decoder that `RoomNetwork` uses."""

    def __init__(self, model: ContentCTR, rooms: int) -> None:
        self.decoder = IncrementalDecoder(model, rooms)
        self.perceive = newest_perceiver(model, segment_perceiver(model))
        self.slots = torch.arange(rooms)
        self._model = model

    @torch.inference_mode()
    def prefill(self, segments: Segments) -> Tensor:
        """(B,) logits of the newest of S segments; the rings then hold all of them."""
        x = self._model.perceive(*segments.all())
        return self.decoder.prefill(self.slots, x, torch.full((len(x),), x.shape[1]))

    def __call__(self, *newest: Tensor) -> Tensor:
        """(B,) logits of one segment more a room."""
        return self.decoder.decode_step(self.slots, self.perceive(*newest))


class HuggingFaceDecoder:
    """The model's own decoder layers over a sliding cache of transformers.

    A static cache is preallocated and rolled by one place for each step; a dynamic one is
    concatenated with the new keys. Both hold all rooms at one common position.
    """

    def __init__(self, model: ContentCTR, *, static: bool) -> None:
        self._model = model
        config = PretrainedConfig(
            num_hidden_layers=model.config.num_decoder_layers,
            sliding_window=model.config.window_length,
            layer_types=["sliding_attention"] * model.config.num_decoder_layers,
        )
        if static:
            self._cache = StaticCache(config, max_cache_len=model.config.window_length)
        else:
            self._cache = DynamicCache(config=config)
        self._seen = 0
        self._all = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=model.device)

    @torch.inference_mode()
    def prefill(self, x: Tensor) -> Tensor:
        """(B,) logits of the newest of S Perceiver outputs x (B, S, C), S <= N."""
        segments = x.shape[1]
        visible = banded_causal_mask(segments, self._model.config.window_length, x.device)
        for at, layer in enumerate(self._model.decoder_layers):
            queries, keys, values = layer.project(x)
            self._cache.update(keys, values, at)
            x = layer.attend(x, queries, keys, values, visible)
        self._seen = segments
        return self._model.logits(x[:, -1:])[:, 0]

    @torch.inference_mode()
    def decode_step(self, x: Tensor) -> Tensor:
        """(B,) logits of Perceiver outputs x (B, C), one segment more a room."""
        self._seen += 1
        x = x[:, None]  # (B, C) -> (B, 1, C)
        for at, layer in enumerate(self._model.decoder_layers):
            queries, keys, values = layer.project(x)
            keys, values = self._cache.update(keys, values, at)
            x = layer.attend(x, queries, keys, values, self._visible(keys))
        return self._model.logits(x)[:, 0]

    def _visible(self, keys: Tensor) -> Tensor:
        """Which keys hold a segment: a static cache shows its empty places as well."""
        places = keys.shape[2]
        if self._seen >= places:
            return self._all
        return (torch.arange(places, device=keys.device) < self._seen)[None, None, None]
