"""A frame's feature depends on the frame alone."""

import numpy as np
import pytest

from limelight.engine.encoders import load_frame_encoder


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def test_a_feature_does_not_depend_on_the_frames_beside_it() -> None:
    encoder = load_frame_encoder("tiny")
    together = encoder.encode([picture(seed) for seed in range(7)])
    assert together.shape == (7, 48) and together.dtype == np.float16
    for seed in range(7):
        alone = encoder.encode([picture(seed)])
        assert alone.tobytes() == together[seed].tobytes()


def test_different_pictures_have_different_features() -> None:
    dark, bright = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    features = load_frame_encoder("tiny").encode([dark, bright, picture(0)]).astype(np.float32)
    assert np.linalg.norm(features[0] - features[1]) > 0.1
    assert np.linalg.norm(features[0] - features[2]) > 0.1


def test_no_pictures_have_no_features() -> None:
    assert load_frame_encoder("tiny").encode([]).shape == (0, 48)


@pytest.mark.parametrize(
    "image", [np.zeros((32, 64, 3), np.uint8), np.zeros((64, 64, 3), np.float32)]
)
def test_a_picture_of_another_size_or_type_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"images\[1\]: found .* expected \(64, 64, 3\) uint8"):
        load_frame_encoder("tiny").encode([picture(0), image])  # type: ignore[list-item]


def test_a_batch_of_none_is_refused() -> None:
    with pytest.raises(ValueError, match="max_batch: found 0, expected at least 1"):
        load_frame_encoder("tiny", max_batch=0)
