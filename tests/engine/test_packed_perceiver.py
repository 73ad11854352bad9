"""The packed Perceiver gives what the model's own gives."""

import pytest
import torch

from limelight.engine.packed_perceiver import PackedPerceiver, segment_perceiver
from limelight.models.contentctr.config import FUSIONS, ContentCTRConfig
from limelight.models.contentctr.model import ContentCTR


def lively(**changes: object) -> ContentCTR:
    config = ContentCTRConfig(
        **{
            "frame_feature_size": 6,
            "text_feature_size": 5,
            "hidden_size": 16,
            "num_heads": 2,
            "head_dim": 6,
            "num_perceiver_layers": 3,
            "num_decoder_layers": 1,
            "ffn_size": 24,
            "num_streamers": 8,
            **changes,
        }  # type: ignore[arg-type]
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = ContentCTR(config)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.4)
    return model.eval()


def segments(count: int = 40) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(3)
    frames = torch.randn(count, 6, generator=generator)
    texts = torch.randn(count, 5, generator=generator)
    streamers = torch.randint(0, 8, (count,), generator=generator)
    present = torch.rand(count, 2, generator=generator) < 0.6
    frames[~present[:, 0]] = torch.nan  # what is masked may hold anything
    assert len(torch.unique(present, dim=0)) == 4
    return frames, texts, streamers, present


def plain(model: ContentCTR, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
    frames, texts, streamers, present = inputs
    with torch.no_grad():
        return model.perceive(frames[:, None], texts[:, None], streamers, present[:, None])[:, 0]


@pytest.mark.parametrize("modalities", [["picture", "text", "streamer"], ["text"], ["picture"]])
def test_it_equals_the_models_perceiver(modalities: list[str]) -> None:
    model = lively(modalities=modalities)
    found = PackedPerceiver(model)(*segments())
    torch.testing.assert_close(found, plain(model, segments()), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_has_a_perceiver_of_single_segments(fusion: str) -> None:
    model = lively(fusion=fusion)
    found = segment_perceiver(model)
    assert isinstance(found, PackedPerceiver) == (fusion == "perceiver")
    torch.testing.assert_close(found(*segments()), plain(model, segments()), rtol=1e-4, atol=1e-4)


def test_bfloat16_stays_close_to_float32() -> None:
    model = lively()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    expected = plain(model, segments())
    frames, texts, streamers, present = segments()
    half = PackedPerceiver(model.to(torch.bfloat16))(
        frames.bfloat16(), texts.bfloat16(), streamers, present
    )
    # Eight bits of mantissa through three layers.
    assert torch.cosine_similarity(half.float(), expected).min() > 0.999
