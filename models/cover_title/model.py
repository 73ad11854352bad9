"""How popular a video becomes, from its cover and its title alone.

Shape letters:
    B  videos in a batch
    S  pixels of a cover's side
    K  tokens of a title
    F  features of either sub-network

Source: Qin, Wang and Zhu, Predicting video popularity based on covers and titles, section 2.2.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from limelight.models.cover_title.config import CoverTitleConfig
from limelight.models.cover_title.encoders import (
    VGG,
    TitleRNN,
    make_cover_encoder,
    make_title_encoder,
)
from limelight.models.cover_title.inputs import CoverTitleBatch


class CoverTitle(PreTrainedModel):  # type: ignore[misc]
    """Late fusion: a weighted sum of both sub-networks' features, then one layer (figure 1).

    A cover or title that is not there has features of its own, which are learned: `no_cover` and
    `no_title`. A sub-network whose weight is 0 is not built.
    """

    config_class = CoverTitleConfig
    base_model_prefix = "cover_title"
    main_input_name = "pixels"

    def __init__(self, config: CoverTitleConfig) -> None:
        super().__init__(config)
        size = config.feature_size
        self.cover_encoder: Any = None
        self.title_encoder: Any = None
        if config.cover_weight > 0:
            self.cover_encoder = make_cover_encoder(config.vision, config.cover_encoder)
            self.cover_head = nn.Linear(_output_size(self.cover_encoder), size)
            self.no_cover = nn.Parameter(torch.zeros(size))
        if config.cover_weight < 1:
            self.title_encoder = make_title_encoder(config.language, config.title_encoder)
            self.title_head = nn.Linear(_output_size(self.title_encoder), size)
            self.no_title = nn.Parameter(torch.zeros(size))
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(size, config.num_classes)
        self.post_init()

    def forward(self, batch: CoverTitleBatch) -> Tensor:
        """(B, classes) logits."""
        cover = title = None
        if self.cover_encoder is not None:
            cover = self.cover_features(batch.pixels)
        if self.title_encoder is not None:
            title = self.title_features(batch.token_ids, batch.token_mask)
        return self.fuse(cover, title, batch.has_cover, batch.has_title)

    def cover_features(self, pixels: Tensor) -> Tensor:
        """(B, F) of (B, 3, S, S)."""
        if isinstance(self.cover_encoder, VGG):
            seen = self.cover_encoder(pixels)
        else:
            seen = self.cover_encoder(pixels).last_hidden_state[:, 0]
        features: Tensor = self.cover_head(seen)
        return features

    def title_features(self, token_ids: Tensor, mask: Tensor) -> Tensor:
        """(B, F) of (B, K) tokens."""
        if isinstance(self.title_encoder, TitleRNN):
            read = self.title_encoder(token_ids, mask)
        else:
            read = self.title_encoder(token_ids, attention_mask=mask).pooler_output
        features: Tensor = self.title_head(read)
        return features

    def fuse(
        self, cover: Tensor | None, title: Tensor | None, has_cover: Tensor, has_title: Tensor
    ) -> Tensor:
        """(B, classes) logits of (B, F) features; None for a sub-network that is left out."""
        weight = self.config.cover_weight
        fused: Tensor | None = None
        if cover is not None:
            fused = weight * torch.where(has_cover[:, None], cover, self.no_cover)
        if title is not None:
            part = (1 - weight) * torch.where(has_title[:, None], title, self.no_title)
            fused = part if fused is None else fused + part
        assert fused is not None
        logits: Tensor = self.classifier(self.dropout(fused))
        return logits

    def _init_weights(self, module: nn.Module) -> None:
        """The sub-networks have set their own, and PyTorch's are kept for the rest."""


def _output_size(encoder: Any) -> int:
    return int(
        encoder.output_size if hasattr(encoder, "output_size") else encoder.config.hidden_size
    )
