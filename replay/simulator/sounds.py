"""The sound of a simulated clip: what goes on is heard, and how lively it is.

Speech is noise shaped four times a second, as syllables are; a dance has beats and a chord; an
empty room hums. The livelier a second, the louder and the brighter it is.
"""

import numpy as np
from numpy.typing import NDArray

from limelight.models.audio.log_mel import SAMPLE_RATE

_QUIETEST_DB, _LOUDEST_DB = -34.0, -8.0
_CHORD_HZ = (220.0, 277.2, 329.6)
_BEATS_A_SECOND = 2


def clip_sound(
    activity: str, liveliness: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float32]:
    """(n,) mono samples at 16 kHz in [-1, 1].

    Args:
        activity: one of the world's.
        liveliness: (S,) of each second, 0 the mean, 1 its standard deviation.
    """
    parts = [_second(activity, 1 / (1 + np.exp(-float(value))), rng) for value in liveliness]
    return np.clip(np.concatenate(parts), -1.0, 1.0).astype(np.float32)


def _second(activity: str, energy: float, rng: np.random.Generator) -> NDArray[np.float64]:
    time_s = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    noise = rng.normal(size=SAMPLE_RATE)
    # A one-pole low-pass: the livelier, the more of the high frequencies is left.
    bright = _smoothed(noise, round(2 + 14 * (1 - energy)))
    if activity == "idle":
        wave = 0.5 * np.sin(2 * np.pi * 100 * time_s) + 0.2 * bright
    elif activity == "dance":
        phase = (time_s * _BEATS_A_SECOND) % 1.0
        beat = np.exp(-12 * phase) * np.sin(2 * np.pi * 90 * time_s)
        chord = sum(np.sin(2 * np.pi * hertz * (1 + energy) * time_s) for hertz in _CHORD_HZ)
        wave = 1.2 * beat + 0.3 * chord + 0.2 * bright
    else:
        syllables = np.maximum(0.0, np.sin(2 * np.pi * (3 + 3 * energy) * time_s))
        wave = syllables * bright * 1.5
        if activity == "pk":
            wave = wave + 0.6 * bright * np.maximum(0.0, np.sin(2 * np.pi * 1.5 * time_s + 1))
    level_db = _QUIETEST_DB + (_LOUDEST_DB - _QUIETEST_DB) * energy
    loudness = np.sqrt(np.mean(wave**2)) + 1e-9
    scaled: NDArray[np.float64] = wave / loudness * 10 ** (level_db / 20)
    return scaled


def _smoothed(noise: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    totals = np.cumsum(np.concatenate([np.zeros(width), noise]))
    smooth: NDArray[np.float64] = (totals[width:] - totals[:-width]) / np.sqrt(width)
    return smooth
