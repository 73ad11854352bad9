"""MTAF: how popular a video becomes, from its attributes, contents and first days.

Shape letters: B videos, D days of the early trend, V counts a day, P numeric and C categorical
attributes, M modalities, H hidden size.

Source: MTAF (Ou et al., 2022), sections 2.3 and 2.4 and figure 4. Left open there and decided here:
attention is additive, over a video's days and then over its modalities; a modality's vector is
multiplied by its weight and M, and the M vectors are put side by side, so that without attention
(MTAF-Att) the same layers see them unweighted. Of the three dense layers the first is that of each
modality and two make the score.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import PreTrainedModel

from limelight.models.popularity.config import PopularityConfig

_CONTENT = {"T": "text", "A": "audio", "V": "vision"}
_SMALLEST_STD = 1e-3


@dataclass(frozen=True, slots=True)
class PopularityBatch:
    """Inputs as `PopularityVideos` has them, counts not yet scaled, and the true log score or NaN.

    Args:
        text, audio, vision: (B, size) float32.
        present: (B, 3) bool.
        numbers: (B, P) float32, NaN where unknown.
        categories: (B, C) int64.
        trend: (B, D, V) float32.
        trend_present: (B, D) bool.
        log_score: (B,) float32.
    """

    text: Tensor
    audio: Tensor
    vision: Tensor
    present: Tensor
    numbers: Tensor
    categories: Tensor
    trend: Tensor
    trend_present: Tensor
    log_score: Tensor

    def to(self, device: torch.device) -> "PopularityBatch":
        return PopularityBatch(*(getattr(self, name).to(device) for name in self.__slots__))


class AdditiveAttention(nn.Module):
    """Weights of some vectors, by a learned vector that looks at each of them."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.project = nn.Linear(size, size)
        self.ask = nn.Linear(size, 1, bias=False)

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        """(B, M) weights that sum to 1 over what is present; all 0 where nothing is.

        Args:
            vectors: (B, M, size).
            present: (B, M) bool.
        """
        energies: Tensor = self.ask(torch.tanh(self.project(vectors))).squeeze(-1)
        # A row of only minus infinity has no softmax.
        lowest = torch.finfo(energies.dtype).min
        weights = energies.masked_fill(~present, lowest).softmax(-1)
        return weights * present


class TrendEncoder(nn.Module):
    """One vector of a video's known days: a recurrent network both ways, attention over days."""

    def __init__(self, config: PopularityConfig) -> None:
        super().__init__()
        kind = nn.GRU if config.recurrent == "gru" else nn.LSTM
        # The day's number goes with its counts: a day may be missing between two others.
        self.recurrent = kind(
            config.trend_size + 1, config.recurrent_size // 2, batch_first=True, bidirectional=True
        )
        self.attention = AdditiveAttention(config.recurrent_size) if config.attention else None

    def forward(self, trend: Tensor, present: Tensor) -> Tensor:
        """(B, recurrent_size); of a video without a known day it means nothing.

        Args:
            trend: (B, D, V) scaled counts.
            present: (B, D) bool.
        """
        days = present.shape[1]
        number = torch.arange(1, days + 1, device=trend.device, dtype=trend.dtype).log()
        trend = torch.cat([trend, number[None, :, None].expand(len(trend), -1, -1)], dim=2)
        # Known days to the front, in their order: the network runs over these alone.
        order = (~present).to(torch.int8).argsort(dim=1, stable=True)
        trend = trend.gather(1, order[..., None].expand_as(trend))
        known = present.gather(1, order)
        lengths = known.sum(1).clamp(min=1).cpu()
        packed = pack_padded_sequence(trend, lengths, batch_first=True, enforce_sorted=False)
        packed_outputs, last = self.recurrent(packed)
        if self.attention is None:
            state: Tensor = last[0] if isinstance(last, tuple) else last
            return state.transpose(0, 1).flatten(1)  # (2, B, R/2) -> (B, R)
        outputs, _ = pad_packed_sequence(packed_outputs, batch_first=True, total_length=days)
        weights: Tensor = self.attention(outputs, known)
        summed: Tensor = (weights[..., None] * outputs).sum(1)
        return summed


