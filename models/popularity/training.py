"""Training MTAF: by squares of ln(1 + score) (eq. 2), judged on videos held back."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from limelight.models.datasets.popularity_videos import UNKNOWN, PopularityVideos
from limelight.models.popularity.attributes import Attributes, fit_attributes, rows_of
from limelight.models.popularity.figures import PopularityFigures, popularity_figures
from limelight.models.popularity.forecaster import Forecaster
from limelight.models.popularity.model import MTAF, PopularityBatch
from limelight.models.popularity.score import log_scores
from limelight.models.popularity.settings import PopularitySettings
from limelight.models.training.trainer import StepSeen, Trained, train_on


@dataclass(frozen=True, slots=True)
class PopularityLosses:
    """Mean squared error on the scale ln(1 + score) (eq. 2); L2 is the optimizer's."""

    total: Tensor


class PopularityNetwork(nn.Module):
    """From a batch to its loss, in one `forward`, as parallel training wants it."""

    def __init__(self, mtaf: MTAF) -> None:
        super().__init__()
        self.mtaf = mtaf

    def forward(self, batch: PopularityBatch) -> PopularityLosses:
        return PopularityLosses(nn.functional.mse_loss(self.mtaf(batch), batch.log_score))


class PopularityTask:
    """Videos in random order, judged by the mean squared error on others."""

    watches = "-MSE"

    def __init__(
        self,
        network: PopularityNetwork,
        attributes: Attributes,
        training: PopularityBatch,
        validation: PopularityVideos,
        settings: PopularitySettings,
    ) -> None:
        self.network = network
        self._attributes = attributes
        self._training = training
        self._validation = validation
        self._truth = log_scores(validation, settings.weights)
        self._settings = settings

    def cuts(self, generator: torch.Generator) -> Tensor:
        return torch.randperm(len(self._training.log_score), generator=generator)

    def batch(
        self, cuts: Tensor, generator: torch.Generator, device: torch.device
    ) -> PopularityBatch:
        return blurred(rows_of(self._training, cuts), self._settings, generator).to(device)

    def evaluate(self) -> PopularityFigures:
        was_training = self.network.training
        found = Forecaster(self.network.mtaf, self._attributes).log_forecast(self._validation)
        self.network.train(was_training)
        return popularity_figures(found, self._truth)

    def about(self) -> str:
        digest = blake2b(digest_size=8)
        for name in self._training.__slots__:
            digest.update(getattr(self._training, name).contiguous().numpy().tobytes())
        return digest.hexdigest()

    def watched(self, found: PopularityFigures) -> float:
        return -found.mse


def blurred(
    batch: PopularityBatch, settings: PopularitySettings, generator: torch.Generator
) -> PopularityBatch:
    """The batch with some contents, trends and categories hidden, as the settings' rates say."""

    def drawn(like: Tensor, rate: float) -> Tensor:
        return torch.rand(like.shape, generator=generator) < rate

    hidden_trend = drawn(batch.log_score, settings.missing_trend_rate)
    return replace(
        batch,
        present=batch.present & ~drawn(batch.present, settings.missing_modality_rate),
        trend_present=batch.trend_present & ~hidden_trend[:, None],
        categories=batch.categories.masked_fill(
            drawn(batch.categories, settings.unknown_category_rate), UNKNOWN
        ),
    )


def train_popularity(
    training: PopularityVideos,
    validation: PopularityVideos,
    settings: PopularitySettings,
    *,
    on_step: Callable[[StepSeen], None] = lambda seen: None,
    resume: bool = False,
) -> tuple[Forecaster, Trained[PopularityNetwork, PopularityFigures]]:
    """Train MTAF on some videos, and keep the epoch that does best on others.

    Files, `on_step` and `resume` as in `trainer.train_on`. Scales and vocabularies are those of
    `training` alone.

    Raises:
        ValueError: as `PopularitySettings.network_config`, `log_scores` and `train_on`.
    """
    truth: NDArray[np.float64] = log_scores(training, settings.weights)
    attributes = fit_attributes(training, settings.weights, settings.min_category_count)
    config = settings.network_config(training, attributes)
    if not config.trend_size:
        attributes = replace(attributes, trend_names=())
    torch.manual_seed(settings.seed)
    network = PopularityNetwork(MTAF(config))
    batch = attributes.batch(training, config, truth)
    network.mtaf.fit_scales(batch)
    task = PopularityTask(network, attributes, batch, validation, settings)
    trained = train_on(task, settings, on_step=on_step, resume=resume)
    return Forecaster(network.mtaf, attributes), trained
