"""The decode step of a GPU, there or by Triton's interpreter: see test_cuda_attention.

Expected values come from the network's own forward over whole sequences.
"""

import os
from importlib.util import find_spec

import pytest
import torch
from torch import Tensor

from limelight.engine.incremental import IncrementalDecoder
from limelight.models.contentctr.config import ContentCTRConfig
from limelight.models.contentctr.model import ContentCTR

HAS_CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if HAS_CUDA else "cpu")
HIDDEN = 16

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(find_spec("triton") is None, reason="needs triton, which CPU torch lacks"),
    pytest.mark.skipif(
        not HAS_CUDA and os.environ.get("TRITON_INTERPRET") != "1",
        reason="needs a CUDA device or TRITON_INTERPRET=1",
    ),
]
needs_cuda = pytest.mark.skipif(not HAS_CUDA, reason="needs a CUDA device")


def seeded_model(window_length: int = 4, dtype: torch.dtype = torch.float32) -> ContentCTR:
    """With weights large enough that a wrong segment in the window shows in the logit."""
    config = ContentCTRConfig(
        frame_feature_size=6,
        text_feature_size=5,
        hidden_size=HIDDEN,
        num_heads=3,
        head_dim=6,
        num_perceiver_layers=1,
        num_decoder_layers=2,
        ffn_size=24,
        window_length=window_length,
        num_streamers=8,
        calibration_scale=0.5,
        calibration_shift=0.25,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = ContentCTR(config)
        for parameter in [*model.decoder.parameters(), *model.final_norm.parameters()]:
            torch.nn.init.normal_(parameter, std=0.3)
        torch.nn.init.normal_(model.head.weight, std=0.3)
    return model.eval().to(dtype)


def random_outputs(rooms: int, segments: int) -> Tensor:
    """Perceiver outputs (B, S, C)."""
    generator = torch.Generator().manual_seed(7)
    return torch.randn(rooms, segments, HIDDEN, generator=generator)


def decoder_of(model: ContentCTR, capacity: int, max_batch: int = 4) -> IncrementalDecoder:
    """A decoder whose steps are the GPU's, whatever it runs on."""
    from limelight.engine.cuda_step import CudaDecodeStep

    decoder = IncrementalDecoder(model.to(DEVICE), capacity)
    decoder._in_place = CudaDecodeStep(decoder.model, decoder.cache, max_batch)
    return decoder


def played(decoder: IncrementalDecoder, x: Tensor, ages: list[int], steps: int) -> list[Tensor]:
    """Logits (B,) of `steps` segments after prefills of different lengths; room r has slot -r."""
    lengths = torch.tensor(ages)
    slots = torch.arange(decoder.cache.capacity).flip(0)[: len(ages)]
    decoder.prefill(slots, x[:, : max(ages)].to(DEVICE), lengths)
    found = []
    for step in range(steps):
        newest = x[torch.arange(len(ages)), lengths + step]
        found.append(decoder.decode_step(slots, newest).cpu().clone())
    return found


@torch.no_grad()
def test_steps_equal_the_banded_forward_for_rooms_of_different_ages() -> None:
    model, x, ages = seeded_model(), random_outputs(rooms=3, segments=9), [1, 3, 4]
    expected = model.decode(x)  # (B, S)
    found = played(decoder_of(model, capacity=5), x, ages, steps=5)
    for step, logits in enumerate(found):
        assert logits.dtype == torch.float32
        at = torch.tensor(ages) + step
        wanted = expected[torch.arange(3), at].cpu()
        torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_batches_above_the_maximum_and_padding_rows_leave_the_right_rings() -> None:
    x, ages = random_outputs(rooms=7, segments=9), [1, 2, 3, 4, 4, 2, 1]
    found = decoder_of(seeded_model(), capacity=9, max_batch=5)
    wanted = IncrementalDecoder(seeded_model().to(DEVICE), 9)
    wanted._in_place = None
    pairs = zip(played(found, x, ages, 3), played(wanted, x, ages, 3), strict=True)
    for logits, expected in pairs:
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.cache.keys, wanted.cache.keys, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.cache.values, wanted.cache.values, rtol=1e-5, atol=1e-5)
    assert torch.equal(found.cache.lengths, wanted.cache.lengths)
    assert not found.cache.keys[:, :2].any()


