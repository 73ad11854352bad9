"""A clip's CTR or 3-second play rate, from its frames, its sound and its category alone.

Shape letters:
    B  clips in a batch
    F  frames: 8 for the CTR, 3 for the play rate
    P  patches of 0.96 s of sound
    V  features of a frame, A of a patch

Source: Self-organizing framework for user behaviour prediction of UGV advertisements, section 4.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from transformers import PreTrainedModel

from limelight.models.ad_ctr.config import AdCTRConfig
from limelight.models.ad_ctr.fusion import make_fusion

UNKNOWN_CATEGORY = 0


@dataclass(frozen=True, slots=True)
class AdBatch:
    """B clips.

    Args:
        frames: (B, F, V) float.
        sounds: (B, P, A) float, of no meaning from `lengths` on.
        lengths: (B,) int64 in [0, P]; 0 for a silent clip.
        categories: (B,) int64; 0 for unknown, else one more than the place in the config's names.
        rates: (B,) float in [0, 1], what is to be predicted; empty where nobody knows.
    """

    frames: Tensor
    sounds: Tensor
    lengths: Tensor
    categories: Tensor
    rates: Tensor

    def to(self, device: torch.device) -> "AdBatch":
        return AdBatch(
            self.frames.to(device),
            self.sounds.to(device),
            self.lengths.to(device),
            self.categories.to(device),
            self.rates.to(device),
        )

    def rows(self, places: Tensor) -> "AdBatch":
        """The clips at some places."""
        return AdBatch(
            self.frames[places],
            self.sounds[places],
            self.lengths[places],
            self.categories[places],
            self.rates[places] if len(self.rates) else self.rates,
        )


class SoundNetwork(nn.Module):
    """One embedding of a clip's sound: FC, a one-way LSTM, self-attention (section 4.2).

    Left open there and decided here: one attention head, and the mean over the patches behind it. A
    silent clip has an embedding of its own, which is learned.
    """

    def __init__(self, audio_size: int, size: int) -> None:
        super().__init__()
        self.dense = nn.Linear(audio_size, size)
        self.lstm = nn.LSTM(size, size, batch_first=True)
        self.attention = nn.MultiheadAttention(size, 1, batch_first=True)
        self.silence = nn.Parameter(torch.zeros(size))

    def forward(self, sounds: Tensor, lengths: Tensor) -> Tensor:
        """(B, E) of (B, P, A) and how many of the P count."""
        batch, patches = sounds.shape[:2]
        if not patches:
            return self.silence.expand(batch, -1)
        heard = torch.arange(patches, device=sounds.device) < lengths[:, None]
        dense = self.dense(sounds.masked_fill(~heard[..., None], 0.0)).relu()
        hidden, _ = self.lstm(dense)
        # A row without any key would be NaN: a silent clip looks at its first patch, in vain.
        hidden_keys = ~heard
        hidden_keys[:, 0] = False
        mixed, _ = self.attention(
            hidden, hidden, hidden, key_padding_mask=hidden_keys, need_weights=False
        )
        total = mixed.masked_fill(~heard[..., None], 0.0).sum(1)
        mean = total / lengths.clamp(min=1)[:, None]
        return torch.where(lengths[:, None] > 0, mean, self.silence)


class AdCTR(PreTrainedModel):  # type: ignore[misc]
    """The whole network; `fusion` is the part whose topology is learned."""

    config_class = AdCTRConfig
    base_model_prefix = "ad_ctr"
    main_input_name = "frames"

    def __init__(self, config: AdCTRConfig) -> None:
        super().__init__(config)
        size = config.embedding_size
        self.visual = nn.Linear(config.visual_size, size)
        self.sound = SoundNetwork(config.audio_size, size)
        self.dropout = nn.Dropout(config.dropout)
        self.num_categories = len(config.categories)
        inputs = 2 * size + self.num_categories
        self.fusion = make_fusion(
            config.fusion, inputs, config.conv_channels, config.trimmed_channels, config.outputs
        )
        self.post_init()
        if config.outputs == 1:
            # Rates are small: the network begins at their mean instead of a half.
            head = self.fusion.head
            assert isinstance(head, nn.Linear)
            nn.init.constant_(head.bias, math.log(config.mean_rate / (1 - config.mean_rate)))

    def forward(self, batch: AdBatch) -> Tensor:
        """(B, 1) the rate's logit, or (B, 5) the classes' logits.

        Raises:
            ValueError: features of another size than the config's.
        """
        self._check_shapes(batch)
        frames = self.visual(batch.frames).relu()
        sound = self.sound(batch.sounds, batch.lengths)
        # One more class than there are names; the first, unknown, is no channel.
        category = one_hot(batch.categories, self.num_categories + 1)[:, 1:].to(frames.dtype)
        count = frames.shape[1]
        embeddings = torch.cat(
            [
                frames,
                sound[:, None].expand(-1, count, -1),
                category[:, None].expand(-1, count, -1),
            ],
            dim=2,
        )
        found: Tensor = self.fusion(self.dropout(embeddings).transpose(1, 2))
        return found

    def _check_shapes(self, batch: AdBatch) -> None:
        for name, tensor, size in (
            ("frames", batch.frames, self.config.visual_size),
            ("sounds", batch.sounds, self.config.audio_size),
        ):
            if tensor.dim() != 3 or tensor.shape[2] != size:
                found = tuple(tensor.shape)
                raise ValueError(f"{name}: found {found}, expected (B, any, {size})")

    def _init_weights(self, module: nn.Module) -> None:
        """PyTorch's own initial weights are kept: those of the config's base class suit no LSTM."""
