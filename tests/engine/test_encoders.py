"""Encoders are loaded by name, from safetensors only, and say exactly which they are."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    MobileNetV2Config,
    MobileNetV2Model,
    PreTrainedModel,
    ResNetConfig,
    ResNetModel,
    SwinConfig,
    SwinModel,
    ViTConfig,
    ViTForImageClassification,
    ViTModel,
)

from limelight.engine.encoders import load_frame_encoder, load_text_encoder

IMAGES = [
    np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for number in range(3)
]


def save_swin(folder: Path, **processor: object) -> SwinModel:
    torch.manual_seed(0)
    config = SwinConfig(
        image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=4
    )
    model = SwinModel(config).eval()
    model.save_pretrained(folder)
    usual = {"size": 32, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
    (folder / "preprocessor_config.json").write_text(json.dumps({**usual, **processor}))
    return model


def test_a_frame_encoder_from_a_folder_computes_what_its_network_computes(tmp_path: Path) -> None:
    folder = tmp_path / "my-swin"
    model = save_swin(folder)
    found = load_frame_encoder(str(folder))
    assert (found.encoder_id, found.image_size, found.feature_size) == ("my-swin", (32, 32), 16)
    pixels = (IMAGES[1].transpose(2, 0, 1) / 255).astype(np.float32)
    mean, std = np.array([0.5, 0.4, 0.3]), np.array([0.2, 0.3, 0.4])
    pixels = (pixels - mean[:, None, None]) / std[:, None, None]
    with torch.no_grad():
        expected = model(torch.from_numpy(pixels[None].astype(np.float32))).pooler_output
    np.testing.assert_allclose(found.encode(IMAGES)[1], expected[0].numpy(), atol=2e-3)


def save_with_sizes(model: PreTrainedModel, folder: Path) -> None:
    model.save_pretrained(folder)
    numbers = {"image_mean": [0.0] * 3, "image_std": [1.0] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": 32, **numbers}))


def small_vit_config() -> ViTConfig:
    return ViTConfig(
        image_size=32, patch_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16,
    )  # fmt: skip


def encoded_picture(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    pixels = torch.from_numpy(IMAGES[1].transpose(2, 0, 1)[None].copy()) / 255
    with torch.no_grad():
        return dict(model.eval()(pixels))


@pytest.mark.parametrize(
    ("kind", "config", "feature_size"),
    [
        # As the published ones: a last layer of 1,280 whatever the depth; half of it by choice.
        (MobileNetV2Model, MobileNetV2Config(depth_multiplier=0.25), 1_280),
        (
            ResNetModel,
            ResNetConfig(embedding_size=4, hidden_sizes=[8, 12], depths=[1, 1]),
            12,
        ),
        (ViTModel, small_vit_config(), 16),
    ],
)
def test_the_encoders_of_the_papers_give_what_they_pool(
    tmp_path: Path, kind: type[PreTrainedModel], config: object, feature_size: int
) -> None:
    torch.manual_seed(0)
    model = kind(config)
    save_with_sizes(model, tmp_path)
    found = load_frame_encoder(str(tmp_path))
    expected = encoded_picture(model)["pooler_output"].flatten().numpy()
    assert found.feature_size == len(expected) == feature_size
    features = found.encode(IMAGES)
    assert features.shape == (3, feature_size)
    np.testing.assert_allclose(features[1], expected, atol=2e-3)


def test_a_pooler_that_was_never_trained_is_left_out(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = ViTForImageClassification(small_vit_config())
    save_with_sizes(model, tmp_path)
    found = load_frame_encoder(str(tmp_path)).encode(IMAGES)
    expected = encoded_picture(model.vit)["last_hidden_state"][0].mean(0)
    np.testing.assert_allclose(found[1], expected.numpy(), atol=2e-3)


def test_a_network_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    model = save_swin(tmp_path)
    weights = model.state_dict()
    del weights["layernorm.weight"]
    model.save_pretrained(tmp_path, state_dict=weights)
    with pytest.raises(ValueError, match=r"found no weights for layernorm\.weight"):
        load_frame_encoder(str(tmp_path))


def test_a_folders_revision_is_that_of_its_weights(tmp_path: Path) -> None:
    save_swin(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "same")
    first, same = (load_frame_encoder(str(tmp_path / name)).revision for name in ("one", "same"))
    assert first == same and len(first) == 16
    other = SwinModel.from_pretrained(tmp_path / "one")
    other.embeddings.norm.weight.data += 1
    other.save_pretrained(tmp_path / "same")
    assert load_frame_encoder(str(tmp_path / "same")).revision != first


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        ({"size": {"height": 32, "width": 48}}, (32, 48)),
        ({"size": {"shortest_edge": 40}}, (40, 40)),
        ({"size": 40, "do_center_crop": True, "crop_size": {"height": 32, "width": 32}}, (32, 32)),
    ],
)
def test_the_picture_size_is_read_as_image_processors_write_it(
    tmp_path: Path, processor: dict[str, object], expected: tuple[int, int]
) -> None:
    save_swin(tmp_path, **processor)
    assert load_frame_encoder(str(tmp_path)).image_size == expected


def test_a_folder_that_states_no_picture_size_is_refused(tmp_path: Path) -> None:
    save_swin(tmp_path, size={"longest_edge": 32})
    with pytest.raises(ValueError, match=r"found picture size .*, expected height and width"):
        load_frame_encoder(str(tmp_path))
    (tmp_path / "preprocessor_config.json").write_text('{"size": 32}')
    with pytest.raises(ValueError, match="expected image_mean and image_std"):
        load_frame_encoder(str(tmp_path))


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    model = save_swin(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        load_frame_encoder(str(tmp_path))


def test_a_text_encoder_from_a_folder_gives_the_features_of_the_one_saved(tmp_path: Path) -> None:
    tiny = load_text_encoder("tiny")
    tiny.model.save_pretrained(tmp_path)
    tiny._tokenizer.save_pretrained(tmp_path)
    found = load_text_encoder(str(tmp_path))
    texts = [("大家好", ["666", "lol"]), ("", ["か"])]
    assert np.array_equal(found.encode(texts), tiny.encode(texts))
    assert found.encoder_id == tmp_path.name
