"""The tensors that a network takes."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from limelight.models.contentctr.model import ContentCTR


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
        """Perceiver outputs (B, S, C), on the model's device."""
        device, dtype = model.device, model.dtype
        return model.perceive(
            self.frame_features.to(device, dtype),
            self.text_features.to(device, dtype),
            self.streamer_ids.to(device),
            self.present.to(device),
        )
