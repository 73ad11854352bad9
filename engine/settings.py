"""The engine's part of the settings."""

from dataclasses import dataclass
from typing import Literal

_POSITIVE = (
    "cache_slots",
    "deadline_ms",
    "max_rooms_per_batch",
    "max_image_bytes",
    "max_image_pixels",
    "max_text_tokens",
    "frame_batch",
    "text_batch",
)
_CHOICES = {"semantics": ("rolling", "window"), "dtype": ("auto", "float32", "bfloat16")}


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Which networks score, how, and within which bounds.

    Encoders are "tiny" (bundled) or a hub name or folder that transformers can load. `model` is
    "tiny" (bundled, trained on simulated rooms), "tiny-untrained" (over any encoders; comment
    energy then decides) or a folder written by `save_pretrained`. A CTR above `explain_above` is
    explained by its modality shares, which costs a second decode step.

    A batch goes when it is full or its first window has waited `max_wait_ms`. A window should have
    its score `deadline_ms` after its segment's close; who can still be in time goes first.
    """

    frame_encoder: str = "tiny"
    text_encoder: str = "tiny"
    model: str = "tiny"
    semantics: Literal["rolling", "window"] = "rolling"
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: bool = False  # torch.compile for the encoders
    torch_threads: int = 0  # 0: the engine process tries out what is fastest, others leave it
    decode_threads: int = 0  # 0 takes all cores but one

    cache_slots: int = 4_096
    max_rooms_per_batch: int = 256
    max_wait_ms: int = 10
    deadline_ms: int = 1_000
    frame_batch: int = 32
    text_batch: int = 64

    max_image_bytes: int = 8_000_000
    max_image_pixels: int = 10_000_000  # 4K has 8.3 million
    max_text_tokens: int = 128

    explain_above: float = 0.15

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            if getattr(self, name) < 1:
                raise ValueError(f"engine.{name}: found {getattr(self, name)}, expected >= 1")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                found = getattr(self, name)
                raise ValueError(f"engine.{name}: found {found!r}, expected one of {choices}")
        for name in ("torch_threads", "decode_threads", "max_wait_ms"):
            if getattr(self, name) < 0:
                raise ValueError(f"engine.{name}: found {getattr(self, name)}, expected >= 0")
        if not 0 <= self.explain_above <= 1:
            found = self.explain_above
            raise ValueError(f"engine.explain_above: found {found}, expected 0 to 1")
