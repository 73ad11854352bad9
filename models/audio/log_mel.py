"""Log-mel patches of sound, the one front end of every sound feature here.

The constants are those of VGGish: 16 kHz mono, windows of 25 ms every 10 ms, 64 mel bands from 125
to 7,500 Hz, log(mel + 0.01), 96 windows (0.96 s) a patch without overlap.

Source: Hershey et al., CNN architectures for large-scale audio classification (2017), section 2;
the mel scale is HTK's, 1127 ln(1 + f / 700), as in the published feature extraction.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
PATCH_WINDOWS = 96
MEL_BANDS = 64
PATCH_SECONDS = 0.96

_WINDOW, _HOP, _FFT = 400, 160, 512
_LOWEST_HZ, _HIGHEST_HZ = 125.0, 7_500.0
_LOG_OFFSET = 0.01
# Two of their windows of a minute: a long clip never takes more memory than that at once.
_WINDOWS_AT_ONCE = 12_000

Floats = NDArray[np.float32]


def log_mel_patches(samples: NDArray[np.floating]) -> Floats:
    """(P, 96, 64) float32: one patch for each 0.96 s of sound; none for less than one.

    Args:
        samples: (n,) mono at 16 kHz in [-1, 1].

    Raises:
        ValueError: another shape, or samples that are not finite.
    """
    if samples.ndim != 1:
        raise ValueError(f"samples: found shape {samples.shape}, expected (n,) mono")
    if not np.isfinite(samples).all():
        raise ValueError("samples: found NaN or infinity, expected numbers in [-1, 1]")
    windows = 1 + (len(samples) - _WINDOW) // _HOP if len(samples) >= _WINDOW else 0
    patches = windows // PATCH_WINDOWS
    if not patches:
        return np.empty((0, PATCH_WINDOWS, MEL_BANDS), np.float32)
    used = np.ascontiguousarray(samples, np.float32)
    framed = np.lib.stride_tricks.sliding_window_view(used, _WINDOW)[::_HOP]
    parts = []
    for at in range(0, patches * PATCH_WINDOWS, _WINDOWS_AT_ONCE):
        some = framed[at : min(at + _WINDOWS_AT_ONCE, patches * PATCH_WINDOWS)] * _hann()
        spectrum = np.abs(np.fft.rfft(some, _FFT)).astype(np.float32)
        parts.append(np.log(spectrum @ _mel_matrix() + _LOG_OFFSET))
    return np.concatenate(parts).reshape(patches, PATCH_WINDOWS, MEL_BANDS)


@cache
def _hann() -> Floats:
    # The periodic window: one of 401 points without its last.
    window = 0.5 - 0.5 * np.cos(2 * np.pi / _WINDOW * np.arange(_WINDOW))
    single: Floats = window.astype(np.float32)
    return single


@cache
def _mel_matrix() -> Floats:
    """(257, 64): how much of each frequency of the spectrum falls into each band."""
    frequencies = _mel(np.linspace(0.0, SAMPLE_RATE / 2, _FFT // 2 + 1))
    lowest, highest = _mel(np.array([_LOWEST_HZ, _HIGHEST_HZ]))
    edges = np.linspace(lowest, highest, MEL_BANDS + 2)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rising = (frequencies[:, None] - low) / (centre - low)
    falling = (high - frequencies[:, None]) / (high - centre)
    matrix = np.maximum(0.0, np.minimum(rising, falling))
    matrix[0] = 0.0  # the constant part of the signal is in no band
    single: Floats = matrix.astype(np.float32)
    return single


def _mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    mels: NDArray[np.float64] = 1_127.0 * np.log1p(hertz / 700.0)
    return mels
