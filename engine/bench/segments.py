"""Made-up network input, on the device and of the network's dtype."""

from dataclasses import dataclass

import torch
from torch import Tensor

from limelight.models.contentctr.model import NUM_TOKENS, ContentCTR


@dataclass(frozen=True, slots=True)
class Segments:
    """The arguments of `ContentCTR.forward` for B rooms of S segments each."""

    frames: Tensor
    texts: Tensor
    streamers: Tensor
    present: Tensor

    def all(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.frames, self.texts, self.streamers, self.present

    def newest(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of each room the last segment: (B, F), (B, T), (B,) and (B, K)."""
        frames, texts, present = self.frames[:, -1], self.texts[:, -1], self.present[:, -1]
        return frames.contiguous(), texts.contiguous(), self.streamers, present.contiguous()

    def before(self) -> "Segments":
        """All but the newest."""
        return Segments(
            self.frames[:, :-1], self.texts[:, :-1], self.streamers, self.present[:, :-1]
        )


def made_up_segments(model: ContentCTR, rooms: int, segments: int, seed: int = 0) -> Segments:
    """Normal features, every modality there, each room a streamer of its own."""
    config = model.config
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randn(rooms, segments, config.frame_feature_size, generator=generator)
    texts = torch.randn(rooms, segments, config.text_feature_size, generator=generator)
    return Segments(
        frames.to(model.device, model.dtype),
        texts.to(model.device, model.dtype),
        (torch.arange(rooms) % config.num_streamers).to(model.device),
        torch.ones(rooms, segments, NUM_TOKENS, dtype=torch.bool, device=model.device),
    )
