"""The graphed Perceiver equals the network's own; on a CPU the same function runs eagerly."""

import pytest
import torch
from torch import Tensor

from limelight.engine.cuda_perceiver import CudaPerceiver
from limelight.models.contentctr.config import ContentCTRConfig
from limelight.models.contentctr.model import ContentCTR

HAS_CUDA = torch.cuda.is_available()
on_cuda = [pytest.mark.gpu, pytest.mark.skipif(not HAS_CUDA, reason="needs a CUDA device")]
DEVICES = ["cpu", pytest.param("cuda", marks=on_cuda)]


def seeded_model(modalities: tuple[str, ...] = ("picture", "text", "streamer")) -> ContentCTR:
    config = ContentCTRConfig(
        frame_feature_size=6,
        text_feature_size=5,
        hidden_size=16,
        num_heads=2,
        head_dim=8,
        num_perceiver_layers=2,
        num_decoder_layers=1,
        ffn_size=24,
        num_streamers=8,
        modalities=modalities,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = ContentCTR(config)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def segments(rooms: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randn(rooms, 6, generator=generator)
    texts = torch.randn(rooms, 5, generator=generator)
    streamers = torch.randint(0, 8, (rooms,), generator=generator)
    present = torch.rand(rooms, 2, generator=generator) < 0.7
    frames[~present[:, 0]] = torch.nan
    return frames, texts, streamers, present


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("modalities", [("picture", "text", "streamer"), ("picture",)])
@torch.no_grad()
def test_it_equals_the_network_s_own_for_any_number_of_rooms(
    modalities: tuple[str, ...], device: str
) -> None:
    model = seeded_model(modalities)
    perceiver = CudaPerceiver(seeded_model(modalities).to(device), max_batch=20)
    for rooms in (20, 3, 17, 45, 1, 3):
        frames, texts, streamers, present = segments(rooms, seed=rooms)
        expected = model.perceive(frames[:, None], texts[:, None], streamers, present[:, None])
        given_there = texts.to(device)  # where a text encoder leaves its features
        found = perceiver(frames, given_there, streamers, present)
        torch.testing.assert_close(found.cpu(), expected[:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
@torch.no_grad()
def test_a_bfloat16_network_takes_float32_features(device: str) -> None:
    model = seeded_model().bfloat16()
    perceiver = CudaPerceiver(seeded_model().to(device, torch.bfloat16), max_batch=8)
    frames, texts, streamers, present = segments(6)
    frames, texts = frames.bfloat16(), texts.bfloat16()
    expected = model.float().perceive(
        frames[:, None].float(), texts[:, None].float(), streamers, present[:, None]
    )[:, 0]
    found = perceiver(frames.float(), texts.float(), streamers, present)
    assert found.dtype == torch.bfloat16
    assert (found.cpu() - expected).abs().max() < expected.std() / 10


def test_a_shape_that_does_not_fit_is_refused() -> None:
    frames, texts, streamers, present = segments(3)
    with pytest.raises(ValueError, match=r"found shapes \[\(3, 6\), \(3, 4\), .*\(3, 5\)"):
        CudaPerceiver(seeded_model(), max_batch=8)(frames, texts[:, :4], streamers, present)


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_CUDA, reason="needs a CUDA device")
def test_on_cuda_nothing_is_allocated_once_the_graphs_are_there() -> None:
    perceiver = CudaPerceiver(seeded_model().to("cuda", torch.bfloat16), max_batch=64)
    perceiver.warm_up()
    inputs = segments(50)
    before = torch.cuda.memory_stats()["allocation.all.allocated"]
    for rooms in range(1, 50):
        perceiver(*(given[:rooms] for given in inputs))
    assert torch.cuda.memory_stats()["allocation.all.allocated"] == before
