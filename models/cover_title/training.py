"""Training of the cover and title network, and how well it does.

Source: Qin, Wang and Zhu, sections 2.2.2 and 3.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import BertTokenizer

from limelight.models.cover_title.config import CoverTitleConfig
from limelight.models.cover_title.encoders import VGG, pretrained_encoder
from limelight.models.cover_title.inputs import CoverTitleBatch, make_tokenizer, pixels, tokens
from limelight.models.cover_title.label import fit_label_scale, ordinal_accuracy
from limelight.models.cover_title.model import CoverTitle
from limelight.models.cover_title.settings import CoverTitleSettings
from limelight.models.cover_title.videos import TitledVideos
from limelight.models.training.trainer import StepSeen, train_on

_AT_ONCE = 128


@dataclass(frozen=True, slots=True)
class CoverTitleFigures:
    """`ordinal_accuracy` counts a neighbouring class for a half; `most_frequent` is what always
    saying one class, the best to say, would reach by it."""

    videos: int
    ordinal_accuracy: float
    accuracy: float
    cross_entropy: float
    most_frequent: float


@dataclass(frozen=True, slots=True)
class CoverTitleLosses:
    """A scalar: cross entropy of the class."""

    total: Tensor


@dataclass(frozen=True, slots=True)
class TrainedCoverTitle:
    """The best epoch's network, and its figures on what was held back."""

    model: CoverTitle
    tokenizer: BertTokenizer
    best: CoverTitleFigures
    best_epoch: int
    epochs: int
    steps: int


class VideoTensors:
    """Videos with their tokens and classes, of which batches are made."""

    def __init__(
        self, videos: TitledVideos, config: CoverTitleConfig, tokenizer: BertTokenizer
    ) -> None:
        self._config = config
        self.labels = torch.from_numpy(config.label_scale.classes(videos.counts))
        self._covers = None if videos.covers is None else torch.from_numpy(videos.covers)
        ids, mask, says = tokens(tokenizer, videos.titles, config.max_title_tokens)
        # Of one width for all batches, which micro-batches of a pipeline need.
        self._ids, self._mask, self.has_title = ids, mask, says
        self.has_cover = torch.full((len(videos),), videos.covers is not None)

    def __len__(self) -> int:
        return len(self.labels)

    def sum_of_tokens(self) -> int:
        return int(self._ids.sum())

    def batch(
        self, rows: Tensor, device: torch.device, hidden: Tensor | None = None
    ) -> CoverTitleBatch:
        """The videos of some rows.

        Args:
            hidden: (len(rows),) 1 where the cover is kept back, 2 where the title is.
        """
        config, count = self._config, len(rows)
        looks = config.cover_weight > 0
        square = torch.zeros(count, 3, 0, 0, device=device)
        if looks:
            size = config.image_size
            square = torch.zeros(count, 3, size, size, device=device)
            if self._covers is not None:
                covers = self._covers[rows].to(device)
                square = pixels(covers, size, config.image_mean, config.image_std)
        hidden = torch.zeros(count, dtype=torch.int64) if hidden is None else hidden
        return CoverTitleBatch(
            pixels=square,
            has_cover=(self.has_cover[rows] & (hidden != 1)).to(device),
            token_ids=self._ids[rows].to(device),
            token_mask=self._mask[rows].to(device),
            has_title=(self.has_title[rows] & (hidden != 2)).to(device),
            labels=self.labels[rows].to(device),
        )


class CoverTitleNetwork(nn.Module):
    """From a batch to its loss, in one `forward`."""

    def __init__(self, cover_title: CoverTitle) -> None:
        super().__init__()
        self.cover_title = cover_title

    def forward(self, batch: CoverTitleBatch) -> CoverTitleLosses:
        return CoverTitleLosses(cross_entropy(self.cover_title(batch).float(), batch.labels))


class CoverTitleTask:
    """Videos in a random order, judged by ordinal accuracy."""

    watches = "ordinal accuracy"

    def __init__(
        self,
        network: CoverTitleNetwork,
        training: VideoTensors,
        validation: VideoTensors,
        missing_modality_rate: float,
    ) -> None:
        self.network = network
        self._training = training
        self._validation = validation
        self._missing_rate = missing_modality_rate

    def cuts(self, generator: torch.Generator) -> Tensor:
        return torch.randperm(len(self._training), generator=generator)

    def batch(
        self, cuts: Tensor, generator: torch.Generator, device: torch.device
    ) -> CoverTitleBatch:
        draw = torch.rand(len(cuts), generator=generator)
        rate = self._missing_rate
        # Never both of one video; and with one modality alone there is nothing left to look at.
        hidden = (draw < rate).long() + 2 * (draw > 1 - rate).long()
        if not 0 < self.network.cover_title.config.cover_weight < 1:
            hidden = torch.zeros_like(hidden)
        return self._training.batch(cuts, device, hidden)

    def evaluate(self) -> CoverTitleFigures:
        return judge(self.network.cover_title, self._validation)

    def about(self) -> str:
        labels = self._training.labels
        counts = torch.bincount(labels).tolist()
        return (
            f"{len(labels)} videos, of each class {counts}, tokens {self._training.sum_of_tokens()}"
        )

    def watched(self, found: CoverTitleFigures) -> float:
        return found.ordinal_accuracy


