"""VGGish: the published shapes, channels last behind the convolutions, and weights that are not."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import conv2d, max_pool2d

from limelight.models.audio.log_mel import log_mel_patches
from limelight.models.audio.sound_encoder import load_sound_encoder
from limelight.models.audio.vggish import VGGish, VGGishEncoder, load_vggish

SMALL = {"channels": ((2,), (3,), (4, 4), (5, 5)), "hidden": 8, "embedding": 6}


def test_the_published_network_has_72_million_weights() -> None:
    with torch.device("meta"):
        network = VGGish()
    # 4.5 million in the convolutions and 67.6 in the dense layers, as its publication counts them.
    assert sum(each.numel() for each in network.parameters()) == 72_141_184
    assert network.embeddings[0].in_features == 512 * 6 * 4


def test_channels_come_last_behind_the_convolutions() -> None:
    torch.manual_seed(0)
    network = VGGish(**SMALL).eval()
    patches = torch.randn(2, 96, 64)
    maps = network.features(patches[:, None])
    assert maps.shape == (2, 5, 6, 4)
    flat = [
        float(maps[0, channel, row, column].detach())
        for row in range(6) for column in range(4) for channel in range(5)
    ]  # fmt: skip
    expected = network.embeddings(torch.tensor([flat]))
    torch.testing.assert_close(network(patches)[:1], expected)


def test_the_layers_are_those_of_the_published_port() -> None:
    torch.manual_seed(0)
    network = VGGish(**SMALL).eval()
    weights, maps = network.state_dict(), torch.randn(3, 1, 96, 64)
    patches = maps[:, 0]
    # Its names count activations and poolings, too; a pooling follows where the step is three.
    for number, is_pooled in ((0, True), (3, True), (6, False), (8, True), (11, False), (13, True)):
        name = f"features.{number}"
        maps = conv2d(maps, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1).relu()
        maps = max_pool2d(maps, 2) if is_pooled else maps
    flat = maps.permute(0, 2, 3, 1).reshape(3, -1)
    for number in (0, 2, 4):
        name = f"embeddings.{number}"
        flat = (flat @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]).relu()
    assert (flat == 0).any()
    torch.testing.assert_close(network(patches), flat)


def test_an_encoder_gives_a_feature_a_patch_and_none_for_silence() -> None:
    torch.manual_seed(0)
    network = VGGish(**SMALL)
    encoder = VGGishEncoder(network, "small")
    samples = np.random.default_rng(0).normal(size=16_000 * 3).astype(np.float32)
    found = encoder.encode(samples)
    assert found.shape == (3, 6) and encoder.feature_size == 6
    patches = torch.from_numpy(log_mel_patches(samples))
    np.testing.assert_allclose(found, network(patches).detach().numpy(), rtol=1e-5)
    assert encoder.encode(np.empty(0, np.float32)).shape == (0, 6)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_file(VGGish(**SMALL).state_dict(), tmp_path / "small.safetensors")
    with pytest.raises(ValueError, match=r"embeddings\.0\.bias: found \(8,\), expected \(4096,\)"):
        load_vggish(tmp_path / "small.safetensors")
    (tmp_path / "pickled.pth").write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(ValueError, match="expected VGGish as safetensors"):
        load_sound_encoder(str(tmp_path / "pickled.pth"))
