"""ContentCTR-HL on PHD: trained on pieces of videos that hold a highlight, judged on whole videos.

Source: ContentCTR (Deng et al., 2023), sections 4.1.2, 4.3 and 4.8.
"""

from collections.abc import Callable, Iterable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from limelight.models.contentctr.config import HIGHLIGHT_MODALITIES, ContentCTRConfig
from limelight.models.contentctr.highlight_model import ContentCTRHL
from limelight.models.datasets.phd import PHDFigures, evaluate_phd
from limelight.models.datasets.phd_examples import PIECE_FRAMES, PHDExample, PHDExamples
from limelight.models.training.highlight_pieces import (
    HighlightBatch,
    HighlightPieces,
    blurred_pieces,
    highlight_batch,
)
from limelight.models.training.network import Losses, weighted_losses
from limelight.models.training.settings import LossSettings, TrainingSettings
from limelight.models.training.trainer import StepSeen, Trained, train_on


class HighlightLossSettings(LossSettings):
    """Pointwise and alignment loss only. The paper gives no weights here; these are KLive's."""

    pair: float = Field(0.0, ge=0)


class HighlightSettings(TrainingSettings):
    """One run on PHD. The defaults are the paper's (section 4.3.2).

    `sequence_length` is the number of frames n of Table 5: a piece in training and in testing, and
    the network's `window_length`. `unknown_streamer_rate` says how often a user's history is
    forgotten. `data` and `fine_tune_encoders` have no meaning here.
    """

    loss: HighlightLossSettings = HighlightLossSettings()

    sequence_length: int = Field(PIECE_FRAMES, ge=2)
    batch_size: int = Field(8, ge=1, description="of all processes together")
    epochs: int = Field(20, ge=1)
    schedule: Literal["constant", "cosine"] = "cosine"

    def highlight_config(self, frame_feature_size: int, text_feature_size: int) -> ContentCTRConfig:
        """The preset for features of these sizes.

        Raises:
            ValueError: as `network_config`, or `network` names a size that is given elsewhere.
        """
        given = {
            "frame_feature_size": frame_feature_size,
            "text_feature_size": text_feature_size,
            "window_length": self.sequence_length,
        }
        for name, size in given.items():
            if self.network.get(name, size) != size:
                raise ValueError(f"network.{name}: found {self.network[name]}, expected {size}")
        modalities = self.network.get("modalities", HIGHLIGHT_MODALITIES)
        return self.network_config(**given, modalities=modalities)


class HighlightNetwork(nn.Module):
    """From a batch to its losses, in one `forward`, as parallel training wants it."""

    def __init__(self, contentctr_hl: ContentCTRHL, loss: LossSettings) -> None:
        super().__init__()
        self.contentctr_hl = contentctr_hl
        self._loss = loss

    def forward(self, batch: HighlightBatch) -> Losses:
        model = self.contentctr_hl
        present = model.used(batch.present) & batch.frame_mask[..., None]
        tokens = model.tokens(batch.frame_features, batch.text_features, present)
        x = model.fuse(tokens, model.users(batch.history, batch.history_mask), present)
        logits = model.decode(x, batch.frame_mask)
        return weighted_losses(
            self._loss, logits, batch.is_highlight, batch.frame_mask, tokens, present
        )


class HighlightTask:
    """Pieces of videos to learn from, judged by the mAP (not interpolated) of whole videos."""

    watches = "mAP"

    def __init__(
        self,
        network: HighlightNetwork,
        training: HighlightPieces,
        validation: Iterable[PHDExample],
        settings: HighlightSettings,
    ) -> None:
        self.network = network
        self._training = training
        self._validation = validation
        self._settings = settings

    def cuts(self, generator: torch.Generator) -> Tensor:
        return torch.randperm(len(self._training), generator=generator)

    def batch(
        self, cuts: Tensor, generator: torch.Generator, device: torch.device
    ) -> HighlightBatch:
        return blurred_pieces(
            self._training.batch(cuts),
            unknown_user_rate=self._settings.unknown_streamer_rate,
            missing_modality_rate=self._settings.missing_modality_rate,
            generator=generator,
        ).to(device)

    def evaluate(self) -> PHDFigures:
        return evaluate_highlights(self.network.contentctr_hl, self._validation)

    def about(self) -> str:
        return self._training.fingerprint()

    def watched(self, found: PHDFigures) -> float:
        return found.mean_average_precision


