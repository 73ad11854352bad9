"""What is measured, and how thoroughly."""

from dataclasses import dataclass
from pathlib import Path

import torch

from limelight.engine.device import choose_device, choose_dtype
from limelight.models.contentctr.config import ContentCTRConfig, base, tiny

PRESETS = {"base": base, "tiny": tiny}


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes and repeats of every measurement.

    `rooms` are those of a step; `serving_rooms` score through a whole scorer with the bundled
    networks; up to `fresh_rooms` a take-over is also timed with no text known. `takeover_rooms`
    are compared with an uninterrupted run afterwards. Where texts shall cost nothing, so many known
    ones recur.
    `large_encoders` adds Swin-B and BERT of random weights, `compiled` the peer under
    torch.compile; both take minutes on a CPU. `texts` is a file of real texts, one a line, whose
    padding is told as well.
    """

    device: torch.device
    rooms: tuple[int, ...]
    repeats: int
    serving_rooms: tuple[int, ...]
    fresh_rooms: int
    takeover_rooms: int
    pictures: int
    texts_drawn: int
    compiled: bool
    large_encoders: bool
    ceiling_seconds: float
    known_texts: int = 1_024
    preset: str = "base"
    texts: Path | None = None

    @property
    def dtype(self) -> torch.dtype:
        """What networks compute in where nothing else is said."""
        return choose_dtype("auto", self.device)

    @property
    def on_cuda(self) -> bool:
        return self.device.type == "cuda"

    def config(self) -> ContentCTRConfig:
        return PRESETS[self.preset]()


def full_plan(device: str = "auto") -> Plan:
    """All of it; minutes on a GPU, half an hour on two cores."""
    found = choose_device(device)
    cuda = found.type == "cuda"
    return Plan(
        device=found,
        rooms=(4_096, 16_384) if cuda else (64, 256),
        repeats=50 if cuda else 9,
        serving_rooms=(1_000, 10_000),
        fresh_rooms=10_000 if cuda else 1_000,
        takeover_rooms=200,
        pictures=2_048 if cuda else 64,
        texts_drawn=8_192 if cuda else 1_024,
        compiled=True,
        large_encoders=True,
        ceiling_seconds=2.0,
    )


def quick_plan(device: str = "auto") -> Plan:
    """A minute's look: few repeats, nothing compiled, on a CPU only the bundled encoders."""
    found = choose_device(device)
    cuda = found.type == "cuda"
    return Plan(
        device=found,
        rooms=(4_096,) if cuda else (64,),
        repeats=10 if cuda else 3,
        serving_rooms=(1_000,),
        fresh_rooms=1_000 if cuda else 0,
        takeover_rooms=32,
        pictures=512 if cuda else 32,
        texts_drawn=2_048 if cuda else 256,
        compiled=False,
        large_encoders=cuda,
        ceiling_seconds=0.3,
    )
