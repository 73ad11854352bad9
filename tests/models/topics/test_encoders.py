from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel, SwinConfig, SwinModel

from limelight.models.topics.config import TopicsConfig
from limelight.models.topics.encoders import (
    EncodedTopicNetwork,
    RawTopicBatch,
    pretrained_network,
)
from limelight.models.topics.model import TopicModel


def encoders() -> tuple[SwinModel, BertModel]:
    torch.manual_seed(0)
    swin = SwinConfig(image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[2, 2])
    swin.window_size = 4
    bert = BertConfig(
        vocab_size=50,
        hidden_size=12,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    return SwinModel(swin), BertModel(bert)


def topics(**changes: int) -> TopicModel:
    sizes = {"image_feature_size": 16, "text_feature_size": 12, "projection_size": 8} | changes
    counts = {"num_experts": 3, "expert_size": 6, "num_primary": 2, "num_secondary": 3}
    return TopicModel(TopicsConfig(**sizes, **counts, num_tags=4, dropout=0.0))


def batch() -> RawTopicBatch:
    generator = torch.Generator().manual_seed(0)
    labels = tuple(torch.eye(size)[torch.arange(5) % size] for size in (2, 3, 4))
    tokens = torch.randint(1, 50, (5, 7), generator=generator)
    return RawTopicBatch(
        torch.randn(5, 3, 32, 32, generator=generator),
        tokens,
        torch.tensor([True, True, False, True, True]),
        torch.tensor([True, False, False, True, True]),
        labels,  # type: ignore[arg-type]
    )


def test_the_encoders_learn_by_equation_2_too() -> None:
    network = EncodedTopicNetwork(*encoders(), topics())
    before = float(network(batch()).total.detach())
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(20):
        optimizer.zero_grad()
        network(batch()).total.backward()
        optimizer.step()
    assert float(network(batch()).total.detach()) < 0.8 * before
    for encoder in (network.image_encoder, network.text_encoder):
        assert any(each.grad is not None and each.grad.any() for each in encoder.parameters())


def test_covers_and_titles_that_are_absent_are_never_looked_at() -> None:
    network = EncodedTopicNetwork(*encoders(), topics()).eval()
    given = batch()
    pixels = given.pixel_values.clone()
    pixels[2] = float("nan")
    tokens = given.token_ids.clone()
    tokens[1:3] = 49
    changed = replace(given, pixel_values=pixels, token_ids=tokens)
    for found, expected in zip(network.features(changed), network.features(given), strict=True):
        torch.testing.assert_close(found, expected)
    nothing = torch.zeros(5, dtype=torch.bool)
    none = network.features(replace(given, image_present=nothing, text_present=nothing))
    assert not none[0].any() and not none[1].any()


def test_encoders_are_read_by_name_and_must_fit(tmp_path: Path) -> None:
    image, text = encoders()
    image.save_pretrained(tmp_path / "image")
    text.save_pretrained(tmp_path / "text")
    model = topics()
    network = pretrained_network(str(tmp_path / "image"), str(tmp_path / "text"), model)
    assert model.config.text_encoder_id == str(tmp_path / "text")
    features = network.eval().features(batch())
    alone = EncodedTopicNetwork(image, text, model).eval().features(batch())
    torch.testing.assert_close(features, alone)
    with pytest.raises(ValueError, match="text_feature_size: found 12, expected 13"):
        EncodedTopicNetwork(image, text, topics(text_feature_size=13))
