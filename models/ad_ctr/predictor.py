"""A trained ad network, asked about clips."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from limelight.models.ad_ctr.clips import ad_batch
from limelight.models.ad_ctr.config import FRAMES
from limelight.models.ad_ctr.model import AdCTR
from limelight.models.ad_ctr.prediction import predict


class AdPredictor:
    """Predicts one target: `ctr` or `play_rate`, as `target` says."""

    def __init__(self, model: AdCTR) -> None:
        self.model = model.eval()
        self.target = str(model.config.target)
        self.version = str(model.config.model_version)

    def predict(
        self,
        frames: NDArray[np.floating],
        sounds: NDArray[np.floating],
        lengths: NDArray[np.integer],
        categories: Sequence[str],
    ) -> NDArray[np.float64]:
        """(n,) rates in [0, 1]; of a network of classes the place between them, 0 to 1.

        Args:
            frames: (n, 8, V) of the whole clip for `ctr`, (n, 3, V) of its opening for `play_rate`.
            sounds: (n, P, A); past `lengths` of no meaning.
            lengths: (n,) patches of sound; 0 for a silent clip.
            categories: n names; "" and unmet ones are unknown.

        Raises:
            ValueError: another number of frames, or features of another size than the network's.
        """
        expected = FRAMES[self.target]
        if frames.ndim != 3 or frames.shape[1] != expected:
            raise ValueError(
                f"frames: found shape {frames.shape}, expected (n, {expected}, any) for"
                f" {self.target}"
            )
        found = predict(self.model, ad_batch(frames, sounds, lengths, categories, self.categories))
        if found.ndim == 1:
            return found
        place: NDArray[np.float64] = found @ np.linspace(0, 1, found.shape[1])
        return place

    @property
    def categories(self) -> list[str]:
        """The names that the network knows."""
        return list(self.model.config.categories)


def load_ad_ctr(folder: Path) -> AdPredictor:
    """The network in a folder that `limelight train` wrote.

    Raises:
        OSError, ValueError: there is none, or not a whole one.
    """
    return AdPredictor(AdCTR.from_pretrained(folder, use_safetensors=True))
