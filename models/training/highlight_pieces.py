"""Batches of pieces of videos, each with what is known of the user who chose from it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from hashlib import sha256

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from limelight.models.datasets.phd_examples import PHDExample


@dataclass(frozen=True, slots=True)
class HighlightBatch:
    """B pieces of at most S frames, the shorter ones padded at their end."""

    frame_features: Tensor  # (B, S, F)
    text_features: Tensor  # (B, S, T)
    history: Tensor  # (B, R, F)
    present: Tensor  # (B, S, 2)
    frame_mask: Tensor  # (B, S), False behind a piece's end
    history_mask: Tensor  # (B, R)
    is_highlight: Tensor  # (B, S), 0 or 1

    def to(self, device: torch.device) -> "HighlightBatch":
        return HighlightBatch(*(getattr(self, field.name).to(device) for field in fields(self)))


class HighlightPieces:
    """Pieces to draw from, in memory: 192 frames of 1024 + 1024 numbers are 1.6 MB.

    Raises:
        ValueError: no pieces.
    """

    def __init__(self, pieces: Iterable[PHDExample]) -> None:
        # Copied, since a piece is a view that keeps its whole video.
        self._pieces = [
            replace(
                piece,
                frame_features=piece.frame_features.copy(),
                text_features=piece.text_features.copy(),
            )
            for piece in pieces
        ]
        if not self._pieces:
            raise ValueError("pieces: found none, expected at least one with a highlight")

    def __len__(self) -> int:
        return len(self._pieces)

    def fingerprint(self) -> str:
        """The start of a hash over what tells these pieces apart, in 16 hexadecimal digits."""
        digest = sha256()
        for piece in self._pieces:
            digest.update(piece.frame_features.tobytes())
        return digest.hexdigest()[:16]

    @property
    def frame_feature_size(self) -> int:
        return int(self._pieces[0].frame_features.shape[1])

    @property
    def text_feature_size(self) -> int:
        """1 where nothing has captions, as no network can be of size 0."""
        return max(1, int(self._pieces[0].text_features.shape[1]))

    def batch(self, numbers: Tensor) -> HighlightBatch:
        """The pieces of the given numbers (n,)."""
        pieces = [self._pieces[number] for number in numbers.tolist()]
        return highlight_batch(pieces, self.text_feature_size)


def highlight_batch(pieces: Sequence[PHDExample], text_feature_size: int) -> HighlightBatch:
    """The pieces as one batch.

    A frame whose text feature is all zeros, or of size 0, has no caption: most videos of PHD have
    none, and all feature files must agree on a size.
    """
    frames = [torch.from_numpy(piece.frame_features) for piece in pieces]
    texts = [_texts(piece, text_feature_size) for piece in pieces]
    present = [
        torch.stack([torch.ones(len(text), dtype=torch.bool), (text != 0).any(1)], 1)
        for text in texts
    ]
    history = [torch.from_numpy(piece.history) for piece in pieces]
    labels = [torch.from_numpy(piece.is_highlight.astype(np.float32)) for piece in pieces]
    return HighlightBatch(
        frame_features=_padded(frames),
        text_features=_padded(texts),
        history=_padded(history),
        present=_padded(present),
        frame_mask=_padded([torch.ones(len(each), dtype=torch.bool) for each in frames]),
        history_mask=_padded([torch.ones(len(each), dtype=torch.bool) for each in history]),
        is_highlight=_padded(labels),
    )


def blurred_pieces(
    batch: HighlightBatch,
    *,
    unknown_user_rate: float,
    missing_modality_rate: float,
    generator: torch.Generator,
) -> HighlightBatch:
    """The batch with some users' histories forgotten and some modalities masked.

    So the vector of users without history is learned even where every user has one.
    """
    present, history_mask = batch.present, batch.history_mask
    if unknown_user_rate:
        known = torch.rand(len(history_mask), 1, generator=generator) >= unknown_user_rate
        history_mask = history_mask & known
    if missing_modality_rate:
        kept = torch.rand(present.shape, generator=generator) >= missing_modality_rate
        present = present & kept
    return replace(batch, present=present, history_mask=history_mask)


def _texts(piece: PHDExample, size: int) -> Tensor:
    if not piece.text_features.shape[1]:
        return torch.zeros(len(piece.frame_features), size)
    return torch.from_numpy(piece.text_features)


def _padded(rows: list[Tensor]) -> Tensor:
    return pad_sequence(rows, batch_first=True)
