"""The sizes of an MTAF network, saved with its weights."""

from collections.abc import Sequence
from typing import Any

from transformers import PretrainedConfig

# Content-agnostic, text, acoustic, visual and sequence features, by the paper's letters.
MODALITIES = ("N", "T", "A", "V", "S")
RECURRENT = ("gru", "lstm")
_SIZES = {"T": "text_size", "A": "audio_size", "V": "vision_size", "S": "trend_size"}


class PopularityConfig(PretrainedConfig):  # type: ignore[misc]
    """What the network reads and how wide it is.

    `category_sizes` are those of the vocabularies, the unknown value included; `trend_size` is how
    many counts a day has. `recurrent_size` is that of both directions together. `modalities` are
    some of `MODALITIES`; `attention` False is the paper's MTAF-Att. The paper gives the sizes of
    what it reads and the 256 of the GRU; `hidden_size`, `embedding_size` and `dropout` are ours.

    Raises:
        ValueError: a size that cannot be, no modalities, or one that there is nothing of.
    """

    model_type = "limelight-popularity"

    def __init__(
        self,
        *,
        text_size: int = 768,
        audio_size: int = 1280,
        vision_size: int = 2048,
        num_numbers: int = 0,
        category_sizes: Sequence[int] = (),
        trend_size: int = 3,
        embedding_size: int = 16,
        recurrent: str = "gru",
        recurrent_size: int = 256,
        hidden_size: int = 256,
        dropout: float = 0.2,
        modalities: Sequence[str] = ("T", "A", "V", "S"),
        attention: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.text_size = text_size
        self.audio_size = audio_size
        self.vision_size = vision_size
        self.num_numbers = num_numbers
        self.category_sizes = list(category_sizes)
        self.trend_size = trend_size
        self.embedding_size = embedding_size
        self.recurrent = recurrent
        self.recurrent_size = recurrent_size
        self.hidden_size = hidden_size
        self.dropout = dropout
        self.modalities = list(modalities)
        self.attention = attention
        self._check()

    def _check(self) -> None:
        for name in ("text_size", "audio_size", "vision_size", "num_numbers", "trend_size"):
            _check_whole_number(name, getattr(self, name), at_least=0)
        for name in ("embedding_size", "recurrent_size", "hidden_size"):
            _check_whole_number(name, getattr(self, name), at_least=1)
        for size in self.category_sizes:
            _check_whole_number("category_sizes", size, at_least=1)
        if self.recurrent_size % 2:
            raise ValueError(f"recurrent_size: found {self.recurrent_size}, expected an even one")
        if self.recurrent not in RECURRENT:
            raise ValueError(f"recurrent: found {self.recurrent!r}, expected one of {RECURRENT}")
        if not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: found {self.dropout!r}, expected 0 <= dropout < 1")
        if not isinstance(self.attention, bool):
            raise ValueError(f"attention: found {self.attention!r}, expected true or false")
        listed = self.modalities
        if not listed or any(each not in MODALITIES for each in listed):
            raise ValueError(f"modalities: found {listed}, expected some of {MODALITIES}")
        for each in listed:
            if not self.size_of(each):
                found = f"{each}, of which the network has nothing to read"
                raise ValueError(f"modalities: found {found}, expected a size above 0")

    def size_of(self, modality: str) -> int:
        """How many numbers or categories the network reads of a modality."""
        if modality == "N":
            return int(self.num_numbers + len(self.category_sizes))
        return int(getattr(self, _SIZES[modality]))


def paper() -> dict[str, Any]:
    """The paper's sizes that are not those of the data."""
    return {"recurrent_size": 256, "hidden_size": 256, "embedding_size": 16, "dropout": 0.2}


def tiny() -> dict[str, Any]:
    """A small network: learns a thousand videos in seconds."""
    return {"recurrent_size": 32, "hidden_size": 32, "embedding_size": 8, "dropout": 0.1}


def _check_whole_number(name: str, value: object, *, at_least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
        raise ValueError(f"{name}: found {value!r}, expected a whole number >= {at_least}")
