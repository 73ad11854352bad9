"""Comment energy of windows: the score while no network has been trained."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from limelight.engine.window import Window
from limelight.kernels.energy import comment_energy

# One more voice in a silent room stays below the detector's floor: (1.1 + 3) / (1.1 + 6) = 0.577.
MAX_WEIGHT_A_USER = 1.1


def energies(windows: Sequence[Window]) -> NDArray[np.float64]:
    """(B,) energies of the windows' newest segments, each against the window's older ones.

    A segment's comments count as if all had come at its end, the grain at which windows know them.
    However much its users write, they weigh at most `MAX_WEIGHT_A_USER` each on the average: what
    counts is how many people speak, for one can write a thousand comments.

    Raises:
        ValueError: segments out of order, or weights that are negative or not finite.
    """
    return np.array([_energy(window) for window in windows], np.float64)


def _energy(window: Window) -> float:
    segment_ms = window.segment_ms
    ends_ms = [segment.start_ms + segment_ms for segment in window.segments]
    energy = comment_energy(
        ends_ms,
        [ends_ms[-1]],
        weights=[
            min(segment.comment_weight, MAX_WEIGHT_A_USER * segment.user_count)
            for segment in window.segments
        ],
        short_ms=segment_ms,
        long_ms=max(1, len(ends_ms) - 1) * segment_ms,
        first_ms=window.segments[0].start_ms,
    )
    return float(energy[0])
