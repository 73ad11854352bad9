"""The network that is trained: ContentCTR, alone over features or with its encoders under it."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from limelight.models.contentctr.losses import alignment_loss, pairwise_loss, pointwise_loss
from limelight.models.contentctr.model import ContentCTR
from limelight.models.training.sequences import Batch
from limelight.models.training.settings import LossSettings


class SegmentEncoders(nn.Module):
    """A frame and a text encoder that learn together with the network above them (eq. 2).

    Args:
        frames: a vision network of transformers.
        texts: a BERT-like network; token 0 pads.
        mean, std: of the pictures that `frames` expects, per channel.
        separator_id: the token that ends the speech and begins the comments.
    """

    def __init__(
        self,
        frames: PreTrainedModel,
        texts: PreTrainedModel,
        *,
        mean: Tensor,
        std: Tensor,
        separator_id: int,
    ) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.frames = frames
        self.texts = texts
        self.separator_id = separator_id
        self.register_buffer("mean", mean.view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", std.view(1, 3, 1, 1), persistent=False)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(B, S, F) and (B, S, T) features; zeros where nothing is present.

        While training, one of a segment's pictures stands for it, another each time; else the mean
        of their features, as when serving.
        """
        has_picture, has_text = batch.present.unbind(2)
        pictures = _never_none(batch.frame_features[has_picture])  # (n, P, height, width, 3)
        if self.training:
            chosen = torch.randint(pictures.shape[1], (len(pictures),))
            pictures = pictures[torch.arange(len(pictures)), chosen.to(pictures.device), None]
        features = self._pictures(pictures.flatten(0, 1)).view(*pictures.shape[:2], -1).mean(1)
        texts = self._texts(_never_none(batch.text_features[has_text]))
        return _spread(features, has_picture), _spread(texts, has_text)

    def _pictures(self, pictures: Tensor) -> Tensor:
        pixels = pictures.permute(0, 3, 1, 2).float() / 255
        output: Tensor = self.frames(pixel_values=(pixels - self.mean) / self.std).pooler_output
        return output

    def _texts(self, token_ids: Tensor) -> Tensor:
        longest = int((token_ids != 0).sum(1).amax())
        token_ids = token_ids[:, :longest].long()
        # Behind the first separator come the comments, of type 1.
        separators = (token_ids == self.separator_id).long()
        types = ((separators.cumsum(1) - separators) > 0).long() * (token_ids != 0)
        output = self.texts(
            input_ids=token_ids, attention_mask=token_ids != 0, token_type_ids=types
        )
        cls: Tensor = output.last_hidden_state[:, 0]
        return cls


@dataclass(frozen=True, slots=True)
class Losses:
    """Scalars; `total` is eq. 14. What has no weight is not computed and 0."""

    total: Tensor
    point: Tensor
    pair: Tensor
    align: Tensor


def weighted_losses(
    settings: LossSettings,
    logits: Tensor,
    ctr: Tensor,
    measured: Tensor,
    tokens: Tensor,
    present: Tensor,
) -> Losses:
    """Eq. 14 of logits, ctr and measured (B, S), tokens (B, S, K, C) and present (B, S, K)."""
    logits = logits.float()
    point = pair = align = logits.new_zeros(())
    if settings.point:
        point = pointwise_loss(logits, ctr, measured)
    if settings.pair:
        boundary, sigma = settings.boundary, settings.sigma
        pair = pairwise_loss(logits, ctr, measured, boundary=boundary, sigma=sigma)
    if settings.align:
        align = alignment_loss(tokens, present, reading=settings.reading)
    total = settings.point * point + settings.align * align + settings.pair * pair
    return Losses(total, point, pair, align)


class TrainedNetwork(nn.Module):
    """From a batch to its losses, in one `forward`, as parallel training wants it."""

    def __init__(
        self, contentctr: ContentCTR, loss: LossSettings, encoders: SegmentEncoders | None = None
    ) -> None:
        super().__init__()
        self.contentctr = contentctr
        self.encoders = encoders
        self._loss = loss

    def forward(self, batch: Batch) -> Losses:
        frame_features, text_features = self.features(batch)
        present = self.contentctr.used(batch.present)
        tokens = self.contentctr.tokens(frame_features.float(), text_features.float(), present)
        x = self.contentctr.fuse(tokens, batch.streamer_ids, present)
        logits = self.contentctr.decode(x)
        return weighted_losses(self._loss, logits, batch.ctr, batch.measured, tokens, present)

    def train(self, mode: bool = True) -> "TrainedNetwork":
        """Encoders that do not learn stay as they serve, without dropout."""
        super().train(mode)
        encoders = self.encoders
        if encoders is not None and not any(each.requires_grad for each in encoders.parameters()):
            encoders.eval()
        return self

    def features(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(B, S, F) and (B, S, T): the batch's own, or what the encoders make of it."""
        if self.encoders is None:
            return batch.frame_features, batch.text_features
        features: tuple[Tensor, Tensor] = self.encoders(batch)
        return features

    def logits(self, batch: Batch) -> Tensor:
        """(B, S) logits."""
        frames, texts = self.features(batch)
        found: Tensor = self.contentctr(
            frames.float(), texts.float(), batch.streamer_ids, batch.present
        )
        return found


def _spread(features: Tensor, where: Tensor) -> Tensor:
    """(B, S, C) with the first n features (n or one more, C) at the n places where `where` is."""
    spread = features.new_zeros(*where.shape, features.shape[-1])
    spread[where] = features[: int(where.sum())]
    return spread


def _never_none(inputs: Tensor) -> Tensor:
    """One row of ones in place of none at all, which no encoder takes; `_spread` drops it again."""
    return inputs if len(inputs) else inputs.new_ones(1, *inputs.shape[1:])
