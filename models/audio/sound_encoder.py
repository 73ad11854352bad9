"""Sound encoders by name: statistics that need no weights, or VGGish with the weights of a file."""

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from limelight.models.audio.sound_statistics import (
    SOUND_FEATURE_SIZE,
    SOUND_STATISTICS,
    sound_statistics,
)


class SoundEncoder(Protocol):
    """From samples to features of patches of 0.96 s."""

    @property
    def encoder_id(self) -> str: ...

    @property
    def feature_size(self) -> int: ...

    def encode(self, samples: NDArray[np.floating]) -> NDArray[np.float32]:
        """(P, A) float32 of (n,) mono samples at 16 kHz in [-1, 1]; none for a silent clip."""


class _Statistics:
    encoder_id = SOUND_STATISTICS
    feature_size = SOUND_FEATURE_SIZE

    def encode(self, samples: NDArray[np.floating]) -> NDArray[np.float32]:
        return sound_statistics(samples)


def load_sound_encoder(name: str) -> SoundEncoder:
    """The encoder `log-mel-statistics`, or VGGish with the weights of a safetensors file.

    Raises:
        ValueError: weights that are not VGGish's.
        OSError: there is no such file.
    """
    if name == SOUND_STATISTICS:
        return _Statistics()
    from limelight.models.audio.vggish import load_vggish

    return load_vggish(Path(name))
