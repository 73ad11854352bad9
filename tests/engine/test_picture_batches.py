"""Full batches of pictures give what one picture at a time gives."""

import os

import numpy as np
import pytest
import torch
from transformers import SwinConfig, SwinModel

from limelight.engine.frame_encoder import FrameEncoder
from limelight.engine.picture_batches import PictureBatches

CPU = torch.device("cpu")
PICTURES = np.random.default_rng(0).integers(0, 256, (11, 32, 32, 3), dtype=np.uint8)


def small_swin(
    device: torch.device = CPU,
    dtype: torch.dtype = torch.float32,
    max_batch: int = 4,
    compiled: bool = False,
) -> FrameEncoder:
    torch.manual_seed(0)
    config = SwinConfig(
        image_size=32, patch_size=4, embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=4
    )
    return FrameEncoder(
        SwinModel(config).to(device, dtype),
        encoder_id="small",
        revision="r",
        feature_size=32,
        image_size=(32, 32),
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.3, 0.4),
        max_batch=max_batch,
        compiled=compiled,
    )


def cosines(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    return (found * expected).sum(axis=1) / lengths


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 11])
def test_batches_filled_up_give_what_single_pictures_give(count: int) -> None:
    encoder = small_swin()
    batches = PictureBatches(encoder._encode, (32, 32), batch=4, device=CPU)
    batches(PICTURES[::-1])  # buffers that held other pictures before
    found = batches(PICTURES[:count])
    assert found.shape == (count, 32) and found.dtype == np.float16
    expected = np.stack([encoder.encode([picture])[0] for picture in PICTURES[:count]])
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert len({feature.tobytes() for feature in found}) == count


def test_bfloat16_features_point_where_those_of_float32_do() -> None:
    expected = small_swin().encode(PICTURES)
    found = small_swin(dtype=torch.bfloat16).encode(PICTURES)
    assert found.tobytes() != expected.tobytes()
    assert cosines(found, expected).min() > 0.999


@pytest.mark.skipif(
    "LIMELIGHT_TEST_COMPILE" not in os.environ,
    reason="torch.compile takes half a minute; LIMELIGHT_TEST_COMPILE=1 runs it",
)
# torch.compile imports parts of torch that torch itself calls deprecated.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_network_gives_the_features_of_the_plain_one() -> None:
    found, expected = small_swin(compiled=True).encode(PICTURES), small_swin().encode(PICTURES)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_flops_are_those_of_the_layers() -> None:
    def layers(tokens: int, features: int, count: int) -> int:
        projections, mlp = 4 * features**2, 2 * 4 * features**2
        attention = 2 * 16 * features  # each token sees the 16 of its window
        return count * 2 * tokens * (projections + mlp + attention)

    patches = 2 * 64 * 16 * (3 * 4 * 4)
    merging = 2 * 16 * (4 * 16) * 32
    expected = patches + layers(64, 16, 2) + merging + layers(16, 32, 2)
    assert small_swin().flops_per_picture() == expected


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_cuda_a_feature_does_not_depend_on_the_pictures_beside_it(dtype: torch.dtype) -> None:
    encoder = small_swin(torch.device("cuda"), dtype)
    encoder.warm_up()
    together = encoder.encode(PICTURES)
    backwards = encoder.encode(PICTURES[::-1])[::-1]
    assert backwards.tobytes() == together.tobytes()
    for picture, feature in zip(PICTURES, together, strict=True):
        assert encoder.encode([picture])[0].tobytes() == feature.tobytes()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cuda_features_are_those_of_the_cpu(dtype: torch.dtype) -> None:
    expected = small_swin().encode(PICTURES)
    assert cosines(small_swin(torch.device("cuda"), dtype).encode(PICTURES), expected).min() > 0.999


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_many_uploads_overtake_nothing() -> None:
    encoder = small_swin(torch.device("cuda"), max_batch=2)
    many = np.random.default_rng(1).integers(0, 256, (101, 32, 32, 3), dtype=np.uint8)
    for _ in range(3):
        found = encoder.encode(many)
    one_by_one = np.stack([encoder.encode([picture])[0] for picture in many])
    assert found.tobytes() == one_by_one.tobytes()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_on_cuda_a_compiled_network_is_captured_too() -> None:
    cuda = torch.device("cuda")
    found = small_swin(cuda, compiled=True).encode(PICTURES)
    assert cosines(found, small_swin(cuda).encode(PICTURES)).min() > 0.999
