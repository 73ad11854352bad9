"""Encoders are loaded by name, from safetensors only, and say exactly which they are."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import SwinConfig, SwinModel

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
