"""Log-mel patches against a plain loop over the published definition."""

import math

import numpy as np
import pytest

from limelight.models.audio.log_mel import log_mel_patches
from limelight.models.audio.sound_statistics import sound_statistics


def mel(hertz: float) -> float:
    return 1127.0 * math.log(1.0 + hertz / 700.0)


def plain_patch(samples: np.ndarray) -> np.ndarray:
    """(96, 64) by loops: HTK mel, a periodic Hann window, magnitudes of a DFT of 512."""
    low, high = mel(125.0), mel(7500.0)
    edges = [low + (high - low) * n / 65 for n in range(66)]
    patch = np.zeros((96, 64))
    window = np.array([0.5 - 0.5 * math.cos(2 * math.pi * n / 400) for n in range(400)])
    for row in range(96):
        frame = np.zeros(512)
        frame[:400] = samples[160 * row : 160 * row + 400] * window
        magnitudes = np.abs(np.fft.fft(frame)[:257])
        for band in range(64):
            energy = 0.0
            for number in range(1, 257):
                at = mel(number * 16000 / 512)
                up = (at - edges[band]) / (edges[band + 1] - edges[band])
                down = (edges[band + 2] - at) / (edges[band + 2] - edges[band + 1])
                energy += magnitudes[number] * max(0.0, min(up, down))
            patch[row, band] = math.log(energy + 0.01)
    return patch


def test_a_patch_is_that_of_a_plain_loop() -> None:
    samples = np.random.default_rng(0).normal(size=16_000) * 0.1
    (patch,) = log_mel_patches(samples)
    np.testing.assert_allclose(patch, plain_patch(samples), atol=2e-3)


def test_a_tone_is_loudest_in_its_own_band() -> None:
    edges = np.linspace(mel(125.0), mel(7500.0), 66)
    (patch,) = log_mel_patches(np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000))
    band = int(patch.mean(0).argmax())
    assert edges[band] < mel(1000.0) < edges[band + 2]


@pytest.mark.parametrize(("samples", "patches"), [(0, 0), (399, 0), (15_599, 0), (15_600, 1)])
def test_less_than_a_patch_is_none(samples: int, patches: int) -> None:
    assert log_mel_patches(np.zeros(samples)).shape == (patches, 96, 64)


def test_a_long_sound_is_the_same_as_its_parts() -> None:
    # Patches begin every 96 * 160 samples; one alone needs 240 samples of the next.
    samples = np.random.default_rng(1).normal(size=16_000 * 150).astype(np.float32)
    found = log_mel_patches(samples)
    for number in (0, 124, 125, len(found) - 1):
        start = number * 96 * 160
        (alone,) = log_mel_patches(samples[start : start + 95 * 160 + 400])
        np.testing.assert_array_equal(found[number], alone)


def test_samples_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="samples: found NaN"):
        log_mel_patches(np.full(16_000, np.nan))
    with pytest.raises(ValueError, match=r"samples: found shape \(2, 16000\)"):
        log_mel_patches(np.zeros((2, 16_000)))


def test_statistics_are_each_bands_mean_and_spread() -> None:
    samples = np.random.default_rng(2).normal(size=40_000)
    patches = log_mel_patches(samples)
    expected = [np.concatenate([each.mean(axis=0), each.std(axis=0)]) for each in patches]
    np.testing.assert_allclose(sound_statistics(samples), expected, rtol=1e-5)