@pytest.mark.parametrize("age", [1, 5])
@torch.no_grad()
def test_peek_gives_the_logit_of_another_newest_segment_and_stores_nothing(age: int) -> None:
    model, x = seeded_model(), random_outputs(rooms=2, segments=age)
    other = random_outputs(rooms=2, segments=age + 2)[:, -1] + 1
    decoder = decoder_of(model, 2)
    played(decoder, x, [1, 1], age - 1)
    before = decoder.cache.keys.clone(), decoder.cache.values.clone()
    # Room 1 has slot 0. Its slot is asked twice, once about what it holds.
    asked = torch.stack([other[1], other[0], x[1, age - 1]])
    found = decoder.peek(torch.tensor([0, 1, 0]), asked).cpu()
    changed = torch.cat([x[:, : age - 1], other[:, None]], 1).to(DEVICE)
    wanted = [model.decode(changed)[1, -1], model.decode(changed)[0, -1]]
    wanted.append(model.decode(x.to(DEVICE))[1, -1])
    torch.testing.assert_close(found, torch.stack(wanted).cpu(), rtol=1e-4, atol=1e-5)
    assert torch.equal(decoder.cache.keys, before[0])
    assert torch.equal(decoder.cache.values, before[1])


@torch.no_grad()
def test_in_bfloat16_logits_stay_within_a_twentieth_of_their_spread() -> None:
    x, ages = random_outputs(rooms=4, segments=8).bfloat16(), [1, 3, 4, 2]
    rounded = seeded_model(dtype=torch.bfloat16)
    expected = seeded_model(dtype=torch.bfloat16).float().decode(x.float())
    found = played(decoder_of(rounded, capacity=4), x, ages, steps=4)
    wanted = [expected[torch.arange(4), torch.tensor(ages) + step] for step in range(4)]
    errors = torch.stack(found) - torch.stack(wanted)
    spread = torch.stack(wanted).std()
    assert found[0].dtype == torch.float32
    assert errors.abs().max() < spread / 20
    assert 0 < errors.square().mean().sqrt() < spread / 60


@needs_cuda
@torch.no_grad()
def test_on_cuda_a_decoder_takes_the_step_by_itself_and_allocates_nothing() -> None:
    decoder = IncrementalDecoder(seeded_model(20, torch.bfloat16).cuda(), 64)
    decoder.warm_up()
    slots, x = torch.arange(50), random_outputs(50, 41)
    decoder.prefill(slots, x[:, :20].cuda().bfloat16(), torch.full((50,), 20))
    decoder.decode_step(slots, x[:, 20])
    decoder.peek(slots, x[:, 20])
    before = torch.cuda.memory_stats()["allocation.all.allocated"]
    for step in range(20):
        batch = 50 - 2 * step
        decoder.decode_step(slots[:batch], x[:batch, 21 + step])
        decoder.peek(slots[:batch], x[:batch, 21 + step])
    assert torch.cuda.memory_stats()["allocation.all.allocated"] == before


@needs_cuda
@torch.no_grad()
def test_on_cuda_the_base_network_in_bfloat16_stays_close_to_float32() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = ContentCTR(ContentCTRConfig(num_streamers=8)).eval()
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(40, 30, model.config.hidden_size, generator=generator)
    logits = {}
    for dtype in (torch.bfloat16, torch.float32):
        decoder = IncrementalDecoder(model.to("cuda", dtype), 40)
        lengths = torch.arange(40) % 20 + 1
        decoder.prefill(torch.arange(40), x[:, :20].to("cuda", dtype), lengths)
        steps = [decoder.decode_step(torch.arange(40), x[:, 20 + at]).cpu() for at in range(10)]
        logits[dtype] = torch.stack(steps)
    errors = logits[torch.bfloat16] - logits[torch.float32]
    assert errors.abs().max() < logits[torch.float32].std() / 10
