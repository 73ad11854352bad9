"""Pictures through a network at one fixed batch size, the next ones uploaded meanwhile."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limelight.engine.graphs import BatchInput, BucketedFunction

# One is computed on while the next is filled.
_BUFFERS = 2


class PictureBatches:
    """A network's features of pictures, always `batch` of them at a time, the last filled up.

    There is one batch size, not several: the same kernels then run for every picture, and its
    feature does not depend on how many arrived beside it. A lone picture costs a whole batch, but
    only where the device has nothing else to do.

    On CUDA the network is one graph on a stream of its own, so the decoder's steps do not queue
    behind it, and pixels travel from pinned memory on another while the batch before is computed.
    One thread at a time.

    Args:
        forward: (batch, H, W, 3) uint8 on the device to (batch, F) float16.
        image_size: H and W.
    """

    def __init__(
        self,
        forward: Callable[[Tensor], Tensor],
        image_size: tuple[int, int],
        *,
        batch: int,
        device: torch.device,
    ) -> None:
        shape = (*image_size, 3)
        self._batch = batch
        self._run = BucketedFunction(
            forward,
            [BatchInput(shape, torch.uint8)],
            maximum=batch,
            minimum=batch,
            device=device,
        )
        self._device = device
        self._computing: torch.cuda.Stream | None = None
        self._buffers: list[_Buffer] = [_Buffer(batch, shape) for _ in range(_BUFFERS)]
        if device.type == "cuda":
            self._computing = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            copying = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self._buffers = [_PinnedBuffer(batch, shape, copying) for _ in range(_BUFFERS)]

    def warm_up(self) -> None:
        with self._own_stream():
            self._run.warm_up()

    @torch.inference_mode()
    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float16]:
        """(n, F) float16 of n pictures, n at least 1; they come back in one copy at the end."""
        features: Tensor | None = None
        with self._own_stream():
            for start in range(0, len(images), self._batch):
                buffer = self._buffers[start // self._batch % _BUFFERS]
                chunk = images[start : start + self._batch]
                found = self._run(buffer.upload(chunk))
                buffer.release()
                if features is None:
                    features = found.new_empty(len(images), found.shape[1])
                features[start : start + len(chunk)] = found
            assert features is not None
            result: NDArray[np.float16] = features.cpu().numpy()
        return result

    def _own_stream(self) -> AbstractContextManager[object]:
        if self._computing is None:
            return nullcontext()
        # Weights may just have been written by the caller's stream.
        self._computing.wait_stream(torch.cuda.current_stream(self._device))
        return torch.cuda.stream(self._computing)


class _Buffer:
    """A batch of pixels on the CPU."""

    def __init__(self, batch: int, shape: tuple[int, ...]) -> None:
        self._host = torch.empty(batch, *shape, dtype=torch.uint8)

    def upload(self, images: Sequence[NDArray[np.uint8]]) -> Tensor:
        """The pictures where the network runs, valid until `release`."""
        np.stack(images, out=self._host.numpy()[: len(images)])
        return self._host[: len(images)]

    def release(self) -> None:
        """What reads the pictures has been launched."""


class _PinnedBuffer(_Buffer):
    """A batch of pixels in pinned memory and on the device, copied on a stream of its own."""

    def __init__(self, batch: int, shape: tuple[int, ...], copying: torch.cuda.Stream) -> None:
        self._host = torch.empty(batch, *shape, dtype=torch.uint8, pin_memory=True)
        self._pixels = torch.empty_like(self._host, device=copying.device)
        self._copying = copying
        self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._read = torch.cuda.Event()  # type: ignore[no-untyped-call]

    def upload(self, images: Sequence[NDArray[np.uint8]]) -> Tensor:
        """As of a plain buffer; what the current stream is given next waits for the copy."""
        self._copied.synchronize()  # the last copy may still read the pinned memory
        host = super().upload(images)
        pixels = self._pixels[: len(images)]
        with torch.cuda.stream(self._copying):
            self._copying.wait_event(self._read)
            pixels.copy_(host, non_blocking=True)
            self._copied.record()
        torch.cuda.current_stream(pixels.device).wait_event(self._copied)
        return pixels

    def release(self) -> None:
        self._read.record()
