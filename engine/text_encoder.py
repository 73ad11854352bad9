"""From speech and comments to text features."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

# Between two comments. Every BERT vocabulary has it, and it ends no sentence inside a comment.
COMMENT_SEPARATOR = " | "


class TextEncoder:
    """A BERT-like network of transformers; the feature is its [CLS] (eq. 2)."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: Any,
        *,
        encoder_id: str,
        revision: str,
        max_tokens: int = 128,
        max_batch: int = 64,
    ) -> None:
        for name, found in (("max_tokens", max_tokens), ("max_batch", max_batch)):
            if found < 1:
                raise ValueError(f"{name}: found {found}, expected at least 1")
        self.model = model.eval().requires_grad_(False)
        self.encoder_id = encoder_id
        self.revision = revision
        self.feature_size: int = model.config.hidden_size
        self._tokenizer = tokenizer
        self._max_tokens = min(max_tokens, model.config.max_position_embeddings)
        self._max_batch = max_batch

    def encode(self, texts: Sequence[tuple[str, Sequence[str]]]) -> NDArray[np.float32]:
        """(n, T) float32 [CLS] features of n pairs of speech and comments, "[ASR, comments]".

        What exceeds `max_tokens` is cut from the longer of the two.

        Raises:
            ValueError: a pair holds no text at all; a missing modality is masked, not encoded.
        """
        pairs = _pairs(texts)
        # Texts of similar length go together, so that little is spent on padding.
        order = sorted(range(len(pairs)), key=lambda at: len(pairs[at][0]) + len(pairs[at][1]))
        features = np.empty((len(pairs), self.feature_size), np.float32)
        for start in range(0, len(order), self._max_batch):
            chosen = order[start : start + self._max_batch]
            features[chosen] = self._encode([pairs[at] for at in chosen])
        return features

    def token_ids(self, texts: Sequence[tuple[str, Sequence[str]]]) -> NDArray[np.int32]:
        """(n, max_tokens) int32, 0-padded: what `encode` gives the network; all 0 without text."""
        pairs = [(_encodable(speech), _joined(comments)) for speech, comments in texts]
        tokens: NDArray[np.int64] = self._tokens(pairs, padding="max_length")["input_ids"].numpy()
        has_text = [bool(speech.strip() or comments.strip()) for speech, comments in pairs]
        return np.where(np.array(has_text)[:, None], tokens, 0).astype(np.int32)

    @property
    def separator_id(self) -> int:
        """The token between speech and comments."""
        found: int = self._tokenizer.sep_token_id
        return found

    def _tokens(self, pairs: list[tuple[str, str]], *, padding: bool | str) -> Any:
        return self._tokenizer(
            [speech for speech, _ in pairs],
            [comments for _, comments in pairs],
            truncation="longest_first",
            max_length=self._max_tokens,
            padding=padding,
            # A viewer who types "[SEP]" must not get the separator.
            split_special_tokens=True,
            return_tensors="pt",
        )

    @torch.inference_mode()
    def _encode(self, pairs: list[tuple[str, str]]) -> NDArray[np.float32]:
        tokens = self._tokens(pairs, padding=True)
        output = self.model(**tokens.to(self.model.device))
        cls: NDArray[np.float32] = output.last_hidden_state[:, 0].float().cpu().numpy()
        return cls


def _pairs(texts: Sequence[tuple[str, Sequence[str]]]) -> list[tuple[str, str]]:
    pairs = []
    for position, (speech, comments) in enumerate(texts):
        if not speech.strip() and not any(comment.strip() for comment in comments):
            raise ValueError(f"texts[{position}]: found no text, expected speech or comments")
        pairs.append((_encodable(speech), _joined(comments)))
    return pairs


def _joined(comments: Sequence[str]) -> str:
    return _encodable(COMMENT_SEPARATOR.join(comments))


def _encodable(text: str) -> str:
    # Half a surrogate pair is a Python string, but no Unicode text that a tokenizer accepts.
    return text.encode("utf-8", "replace").decode()
