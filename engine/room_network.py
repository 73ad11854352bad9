"""One network over the rooms' encoded segments and its own cached state: slots in, logits out."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limelight.engine.incremental import IncrementalDecoder
from limelight.engine.network_input import NetworkInput, side_by_side
from limelight.engine.packed_perceiver import SegmentPerceiver, segment_perceiver
from limelight.engine.reasons import modality_shares
from limelight.engine.room_encodings import EMPTY, Ints, RoomEncodings
from limelight.engine.window_decoder import WindowDecoder
from limelight.models.contentctr.model import (
    NUM_TOKENS,
    PICTURE_TOKEN,
    TEXT_TOKEN,
    ContentCTR,
)

Floats = NDArray[np.float32]

# So many rooms are prefilled at a time: twenty segments each are enough to fill a device.
PREFILL_ROOMS = 128


class Decoder(Protocol):
    """What `IncrementalDecoder` and `WindowDecoder` share."""

    def prefill(self, slots: Tensor, x: Tensor, lengths: Tensor) -> Tensor: ...

    def decode_step(self, slots: Tensor, x: Tensor) -> Tensor: ...

    def peek(self, slots: Tensor, x: Tensor) -> Tensor: ...

    def clear(self, slots: Tensor) -> None: ...


DECODERS: dict[str, Callable[[ContentCTR, int], Decoder]] = {
    "rolling": IncrementalDecoder,
    "window": WindowDecoder,
}


class RoomNetwork:
    """Perceiver and decoder, each run once over all the rooms of a call.

    Several networks may look at the same encodings; each knows by itself up to which segment it has
    followed a room. `prefills` and `decode_steps` count rooms since the start.
    """

    def __init__(
        self, model: ContentCTR, encodings: RoomEncodings, *, semantics: str, capacity: int
    ) -> None:
        self.model = model
        self.prefills = 0
        self.decode_steps = 0
        self._encodings = encodings
        self._decoder = DECODERS[semantics](model, capacity)
        self._perceiver = segment_perceiver(model)
        self._newest_perceiver = newest_perceiver(model, self._perceiver)
        # The segment of each slot that the decoder has seen last.
        self._followed_to = np.full(capacity, EMPTY, np.int64)

    @property
    def version(self) -> str:
        version: str = self.model.config.model_version
        return version

    def logits(self, slots: Ints) -> Floats:
        """(B,) logits of the slots' newest segments; each slot at most once.

        A decode step where the decoder has seen all but the newest segment, else a prefill.
        """
        newest = self._encodings.newest[slots]
        continues = self._followed_to[slots] == newest - 1
        logits = np.empty(len(slots), np.float32)
        if continues.any():
            logits[continues] = self._decode_step(slots[continues])
        anew = np.flatnonzero(~continues)
        for rows in self._of_similar_length(slots, anew):
            logits[rows] = self._prefill(slots[rows])
        self._followed_to[slots] = newest
        self.decode_steps += int(continues.sum())
        self.prefills += len(anew)
        return logits

    def modality_shares(self, slots: Ints, ctrs: Sequence[float]) -> list[dict[str, float]]:
        """How the CTRs just found divide, by scoring the newest segments with one part masked."""
        newest = self._newest_input(slots)
        masked = [newest.without(token) for token in (PICTURE_TOKEN, TEXT_TOKEN)]
        x = self._perceived_newest(side_by_side(*masked))
        twice = torch.from_numpy(np.concatenate([slots, slots]))
        lower = self._decoder.peek(twice, x).float().sigmoid().tolist()
        without_picture, without_text = lower[: len(slots)], lower[len(slots) :]
        pairs = zip(ctrs, without_picture, without_text, strict=True)
        return [modality_shares(*found) for found in pairs]

    def behind(self, slots: Ints) -> Ints:
        """Those of the slots whose newest segment the decoder has not seen."""
        behind: Ints = slots[self._followed_to[slots] != self._encodings.newest[slots]]
        return behind

    def clear(self, slot: int) -> None:
        """Forgets the room that held the slot."""
        self._followed_to[slot] = EMPTY

    def warm_up(self, batch: int) -> None:
        """Run everything once on made-up rooms; for a network that follows no room yet.

        Numba compiles its kernels, torch chooses its own and a GPU captures its graphs at the first
        call, and a real room should not wait for that.

        Raises:
            ValueError: what it says of them is not finite; it would say so of every room.
        """
        config, slots = self.model.config, torch.arange(batch)
        for capturing in (self._newest_perceiver, self._decoder):
            if hasattr(capturing, "warm_up"):
                capturing.warm_up()
        for segments in (1, config.window_length):
            x = self._perceived(_made_up_input(self.model, batch, segments))
            self._decoder.prefill(slots, x, torch.full((batch,), segments))
        x = self._perceived_newest(_made_up_input(self.model, batch, 1))
        logits = _as_numpy(self._decoder.decode_step(slots, x))
        self._decoder.peek(slots, x)
        self._decoder.clear(slots)
        if not np.isfinite(logits).all():
            raise ValueError(f"model {self.version}: found logits of NaN, expected finite ones")

    def _decode_step(self, slots: Ints) -> Floats:
        x = self._perceived_newest(self._newest_input(slots))
        return _as_numpy(self._decoder.decode_step(torch.from_numpy(slots), x))

    def _prefill(self, slots: Ints) -> Floats:
        lengths = torch.from_numpy(self._encodings.lengths[slots])
        inputs = self._encodings.whole_input(slots, self.model.config.num_streamers)
        x = self._perceived(inputs)
        return _as_numpy(self._decoder.prefill(torch.from_numpy(slots), x, lengths))

    def _perceived(self, inputs: NetworkInput) -> Tensor:
        """(B, S, C) of any segments."""
        device, dtype = self.model.device, self.model.dtype
        frames, texts, streamers, present = inputs.as_segments()
        x = self._perceiver(
            frames.to(device, dtype),
            texts.to(device, dtype),
            streamers.to(device),
            present.to(device),
        )
        return x.view(*inputs.present.shape[:2], -1)

    def _perceived_newest(self, inputs: NetworkInput) -> Tensor:
        """(B, C) of one segment a room."""
        return self._newest_perceiver(*inputs.as_segments())

    def _newest_input(self, slots: Ints) -> NetworkInput:
        return self._encodings.newest_input(slots, self.model.config.num_streamers)

    def _of_similar_length(self, slots: Ints, rows: Ints) -> Iterator[Ints]:
        """The rows in portions; what is shorter than its portion's longest is padded."""
        rows = rows[np.argsort(self._encodings.lengths[slots[rows]], kind="stable")]
        for start in range(0, len(rows), PREFILL_ROOMS):
            yield rows[start : start + PREFILL_ROOMS]


def newest_perceiver(model: ContentCTR, plain: SegmentPerceiver) -> SegmentPerceiver:
    """The one for each step, of CPU tensors: by CUDA graphs where there is a GPU."""
    if model.device.type == "cuda":
        from limelight.engine.cuda_perceiver import CudaPerceiver  # needs triton

        return CudaPerceiver(model)
    if model.dtype == torch.float32:
        return plain
    dtype = model.dtype
    return lambda frames, texts, streamers, present: plain(
        frames.to(dtype), texts.to(dtype), streamers, present
    )


def _made_up_input(model: ContentCTR, rooms: int, segments: int) -> NetworkInput:
    config = model.config
    return NetworkInput(
        torch.zeros(rooms, segments, config.frame_feature_size),
        torch.zeros(rooms, segments, config.text_feature_size),
        torch.zeros(rooms, dtype=torch.int64),
        torch.ones(rooms, segments, NUM_TOKENS, dtype=torch.bool),
    )


def _as_numpy(logits: Tensor) -> Floats:
    found: Floats = logits.float().cpu().numpy()
    return found
