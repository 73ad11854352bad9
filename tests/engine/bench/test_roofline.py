"""Counted work is what torch counts and what the cache allocates."""

import pytest
import torch

from limelight.engine.bench.ceilings import Ceilings
from limelight.engine.bench.roofline import (
    Work,
    bound_ms,
    columns,
    decode_work,
    decoder_flops,
    decoder_weights,
    perceiver_flops,
    perceiver_weights,
    prefill_work,
    ring_bytes,
    step_work,
    window_decode_work,
    window_work,
)
from limelight.engine.bench.segments import made_up_segments
from limelight.engine.flops import forward_flops
from limelight.engine.kv_cache import RingKVCache
from limelight.models.contentctr.config import ContentCTRConfig, base, tiny
from limelight.models.contentctr.model import ContentCTR


def lopsided() -> ContentCTRConfig:
    """No two sizes alike, so that none can stand for another."""
    return ContentCTRConfig(
        frame_feature_size=7,
        text_feature_size=11,
        hidden_size=12,
        num_heads=3,
        head_dim=5,
        num_perceiver_layers=2,
        num_decoder_layers=4,
        ffn_size=17,
        window_length=6,
        num_streamers=3,
    )


@pytest.mark.parametrize("config", [lopsided(), tiny()], ids=["lopsided", "tiny"])
def test_flops_are_those_that_torch_counts(config: ContentCTRConfig) -> None:
    model = ContentCTR(config).eval()
    rooms, segments = 3, config.window_length
    given = made_up_segments(model, rooms, segments)
    counted = forward_flops(lambda: model(*given.all()))
    assert window_work(config, rooms, torch.float32).flops == counted
    with torch.no_grad():
        x = model.perceive(*given.all())
    perceived = forward_flops(lambda: model.perceive(*given.all()))
    assert rooms * segments * perceiver_flops(config) == perceived
    assert window_decode_work(config, rooms, torch.float32).flops == counted - perceived
    # One segment that looks at itself alone.
    alone = forward_flops(lambda: model.decode(x[:, :1]))
    assert rooms * decoder_flops(config, queries=1, keys=1) == alone


def test_a_step_looks_at_a_full_ring() -> None:
    config = lopsided()
    more_keys = decoder_flops(config, queries=1, keys=6) - decoder_flops(config, queries=1, keys=1)
    # Five keys more, each of 3 heads of 5 numbers, multiplied with the query and the weight.
    assert more_keys == 4 * 5 * 2 * (3 * 5) * 2
    found = decode_work(config, 8, torch.float32)
    assert found.flops == 8 * decoder_flops(config, queries=1, keys=6)
    step = step_work(config, 8, torch.float32)
    assert step.flops - found.flops == 8 * perceiver_flops(config)


@pytest.mark.parametrize("config", [lopsided(), base()], ids=["lopsided", "base"])
def test_weights_are_those_of_the_matrices(config: ContentCTRConfig) -> None:
    with torch.device("meta"):
        model = ContentCTR(config)
    matrices = {
        name: parameter.numel()
        for name, parameter in model.named_parameters()
        if parameter.dim() > 1
    }
    streamers = matrices.pop("streamers.weight")
    assert streamers == config.num_streamers * config.hidden_size
    in_decoder = ("decoder.", "head.")
    assert decoder_weights(config) == sum(
        numbers for name, numbers in matrices.items() if name.startswith(in_decoder)
    )
    assert decoder_weights(config) + perceiver_weights(config) == sum(matrices.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_room_takes_what_the_cache_allocates(dtype: torch.dtype) -> None:
    config = lopsided()
    cache = RingKVCache(
        num_layers=config.num_decoder_layers,
        capacity=1,
        num_heads=config.num_heads,
        window_length=config.window_length,
        head_dim=config.head_dim,
        device=torch.device("cpu"),
        dtype=dtype,
    )
    assert ring_bytes(config, dtype) == cache.bytes_per_slot


def test_base_in_bfloat16_takes_at_most_123_kb_a_room() -> None:
    assert ring_bytes(base(), torch.bfloat16) == 122_880


def test_bytes_are_weights_once_and_the_rest_for_each_room() -> None:
    config, half = lopsided(), torch.bfloat16
    one, two = (step_work(config, rooms, half).bytes for rooms in (1, 2))
    # 7 + 11 features and the streamer's 12 numbers for the Perceiver; 12 from it to the decoder,
    # the logit, and the ring.
    assert two - one == 2 * (7 + 11 + 12 + 12 + 1) + ring_bytes(config, half)
    weights = decoder_weights(config) + perceiver_weights(config)
    assert one - (two - one) == 2 * weights
    windows = [window_work(config, rooms, half).bytes for rooms in (1, 2)]
    assert windows[1] - windows[0] == 2 * (6 * (7 + 11 + 12) + 1)
    written = prefill_work(config, 5, half).bytes - window_work(config, 5, half).bytes
    assert written == 5 * ring_bytes(config, half)


def test_the_longer_of_computing_and_reading_is_the_bound() -> None:
    ceilings = Ceilings({torch.float32: 100.0}, 10.0)
    assert bound_ms(Work(200, 10), ceilings, torch.float32) == pytest.approx(2_000)
    assert bound_ms(Work(200, 40), ceilings, torch.float32) == pytest.approx(4_000)
    row = columns(Work(200, 40), ceilings, torch.float32, min_ms=16_000)
    assert row["of roofline %"] == pytest.approx(25)
