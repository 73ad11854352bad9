"""Sound features without any weights: how loud each mel band is, and how much it changes.

As wide as VGGish's, 128 numbers a patch, so that a network of one takes the other's size.
"""

import numpy as np
from numpy.typing import NDArray

from limelight.models.audio.log_mel import MEL_BANDS, log_mel_patches

SOUND_STATISTICS = "log-mel-statistics"
SOUND_FEATURE_SIZE = 2 * MEL_BANDS


def sound_statistics(samples: NDArray[np.floating]) -> NDArray[np.float32]:
    """(P, 128) float32 a patch of 0.96 s: each band's mean and standard deviation of log energy.

    Args:
        samples: as `log_mel_patches`.
    """
    patches = log_mel_patches(samples)
    return np.concatenate([patches.mean(1), patches.std(1)], axis=1)
