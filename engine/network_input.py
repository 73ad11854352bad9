"""The tensors that a network takes."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class NetworkInput:
    """The arguments of `ContentCTR.forward`, rooms of fewer segments padded at the end.

    `frame_features` (B, S, F) and `text_features` (B, S, T) float32, `streamer_ids` (B,) int64,
    `present` (B, S, K) bool, all on the CPU.
    """

    frame_features: Tensor
    text_features: Tensor
    streamer_ids: Tensor
    present: Tensor

    def without(self, token: int) -> "NetworkInput":
        """The same with one modality masked everywhere."""
        present = self.present.clone()
        present[..., token] = False
        return replace(self, present=present)

    def as_segments(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Each segment a row of its own: (B * S, F), (B * S, T), (B * S,) and (B * S, K)."""
        segments = self.present.shape[1]
        return (
            self.frame_features.flatten(0, 1),
            self.text_features.flatten(0, 1),
            self.streamer_ids.repeat_interleave(segments),
            self.present.flatten(0, 1),
        )


def side_by_side(first: NetworkInput, second: NetworkInput) -> NetworkInput:
    """The rooms of both, with as many segments each, in one input."""
    return NetworkInput(
        torch.cat([first.frame_features, second.frame_features]),
        torch.cat([first.text_features, second.text_features]),
        torch.cat([first.streamer_ids, second.streamer_ids]),
        torch.cat([first.present, second.present]),
    )
