"""A trained MTAF, asked about videos: numpy, torch and the model's folder are all it takes."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from limelight.models.datasets.popularity_videos import PopularityVideos
from limelight.models.popularity.attributes import Attributes, load_attributes
from limelight.models.popularity.model import MTAF

_AT_ONCE = 1024


class Forecaster:
    """Forecasts by one model; safe for several threads, since nothing in it changes."""

    def __init__(self, model: MTAF, attributes: Attributes) -> None:
        self.model = model.eval()
        self.attributes = attributes

    def forecast(self, videos: PopularityVideos) -> NDArray[np.float64]:
        """(n,) expected scores, 0 or more, in the units of eq. 1.

        The network learns ln(1 + score) by squares, so this is what a typical such video reaches
        (a geometric mean); the arithmetic one lies higher, as a few videos run away.

        Raises:
            ValueError: features of other sizes than the model's, or a trend without its counts.
        """
        return np.expm1(np.maximum(self.log_forecast(videos), 0.0))

    @torch.inference_mode()
    def log_forecast(self, videos: PopularityVideos) -> NDArray[np.float64]:
        """(n,) forecasts of ln(1 + score), of any n.

        Raises:
            ValueError: as `forecast`.
        """
        found = []
        for start in range(0, len(videos), _AT_ONCE):
            some = videos
            if len(videos) > _AT_ONCE:
                some = videos.take(np.arange(start, min(start + _AT_ONCE, len(videos))))
            batch = self.attributes.batch(some, self.model.config)
            found.append(self.model(batch.to(self.model.device)).double().cpu().numpy())
        return np.concatenate(found)


def load_popularity(folder: Path) -> Forecaster:
    """The forecaster of a model that `limelight train` wrote.

    Raises:
        ValueError, OSError: the folder holds no whole model.
    """
    model = MTAF.from_pretrained(folder, use_safetensors=True)
    return Forecaster(model, load_attributes(folder))