def prepare(
    training: TitledVideos, validation: TitledVideos, settings: CoverTitleSettings
) -> tuple[CoverTitleTask, BertTokenizer]:
    """The network with its initial weights, and what it learns from.

    The scale of popularity is that of the training videos.

    Raises:
        ValueError: counts that give no label, a modality that none of the training videos has, or
            settings that make no network.
        OSError: an encoder or a tokenizer that cannot be loaded.
    """
    label = settings.label
    scale = fit_label_scale(training.counts, label.weights, label.thresholds)
    tokenizer = make_tokenizer(settings.tokenizer_name())
    config = settings.network_config(scale, len(tokenizer))
    torch.manual_seed(settings.seed)
    model = CoverTitle(config)
    load_pretrained(model)
    learned = VideoTensors(training, model.config, tokenizer)
    _check_present("cover", learned.has_cover, config.cover_weight, 0)
    _check_present("title", learned.has_title, 1 - config.cover_weight, 1)
    held_out = VideoTensors(validation, model.config, tokenizer)
    network = CoverTitleNetwork(model)
    return CoverTitleTask(network, learned, held_out, settings.missing_modality_rate), tokenizer


def train_cover_title(
    training: TitledVideos,
    validation: TitledVideos,
    settings: CoverTitleSettings,
    *,
    on_step: Callable[[StepSeen], None] = lambda seen: None,
    resume: bool = False,
) -> TrainedCoverTitle:
    """Train by the settings, in a pipeline if they say so; files as `train_on`'s.

    Raises:
        ValueError, OSError: as in `prepare`, `train_on` and `train_in_pipeline`.
    """
    task, tokenizer = prepare(training, validation, settings)
    if settings.pipeline_stages > 1:
        from limelight.models.cover_title.pipeline_training import train_in_pipeline

        trained = train_in_pipeline(task, settings, on_step=on_step, resume=resume)
    else:
        trained = train_on(task, settings, on_step=on_step, resume=resume)
    return TrainedCoverTitle(
        trained.network.cover_title,
        tokenizer,
        trained.best,
        trained.best_epoch,
        trained.epochs,
        trained.total_steps,
    )


def load_pretrained(model: CoverTitle) -> None:
    """Put in the published weights that the config names; it then holds their sizes too."""
    config = model.config
    for name, kind, encoder in (
        (config.cover_encoder_name, config.vision, "cover_encoder"),
        (config.title_encoder_name, config.language, "title_encoder"),
    ):
        own = getattr(model, encoder)
        if own is None or not name or kind not in ("vit", "bert"):
            continue
        found = pretrained_encoder(name, kind)
        if found.config.hidden_size != own.config.hidden_size:
            raise ValueError(
                f"network.{encoder}: found hidden_size {own.config.hidden_size}, expected"
                f" {name}'s {found.config.hidden_size}"
            )
        setattr(model, encoder, found)
        setattr(config, encoder, found.config.to_dict())
    if config.vgg_weights and isinstance(model.cover_encoder, VGG):
        model.cover_encoder.load(Path(config.vgg_weights))


@torch.inference_mode()
def predict(model: CoverTitle, videos: VideoTensors) -> NDArray[np.float64]:
    """(n, classes) logits."""
    was_training = model.training
    model.eval()
    found = [
        model(videos.batch(rows, model.device)).double().cpu()
        for rows in torch.split(torch.arange(len(videos)), _AT_ONCE)
    ]
    model.train(was_training)
    logits: NDArray[np.float64] = torch.cat(found).numpy()
    return logits


def judge(model: CoverTitle, videos: VideoTensors) -> CoverTitleFigures:
    """The figures of a network on videos whose popularity is known."""
    logits, labels = predict(model, videos), videos.labels
    true, predicted = labels.numpy(), logits.argmax(1)
    always = [ordinal_accuracy(np.full_like(true, each), true) for each in range(logits.shape[1])]
    return CoverTitleFigures(
        len(videos),
        ordinal_accuracy(predicted, true),
        float((predicted == true).mean()),
        float(cross_entropy(torch.from_numpy(logits), labels)),
        max(always),
    )


def _check_present(name: str, there: Tensor, weight: float, alternative: int) -> None:
    if weight > 0 and not bool(there.any()):
        raise ValueError(
            f"network.cover_weight: found {1 - weight if name == 'title' else weight:g}, but none"
            f" of the {len(there)} training videos has a {name}; expected {alternative}"
        )
