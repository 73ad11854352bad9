"""How little time a step could take: its arithmetic and its memory traffic, counted.

Counted is what cannot be avoided. FLOPs are those of matrix products and attention, multiply-adds
times two; element-wise work, softmax and norms are left out. Bytes are the weights once, what goes
in and comes out, and the rings: N - 1 places read and one written. What a layer hands to the next
may stay in a cache and is not counted. The bound is the longer of the two times; nothing computes
and reads at full rate at once, so a share of 100 % is out of reach.
"""

from dataclasses import dataclass

import torch

from limelight.engine.bench.ceilings import Ceilings
from limelight.engine.bench.report import Row
from limelight.models.contentctr.config import ContentCTRConfig
from limelight.models.contentctr.model import NUM_TOKENS


@dataclass(frozen=True, slots=True)
class Work:
    flops: int
    bytes: int

    def __add__(self, other: "Work") -> "Work":
        return Work(self.flops + other.flops, self.bytes + other.bytes)


def bound_ms(work: Work, ceilings: Ceilings, dtype: torch.dtype) -> float:
    """The least time that the measured ceilings allow."""
    computing = work.flops / ceilings.flops_per_s[dtype]
    return 1000 * max(computing, work.bytes / ceilings.bytes_per_s)


def columns(work: Work, ceilings: Ceilings, dtype: torch.dtype, min_ms: float) -> Row:
    """A row's roofline: the counts, the bound, and the share of it that was reached."""
    least_ms = bound_ms(work, ceilings, dtype)
    return {
        "GFLOP": work.flops / 1e9,
        "MB": work.bytes / 1e6,
        "bound ms": least_ms,
        "of roofline %": 100 * least_ms / min_ms,
    }


def step_work(config: ContentCTRConfig, rooms: int, dtype: torch.dtype) -> Work:
    """Of one new segment a room, with full rings: features in, logits out."""
    return _perceiver_work(config, rooms, dtype) + decode_work(config, rooms, dtype)


def decode_work(config: ContentCTRConfig, rooms: int, dtype: torch.dtype) -> Work:
    """As `step_work`, of the decoder alone: Perceiver outputs in, logits out."""
    flops = rooms * decoder_flops(config, queries=1, keys=config.window_length)
    numbers = decoder_weights(config) + rooms * (config.hidden_size + 1)
    rings = rooms * ring_bytes(config, dtype)
    return Work(flops, numbers * dtype.itemsize + rings)


def window_work(config: ContentCTRConfig, rooms: int, dtype: torch.dtype) -> Work:
    """Of whole windows without a cache: features of N segments in, logits out."""
    segments = config.window_length
    flops = rooms * decoder_flops(config, queries=segments, keys=segments)
    numbers = decoder_weights(config) + rooms
    return _perceiver_work(config, rooms * segments, dtype) + Work(flops, numbers * dtype.itemsize)


def prefill_work(config: ContentCTRConfig, rooms: int, dtype: torch.dtype) -> Work:
    """As `window_work`, and the rings written."""
    return window_work(config, rooms, dtype) + Work(0, rooms * ring_bytes(config, dtype))


def window_decode_work(config: ContentCTRConfig, rooms: int, dtype: torch.dtype) -> Work:
    """Of whole windows by the decoder alone: N Perceiver outputs in, logits out."""
    segments = config.window_length
    flops = rooms * decoder_flops(config, queries=segments, keys=segments)
    numbers = decoder_weights(config) + rooms * (segments * config.hidden_size + 1)
    return Work(flops, numbers * dtype.itemsize)


def ring_bytes(config: ContentCTRConfig, dtype: torch.dtype) -> int:
    """Keys and values that one room keeps."""
    return 2 * config.num_decoder_layers * config.window_length * _width(config) * dtype.itemsize


def perceiver_flops(config: ContentCTRConfig) -> int:
    """Of one segment."""
    width, hidden, keys = _width(config), config.hidden_size, NUM_TOKENS + 1
    tokens = (config.frame_feature_size + config.text_feature_size + 2 * hidden) * hidden
    # Query and output once; keys and values of the tokens and the latent.
    projections = (2 + 2 * keys) * hidden * width
    layer = projections + 2 * keys * width + 2 * hidden * config.ffn_size
    return 2 * (tokens + config.num_perceiver_layers * layer)


def decoder_flops(config: ContentCTRConfig, *, queries: int, keys: int) -> int:
    """Of one room: so many segments, each of which looks at so many keys."""
    width, hidden = _width(config), config.hidden_size
    layer = 4 * hidden * width + 2 * keys * width + 2 * hidden * config.ffn_size
    return 2 * queries * (config.num_decoder_layers * layer + hidden)


def decoder_weights(config: ContentCTRConfig) -> int:
    """Numbers in the decoder's matrices."""
    hidden = config.hidden_size
    layer = 4 * hidden * _width(config) + 2 * hidden * config.ffn_size
    return config.num_decoder_layers * layer + hidden


def perceiver_weights(config: ContentCTRConfig) -> int:
    """Numbers in the matrices before the decoder, streamers apart."""
    hidden = config.hidden_size
    tokens = (config.frame_feature_size + config.text_feature_size + 2 * hidden) * hidden
    layer = 4 * hidden * _width(config) + 2 * hidden * config.ffn_size
    return tokens + config.num_perceiver_layers * layer


def _perceiver_work(config: ContentCTRConfig, segments: int, dtype: torch.dtype) -> Work:
    features = config.frame_feature_size + config.text_feature_size
    # A streamer's embedding comes in beside the features.
    numbers = perceiver_weights(config) + segments * (features + config.hidden_size)
    return Work(segments * perceiver_flops(config), numbers * dtype.itemsize)


def _width(config: ContentCTRConfig) -> int:
    width: int = config.num_heads * config.head_dim
    return width