class MTAF(PreTrainedModel):  # type: ignore[misc]
    """The network, with the scales that its inputs and its score were fitted to."""

    config_class = PopularityConfig
    base_model_prefix = "mtaf"
    main_input_name = "numbers"

    def __init__(self, config: PopularityConfig) -> None:
        super().__init__(config)
        hidden, listed = config.hidden_size, config.modalities
        self.dense = nn.ModuleDict()
        for modality in listed:
            self.dense[modality] = _dense(self._width(modality), hidden, config.dropout)
        self.norms = nn.ModuleDict(
            {each: nn.LayerNorm(config.size_of(each)) for each in listed if each in _CONTENT}
        )
        if "N" in listed:
            self.embeddings = nn.ModuleList(
                nn.Embedding(size, config.embedding_size) for size in config.category_sizes
            )
        if "S" in listed:
            self.trend_encoder = TrendEncoder(config)
        self.attention = AdditiveAttention(hidden) if config.attention else None
        self.head = nn.Sequential(
            *_dense(len(listed) * hidden, hidden, config.dropout), nn.Linear(hidden, 1)
        )
        for name, size in (
            ("number", config.num_numbers),
            ("trend", config.trend_size),
            ("score", 1),
        ):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_std", torch.ones(size))
        self.post_init()

    def forward(self, batch: PopularityBatch) -> Tensor:
        """(B,) forecast of ln(1 + score)."""
        vectors, present = [], []
        for modality in self.config.modalities:
            vector, known = self._vector(modality, batch)
            dense: Tensor = self.dense[modality](vector)
            vectors.append(dense.masked_fill(~known[:, None], 0.0))
            present.append(known)
        stacked, known = torch.stack(vectors, 1), torch.stack(present, 1)  # (B, M, H), (B, M)
        if self.attention is not None:
            stacked = stacked * (self.attention(stacked, known) * known.shape[1])[..., None]
        out: Tensor = self.head(stacked.flatten(1)).squeeze(-1)
        log_score: Tensor = out.float() * self.score_std + self.score_mean
        return log_score

    @torch.no_grad()
    def fit_scales(self, batch: PopularityBatch) -> None:
        """Take means and deviations of log counts from all of the training videos.

        What nobody knows, or is the same everywhere, is left as it is but for its mean.
        """
        known_days = batch.trend[batch.trend_present]
        for name, values in (
            ("number", batch.numbers.log1p()),
            ("trend", known_days.log1p()),
            ("score", batch.log_score[:, None]),
        ):
            for column in range(values.shape[1]):
                known = values[~values[:, column].isnan(), column]
                if len(known):
                    std = known.std(correction=0)
                    self.get_buffer(f"{name}_mean")[column] = known.mean()
                    self.get_buffer(f"{name}_std")[column] = std if std > _SMALLEST_STD else 1.0

    def _width(self, modality: str) -> int:
        config = self.config
        if modality == "S":
            return int(config.recurrent_size)
        if modality == "N":
            # Each number comes with whether it is known.
            return int(2 * config.num_numbers + len(config.category_sizes) * config.embedding_size)
        return int(config.size_of(modality))

    def _vector(self, modality: str, batch: PopularityBatch) -> tuple[Tensor, Tensor]:
        """(B, width) of a modality, and (B,) for which videos there is one."""
        if modality == "S":
            present = batch.trend_present
            trend = batch.trend.masked_fill(~present[..., None], 0.0).log1p()
            scaled = (trend - self.trend_mean) / self.trend_std
            return self.trend_encoder(scaled, present), present.any(1)
        if modality == "N":
            unknown = batch.numbers.isnan()
            scaled = (batch.numbers.log1p() - self.number_mean) / self.number_std
            parts = [scaled.masked_fill(unknown, 0.0), (~unknown).to(scaled.dtype)]
            parts += [
                embedding(batch.categories[:, column])
                for column, embedding in enumerate(self.embeddings)
            ]
            return torch.cat(parts, 1), torch.ones_like(batch.present[:, 0])
        known = batch.present[:, list(_CONTENT).index(modality)]
        features: Tensor = getattr(batch, _CONTENT[modality])
        return self.norms[modality](features.masked_fill(~known[:, None], 0.0)), known

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.1)


def _dense(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout))
