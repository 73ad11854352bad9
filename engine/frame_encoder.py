"""From pictures to frame features."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from limelight.engine.flops import forward_flops
from limelight.engine.picture_batches import PictureBatches
from limelight.engine.recent_features import RecentFeatures

_CPU_BATCH = 8
_SMALL = 5_000_000  # parameters


class FrameEncoder:
    """A vision network of transformers and how it wants its pictures.

    A frame's feature must not depend on which frames happened to arrive together, for windows are a
    function of their input; but a matrix product of another batch size may round differently. So
    there is one batch size, and the last batch is filled up: the same kernels in the same order for
    each picture. It is `max_batch` on CUDA; on the CPU 8 for a small network, whose time goes into
    its many calls, and 1 for a large one, where filling up would cost more than it saves. That a
    row's place in a batch does not matter is how the libraries' kernels work, not what they
    promise; tests hold it.

    The network computes in its own dtype; in bfloat16 the bundled one's features have a cosine of
    at least 0.9999 to those in float32. Not safe for several threads at once.
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
        compiled: bool = False,
    ) -> None:
        if max_batch < 1:
            raise ValueError(f"max_batch: found {max_batch}, expected at least 1")
        self.model = model.eval().requires_grad_(False)
        self.encoder_id = encoder_id
        self.revision = revision
        self.feature_size = feature_size
        self.image_size = image_size
        self._recent = RecentFeatures(0)
        self.mean = torch.tensor(mean, device=model.device).view(1, 3, 1, 1)
        self.std = torch.tensor(std, device=model.device).view(1, 3, 1, 1)
        # Pictures come in one shape only, so torch compiles once.
        self._forward = torch.compile(self._encode, dynamic=False) if compiled else self._encode
        self._batches: PictureBatches | None = None
        batch = min(max_batch, _CPU_BATCH if model.num_parameters() < _SMALL else 1)
        if model.device.type == "cuda":
            model.to(memory_format=torch.channels_last)
            batch = max_batch
        if batch > 1 or model.device.type == "cuda":
            self._batches = PictureBatches(
                self._forward, image_size, batch=batch, device=model.device
            )

    def encode(
        self, images: Sequence[NDArray[np.uint8]], digests: Sequence[bytes] | None = None
    ) -> NDArray[np.float16]:
        """(n, F) float16 features of n pictures, each (H, W, 3) uint8 RGB of `image_size`.

        Args:
            images: the pictures.
            digests: their `picture_digest`s, where another thread has worked them out already.

        Raises:
            ValueError: a picture has another shape or dtype.
        """
        for position, image in enumerate(images):
            if image.shape != (*self.image_size, 3) or image.dtype != np.uint8:
                expected = f"{(*self.image_size, 3)} uint8"
                raise ValueError(
                    f"images[{position}]: found {image.shape} {image.dtype}, expected {expected}"
                )
        if digests is None:
            digests = [picture_digest(image) for image in images]
        found = self._recent.encode(images, digests, self._encode_all)
        return np.stack(found) if found else np.empty((0, self.feature_size), np.float16)

    def remember(self, capacity: int) -> None:
        """Keep so many features from call to call; only for a network that is not trained on."""
        self._recent = RecentFeatures(capacity)

    def warm_up(self) -> None:
        """Do what is done once, such as capturing the graph, before the first picture comes."""
        if self._batches is not None:
            self._batches.warm_up()
        else:
            self._encode_all([np.zeros((*self.image_size, 3), np.uint8)])

    def flops_per_picture(self) -> int:
        """Multiply-adds times two of one picture's matrix products and convolutions."""
        pixels = torch.zeros((1, *self.image_size, 3), dtype=torch.uint8, device=self.mean.device)
        return forward_flops(lambda: self._encode(pixels))

    @torch.inference_mode()
    def _encode_all(self, images: list[NDArray[np.uint8]]) -> NDArray[np.float16]:
        if self._batches is not None:
            return self._batches(images)
        return np.concatenate(
            [self._forward(torch.tensor(image[None])).numpy() for image in images]
        )

    def _encode(self, images: Tensor) -> Tensor:
        """(n, F) float16 of (n, H, W, 3) uint8."""
        # Channels stay last in memory, which is what convolutions on CUDA want.
        pixels = images.permute(0, 3, 1, 2).float() / 255
        pixels = (pixels - self.mean) / self.std
        output = self.model(pixel_values=pixels.to(self.model.dtype))
        return pooled_features(output).half()


def pooled_features(output: Any) -> Tensor:
    """(n, F) of a vision network's output: what it pools, else the mean over its last tokens."""
    pooled: Tensor | None = getattr(output, "pooler_output", None)
    if pooled is None:
        pooled = output.last_hidden_state.flatten(1, -2).mean(dim=1)
    return pooled.flatten(1)


def picture_digest(image: NDArray[np.uint8]) -> bytes:
    """What a picture is known by when it comes again; takes no time from other threads."""
    return blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