def train_highlights(
    training: PHDExamples,
    validation: PHDExamples,
    settings: HighlightSettings,
    *,
    on_step: Callable[[StepSeen], None] = lambda seen: None,
    resume: bool = False,
) -> Trained[HighlightNetwork, PHDFigures]:
    """Train ContentCTR-HL on some users, and keep the epoch that does best on others.

    Files, `on_step` and `resume` as in `trainer.train`; `StepSeen.watched` is the validation's mAP.
    PHD has no validation users: hold back some of its training users, since the best of twenty
    epochs on the test users would be their figure no more.

    Args:
        training: all their pieces with a highlight are loaded into memory.
        validation: read anew from disk for each epoch.

    Raises:
        ValueError: no piece with a highlight, no validation users, features of other sizes than in
            training, or as in `trainer.train`.
        MalformedDataset: a feature file that cannot be read.
    """
    pieces = HighlightPieces(training.training_pieces(settings.sequence_length))
    first = next(iter(validation), None)
    if first is None:
        raise ValueError("validation: found no users with features, expected at least one")
    config = settings.highlight_config(pieces.frame_feature_size, pieces.text_feature_size)
    _check_sizes(first, config)
    torch.manual_seed(settings.seed)
    network = HighlightNetwork(ContentCTRHL(config), settings.loss)
    task = HighlightTask(network, pieces, validation, settings)
    return train_on(task, settings, on_step=on_step, resume=resume)


def evaluate_highlights(model: ContentCTRHL, examples: Iterable[PHDExample]) -> PHDFigures:
    """mAP over users, each by the whole of his video.

    Raises:
        ValueError: no examples, or features that do not fit the model.
    """
    truths, scores = [], []
    for example in examples:
        truths.append(example.is_highlight)
        scores.append(highlight_probabilities(model, example))
    return evaluate_phd(truths, scores)


@torch.no_grad()
def highlight_probabilities(
    model: ContentCTRHL, example: PHDExample, pieces_at_once: int = 8
) -> NDArray[np.float64]:
    """(N,) in [0, 1]: how probably the user chooses each frame of his video.

    A video of more than `window_length` frames is scored in pieces that follow each other, as it
    was trained; the last one begins earlier so that it is as long, and only frames without a
    probability get one from it. 500 frames: 0 to 191, 192 to 383, 308 to 499 for 384 to 499.

    Raises:
        ValueError: features that do not fit the model.
    """
    _check_sizes(example, model.config)
    was_training = model.training
    model.eval()
    total, length = len(example.times_s), int(model.config.window_length)
    starts = [max(0, min(at, total - length)) for at in range(0, total, length)]
    found = np.empty(total)
    for at in range(0, len(starts), pieces_at_once):
        some = starts[at : at + pieces_at_once]
        pieces = [example.piece(start, start + length) for start in some]
        batch = highlight_batch(pieces, model.config.text_feature_size).to(model.device)
        logits = model(
            batch.frame_features,
            batch.text_features,
            batch.history,
            batch.present,
            batch.frame_mask,
            batch.history_mask,
        )
        # Float64 before the sigmoid: in float32 logits above 17 would all become 1.
        for number, row in enumerate(logits.double().sigmoid().cpu().numpy(), start=at):
            new = slice(number * length, min((number + 1) * length, total))
            found[new] = row[new.start - starts[number] :]
    model.train(was_training)
    return found


def _check_sizes(example: PHDExample, config: ContentCTRConfig) -> None:
    frame_size, text_size = example.frame_features.shape[1], example.text_features.shape[1]
    if frame_size != config.frame_feature_size or text_size not in (0, config.text_feature_size):
        found = f"frame and text features of {frame_size} and {text_size} numbers"
        expected = f"{config.frame_feature_size} and {config.text_feature_size}"
        raise ValueError(f"user {example.user_id}: found {found}, expected {expected}")
