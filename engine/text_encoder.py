"""From speech and comments to text features."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from limelight.engine.flops import forward_flops
from limelight.engine.recent_features import RecentFeatures
from limelight.engine.text_batches import TextBatch, TextBatches, TextForward

# A batch goes on while its shortest text is at least this part of its longest, or so few tokens
# shorter: what is padded stays well under a tenth.
_SHORTEST_PART = 0.85
_FEW_TOKENS = 2
# Between two comments. Every BERT vocabulary has it, and it ends no sentence inside a comment.
COMMENT_SEPARATOR = " | "


class TextEncoder:
    """A BERT-like network of transformers; the feature is its [CLS] (eq. 2).

    On the CPU texts of similar length go together, as many as there are; on CUDA the batches have
    few fixed shapes, each a graph. A feature may therefore differ in its last bits with the texts
    beside it, in those of the network's dtype. Not safe for several threads at once.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: Any,
        *,
        encoder_id: str,
        revision: str,
        max_tokens: int = 128,
        max_batch: int = 64,
        compiled: bool = False,
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
        self._recent = RecentFeatures(0)
        # Batches come in many shapes: torch compiles for all of them, not for each.
        self._forward = torch.compile(self._encode, dynamic=True) if compiled else self._encode
        self._batches: TextBatches | None = None
        if model.device.type == "cuda":
            self._batches = TextBatches(
                self._forward,
                max_tokens=self._max_tokens,
                max_batch=max_batch,
                device=model.device,
            )
        # How many tokens the network was given, and how many of them were padding.
        self.tokens_given = 0
        self.tokens_padded = 0

    def encode(self, texts: Sequence[tuple[str, Sequence[str]]]) -> NDArray[np.float32]:
        """(n, T) float32 [CLS] features of n pairs of speech and comments, "[ASR, comments]".

        What exceeds `max_tokens` is cut from the longer of the two.

        Raises:
            ValueError: a pair holds no text at all; a missing modality is masked, not encoded.
        """
        pairs = _pairs(texts)
        digests = [_digest(pair) for pair in pairs]
        found = self._recent.encode(pairs, digests, self._encode_all)
        return np.stack(found) if found else np.empty((0, self.feature_size), np.float32)

    def remember(self, capacity: int) -> None:
        """Keep so many features from call to call; only for a network that is not trained on."""
        self._recent = RecentFeatures(capacity)

    def warm_up(self) -> None:
        """Do what is done once, such as capturing the graphs, before the first text comes."""
        if self._batches is not None:
            self._batches.warm_up()
        else:
            self._encode_all([("a", "")])

    def flops_per_text(self, tokens: int) -> int:
        """Multiply-adds times two of the matrix products for one text of so many tokens."""
        ones = torch.ones((1, tokens), dtype=torch.int64, device=self.model.device)
        return forward_flops(lambda: self._encode(ones, ones * 0, ones.bool()))

    @torch.inference_mode()
    def _encode_all(self, pairs: list[tuple[str, str]]) -> NDArray[np.float32]:
        """Texts of similar length go together, so that little is spent on padding."""
        tokens = self._tokens(pairs, padding=False)
        ids = tokens["input_ids"]
        types = tokens.get("token_type_ids") or [[0] * len(each) for each in ids]
        lengths = [len(each) for each in ids]
        run: TextForward
        if self._batches is not None:
            plan, run = self._batches.plan(lengths), self._batches
        else:
            plan, run = _plan_by_length(lengths, self._max_batch), self._forward
        found: Tensor | None = None
        done = 0
        for places, rows, longest in plan:
            counts = torch.tensor([lengths[at] for at in places])
            features = run(
                _padded([ids[at] for at in places], longest, self._tokenizer.pad_token_id or 0),
                _padded([types[at] for at in places], longest, self._tokenizer.pad_token_type_id),
                torch.arange(longest) < counts[:, None],
            )
            if found is None:
                found = features.new_empty(len(pairs), self.feature_size)
            found[done : done + len(places)] = features
            done += len(places)
            self.tokens_given += rows * longest
            self.tokens_padded += rows * longest - int(counts.sum())
        assert found is not None
        in_order = np.empty((len(pairs), self.feature_size), np.float32)
        in_order[[at for batch in plan for at in batch.places]] = found.cpu().numpy()
        return in_order

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
            return_tensors="pt" if padding else None,
        )

    def _encode(self, tokens: Tensor, types: Tensor, mask: Tensor) -> Tensor:
        """(B, T) float32 [CLS] features of B texts, each argument (B, L)."""
        inputs = {"input_ids": tokens, "attention_mask": mask}
        if "token_type_ids" in self._tokenizer.model_input_names:
            inputs["token_type_ids"] = types
        if self._batches is not None and self.model.config._attn_implementation == "sdpa":
            # Of a plain mask transformers asks whether it hides anything, which waits for the
            # device and cannot be captured; one of attention's own shape is taken as it is.
            inputs["attention_mask"] = mask[:, None, None, :]
        cls: Tensor = self.model(**inputs).last_hidden_state[:, 0]
        return cls.float()


def _plan_by_length(lengths: Sequence[int], most: int) -> list[TextBatch]:
    return [
        TextBatch(places, len(places), lengths[places[0]])
        for places in batches_by_length(lengths, most)
    ]


def _padded(rows: Sequence[Sequence[int]], length: int, padding: int) -> Tensor:
    """(B, length) int64."""
    filled = np.full((len(rows), length), padding, np.int64)
    for target, row in zip(filled, rows, strict=True):
        target[: len(row)] = row
    return torch.from_numpy(filled)


def batches_by_length(lengths: Sequence[int], most: int) -> list[list[int]]:
    """Places of `lengths` in batches of at most `most`, longest first, of similar length each.

    With at most 3, the lengths 100, 9, 97, 12, 95, 90, 11 go together as (100, 97, 95), (90),
    (12, 11), (9): the first is full, 12 is far from 90, and 9 is more than 2 shorter than 12.
    """
    order = sorted(range(len(lengths)), key=lambda at: -lengths[at])
    batches: list[list[int]] = []
    longest = 0
    for at in order:
        enough = min(_SHORTEST_PART * longest, longest - _FEW_TOKENS)
        if not batches or len(batches[-1]) == most or lengths[at] < enough:
            batches.append([])
            longest = lengths[at]
        batches[-1].append(at)
    return batches


def _digest(pair: tuple[str, str]) -> bytes:
    speech, comments = (text.encode() for text in pair)
    # The length keeps "ab" and "c" apart from "a" and "bc".
    return blake2b(b"%d " % len(speech) + speech + comments, digest_size=16).digest()


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
