"""From pictures to frame features."""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from limelight.engine.recent_features import RecentFeatures


class FrameEncoder:
    """A vision network of transformers and how it wants its pictures.

    On the CPU pictures are encoded one at a time: a batched matrix product may round differently
    with its size, and then the float16 feature of a frame, and with it the window, would depend on
    which frames happened to arrive together. On CUDA they go in batches of at most `max_batch`.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        encoder_id: str,
        revision: str,
        feature_size: int,
        image_size: tuple[int, int],
        mean: Sequence[float],
        std: Sequence[float],
        max_batch: int = 32,
    ) -> None:
        if max_batch < 1:
            raise ValueError(f"max_batch: found {max_batch}, expected at least 1")
        self.model = model.eval().requires_grad_(False)
        self.encoder_id = encoder_id
        self.revision = revision
        self.feature_size = feature_size
        self.image_size = image_size
        self._batch = max_batch if model.device.type == "cuda" else 1
        self._recent = RecentFeatures(0)
        self.mean = torch.tensor(mean, device=model.device).view(1, 3, 1, 1)
        self.std = torch.tensor(std, device=model.device).view(1, 3, 1, 1)

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float16]:
        """(n, F) float16 features of n pictures, each (H, W, 3) uint8 RGB of `image_size`.

        Raises:
            ValueError: a picture has another shape or dtype.
        """
        for position, image in enumerate(images):
            if image.shape != (*self.image_size, 3) or image.dtype != np.uint8:
                expected = f"{(*self.image_size, 3)} uint8"
                raise ValueError(
                    f"images[{position}]: found {image.shape} {image.dtype}, expected {expected}"
                )
        digests = [blake2b(image.tobytes(), digest_size=16).digest() for image in images]
        found = self._recent.encode(images, digests, self._encode_all)
        return np.stack(found) if found else np.empty((0, self.feature_size), np.float16)

    def remember(self, capacity: int) -> None:
        """Keep so many features from call to call; only for a network that is not trained on."""
        self._recent = RecentFeatures(capacity)

    def _encode_all(self, images: list[NDArray[np.uint8]]) -> NDArray[np.float16]:
        features = np.empty((len(images), self.feature_size), np.float16)
        for start in range(0, len(images), self._batch):
            end = start + self._batch
            batch = torch.from_numpy(np.stack(images[start:end]))
            features[start:end] = self._encode(batch).cpu().numpy()
        return features

    @torch.inference_mode()
    def _encode(self, images: Tensor) -> Tensor:
        """(n, F) float16 of (n, H, W, 3) uint8."""
        pixels = images.to(self.mean.device).permute(0, 3, 1, 2).float() / 255
        output = self.model(pixel_values=(pixels - self.mean) / self.std)
        pooled: Tensor | None = getattr(output, "pooler_output", None)
        if pooled is None:
            pooled = output.last_hidden_state.flatten(1, -2).mean(dim=1)
        return pooled.flatten(1).half()
