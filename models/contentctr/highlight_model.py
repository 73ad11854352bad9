"""ContentCTR-HL: which frames of a video one user would choose as its highlights.

Shape letters as in `model.py`, where a room is here a video for one user and a segment a frame:
    S  frames of a piece of video; at most `window_length`, 192 in the paper
    R  frames of a user's history, each a highlight he chose earlier; 20 in the paper

Source: ContentCTR (Deng et al., 2023), section 4.3.1. Left open there and decided here: the
"user history feature" is the mean of proj_1 over the history's frames.
"""

from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from limelight.models.contentctr.attention import DecoderLayer
from limelight.models.contentctr.config import HIGHLIGHT_MODALITIES, ContentCTRConfig
from limelight.models.contentctr.fusion import make_fusion
from limelight.models.contentctr.model import (
    calibrated,
    check_shapes,
    fuse_segments,
    init_weights,
    modality_tokens,
    projection_head,
    used_modalities,
)


class ContentCTRHL(PreTrainedModel):  # type: ignore[misc]
    """ContentCTR with a user's history in the streamer's place, and every frame seeing all others.

    As in ContentCTR there is no positional embedding, and no mask tells before from after: frames
    in another order get the same probabilities in that order. The config's `num_streamers` has no
    meaning here.

    Raises:
        ValueError: the config's modalities are not some of `HIGHLIGHT_MODALITIES`.
    """

    config_class = ContentCTRConfig
    base_model_prefix = "contentctr_hl"
    main_input_name = "frame_features"
    _supports_sdpa = True

    def __init__(self, config: ContentCTRConfig) -> None:
        super().__init__(config)
        config.check_modalities(HIGHLIGHT_MODALITIES)
        self.proj_1 = projection_head(config.frame_feature_size, config.hidden_size)
        self.proj_2 = projection_head(config.text_feature_size, config.hidden_size)
        self.unknown_user = nn.Embedding(1, config.hidden_size)
        self.perceiver = make_fusion(config)
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.num_decoder_layers))
        self.final_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.head = nn.Linear(config.hidden_size, 1)
        self.post_init()

    def forward(
        self,
        frame_features: Tensor,
        text_features: Tensor,
        history: Tensor,
        present: Tensor,
        frame_mask: Tensor,
        history_mask: Tensor,
    ) -> Tensor:
        """Logits (B, S); sigmoid of a logit is the probability that the user chooses the frame.

        Args:
            frame_features: (B, S, F) float.
            text_features: (B, S, T) float; the [CLS] feature of the caption.
            history: (B, R, F) float; R may be 0.
            present: (B, S, K) bool; False where a frame has no picture, no caption. What the
                masked feature holds is then never looked at.
            frame_mask: (B, S) bool; False behind a video's end, where the logits mean nothing.
            history_mask: (B, R) bool; all False for a user without history.

        Raises:
            ValueError: a shape does not fit the others or the config, or S is above
                `window_length`.
        """
        self._check_shapes(
            frame_features, text_features, history, present, frame_mask, history_mask
        )
        present = self.used(present) & frame_mask[..., None]
        tokens = self.tokens(frame_features, text_features, present)
        x = self.fuse(tokens, self.users(history, history_mask), present)
        return self.decode(x, frame_mask)

    def probabilities(
        self,
        frame_features: Tensor,
        text_features: Tensor,
        history: Tensor,
        present: Tensor,
        frame_mask: Tensor,
        history_mask: Tensor,
    ) -> Tensor:
        """(B, S) in [0, 1], of the same arguments as `forward`."""
        logits = self.forward(
            frame_features, text_features, history, present, frame_mask, history_mask
        )
        return logits.sigmoid()

    def tokens(self, frame_features: Tensor, text_features: Tensor, present: Tensor) -> Tensor:
        """(B, S, K, C): S_p and S_a of eq. 2, picture first; zero features where masked."""
        return modality_tokens((self.proj_1, self.proj_2), frame_features, text_features, present)

    def used(self, present: Tensor) -> Tensor:
        """`present` without the modalities that the config leaves out."""
        return used_modalities(present, self.config.modalities)

    def users(self, history: Tensor, history_mask: Tensor) -> Tensor:
        """(B, C): the user history features, and a learned vector for users without history."""
        if "history" not in self.config.modalities:
            history_mask = torch.zeros_like(history_mask)
        projected = self.proj_1(history.masked_fill(~history_mask[..., None], 0.0))  # (B, R, C)
        weights = history_mask[..., None].to(projected.dtype)
        means = (projected * weights).sum(1) / weights.sum(1).clamp(min=1)
        return torch.where(history_mask.any(1, keepdim=True), means, self.unknown_user.weight)

    def fuse(self, tokens: Tensor, users: Tensor, present: Tensor) -> Tensor:
        """(B, S, C) of tokens (B, S, K, C) and users (B, C): each frame by itself."""
        return fuse_segments(self.perceiver, users, tokens, present)

    def decode(self, x: Tensor, frame_mask: Tensor) -> Tensor:
        """Logits (B, S) of x (B, S, C): algorithm 2, every frame seeing all frames of its video."""
        # A row of only False has no defined softmax; its logits mean nothing anyway.
        visible = frame_mask | ~frame_mask.any(1, keepdim=True)
        for layer in self.decoder_layers:
            x = layer(x, visible[:, None, None])  # (B, S) -> (B, 1, 1, S)
        return self.logits(x)

    @property
    def decoder_layers(self) -> list[DecoderLayer]:
        return cast(list[DecoderLayer], list(self.decoder))

    def logits(self, x: Tensor) -> Tensor:
        """(B, S) of the last decoder layer's output (B, S, C), calibrated as the config says."""
        return calibrated(self.head(self.final_norm(x)).squeeze(-1), self.config)

    def _check_shapes(
        self,
        frame_features: Tensor,
        text_features: Tensor,
        history: Tensor,
        present: Tensor,
        frame_mask: Tensor,
        history_mask: Tensor,
    ) -> None:
        config, shape = self.config, tuple(present.shape[:2])
        remembered = (*shape[:1], history.shape[1] if history.dim() == 3 else 0)
        check_shapes(
            present,
            frame_features=(frame_features, (*shape, config.frame_feature_size)),
            text_features=(text_features, (*shape, config.text_feature_size)),
            history=(history, (*remembered, config.frame_feature_size)),
            frame_mask=(frame_mask, shape),
            history_mask=(history_mask, remembered),
        )
        for name, mask in (("frame_mask", frame_mask), ("history_mask", history_mask)):
            if mask.dtype != torch.bool:
                raise ValueError(f"{name}: found {mask.dtype}, expected bool")
        if shape[1] > config.window_length:
            raise ValueError(f"frames: found {shape[1]}, expected at most {config.window_length}")

    def _init_weights(self, module: nn.Module) -> None:
        init_weights(module)
