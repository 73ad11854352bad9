"""What the network is given: covers as pixels, titles as tokens, and which of them there are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate
from transformers import BertTokenizer

from limelight.models.character_vocabulary import character_vocabulary

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class CoverTitleBatch:
    """B videos.

    Args:
        pixels: (B, 3, S, S) float as `pixels` gives them; empty for a network without covers.
        has_cover: (B,) bool.
        token_ids: (B, K) int64 with [CLS] and [SEP], padded at the right; empty for a network
            without titles.
        token_mask: (B, K) bool.
        has_title: (B,) bool.
        labels: (B,) int64; empty where nobody knows.
    """

    pixels: Tensor
    has_cover: Tensor
    token_ids: Tensor
    token_mask: Tensor
    has_title: Tensor
    labels: Tensor


def make_tokenizer(name: str) -> BertTokenizer:
    """BERT's tokenizer of a name or folder, or of single characters for an empty one.

    Raises:
        OSError: there is none.
    """
    if name:
        return BertTokenizer.from_pretrained(name, trust_remote_code=False)
    # Stripping accents would also strip the voicing marks of kana.
    return BertTokenizer(vocab=character_vocabulary(), do_lower_case=True, strip_accents=False)


def tokens(
    tokenizer: BertTokenizer, titles: Sequence[str], max_tokens: int
) -> tuple[Tensor, Tensor, Tensor]:
    """(n, K) numbers, (n, K) which of them count, (n,) which titles say anything.

    A title says nothing if it is empty, or if the tokenizer knows none of its words: an emoji that
    is not in the vocabulary is as good as no title. K is that of the longest.
    """
    if not titles:
        empty = torch.zeros(0, 2, dtype=torch.int64)
        return empty, empty.bool(), torch.zeros(0, dtype=torch.bool)
    found = tokenizer(
        [str(title) for title in titles],
        truncation=True,
        max_length=max_tokens,
        padding="longest",
        return_tensors="pt",
    )
    ids, mask = found["input_ids"], found["attention_mask"].bool()
    special = torch.tensor(tokenizer.all_special_ids)  # [UNK] is one of them
    return ids, mask, ~torch.isin(ids, special).all(1)


def checked(cover: Picture, name: str) -> Picture:
    """The cover itself.

    Raises:
        ValueError: not (H, W, 3) uint8, or without a pixel.
    """
    if cover.ndim != 3 or cover.shape[2] != 3 or cover.dtype != np.uint8 or not cover.size:
        raise ValueError(
            f"{name}: found {cover.dtype} of shape {cover.shape}, expected uint8 of (H, W, 3)"
        )
    return cover


def pixels(covers: Tensor, size: int, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(n, 3, size, size) float32 of (n, H, W, 3) uint8, scaled whatever the proportions were."""
    floats = covers.permute(0, 3, 1, 2).float()
    if floats.shape[2:] != (size, size):
        floats = interpolate(floats, (size, size), mode="bilinear", antialias=True)
    centre, spread = (torch.tensor(each, device=covers.device) for each in (mean, std))
    return (floats / 255 - centre[:, None, None]) / spread[:, None, None]
