"""Segments as the tensors that the network takes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limelight.engine.window import Segment
from limelight.models.contentctr.config import ContentCTRConfig
from limelight.models.contentctr.model import (
    NUM_TOKENS,
    PICTURE_TOKEN,
    TEXT_TOKEN,
    ContentCTR,
    streamer_bucket,
)


@dataclass(frozen=True, slots=True)
class NetworkInput:
    """The arguments of `ContentCTR.forward`, rooms of fewer segments padded at the end."""

    frame_features: Tensor
    text_features: Tensor
    streamer_ids: Tensor
    present: Tensor

    def without(self, token: int) -> "NetworkInput":
        """The same with one modality masked everywhere."""
        present = self.present.clone()
        present[..., token] = False
        return replace(self, present=present)

    @torch.inference_mode()
    def perceived_by(self, model: ContentCTR) -> Tensor:
        """Perceiver outputs (B, S, C)."""
        return model.perceive(
            self.frame_features, self.text_features, self.streamer_ids, self.present
        )


def network_input(
    streamer_ids: Sequence[str],
    rooms: Sequence[Sequence[Segment]],
    text_features: Sequence[NDArray[np.float32]],
    config: ContentCTRConfig,
    device: torch.device,
) -> NetworkInput:
    """One row for each room: its streamer, its segments and their (S, T) text features."""
    longest = max(len(segments) for segments in rooms)
    frames = np.zeros((len(rooms), longest, config.frame_feature_size), np.float32)
    texts = np.zeros((len(rooms), longest, config.text_feature_size), np.float32)
    present = np.zeros((len(rooms), longest, NUM_TOKENS), np.bool_)
    for row, (segments, features) in enumerate(zip(rooms, text_features, strict=True)):
        texts[row, : len(segments)] = features
        for at, segment in enumerate(segments):
            if segment.frame_feature is not None:
                frames[row, at] = segment.frame_feature
            present[row, at, PICTURE_TOKEN] = segment.has_picture
            present[row, at, TEXT_TOKEN] = segment.has_text
    buckets = [streamer_bucket(name, config.num_streamers) for name in streamer_ids]
    return NetworkInput(
        torch.from_numpy(frames).to(device),
        torch.from_numpy(texts).to(device),
        torch.tensor(buckets, dtype=torch.int64, device=device),
        torch.from_numpy(present).to(device),
    )
