"""The Perceiver over the newest segments of many rooms, as CUDA graphs."""

import torch
from torch import Tensor

from limelight.engine.graphs import BatchInput, BucketedFunction
from limelight.engine.packed_perceiver import segment_perceiver
from limelight.models.contentctr.model import NUM_TOKENS, UNKNOWN_STREAMER, ContentCTR

MAX_BATCH = 4096
_MIN_BATCH = 16


class CudaPerceiver:
    """What `ContentCTR.perceive` gives for one segment a room, on the model's device.

    Threads and the life of results: as `BucketedFunction`. On a CPU the same runs eagerly.
    """

    def __init__(self, model: ContentCTR, max_batch: int = MAX_BATCH) -> None:
        config = model.config
        inputs = [
            BatchInput((config.frame_feature_size,), model.dtype),
            BatchInput((config.text_feature_size,), model.dtype),
            BatchInput((), torch.int64, padding=UNKNOWN_STREAMER),
            BatchInput((NUM_TOKENS,), torch.bool),
        ]
        self._run = BucketedFunction(
            segment_perceiver(model),
            inputs,
            maximum=max_batch,
            device=model.device,
            minimum=min(_MIN_BATCH, max_batch),
        )

    def warm_up(self) -> None:
        """Captures all graphs, which otherwise happens when a size is first met."""
        self._run.warm_up()

    def __call__(
        self, frame_features: Tensor, text_features: Tensor, streamer_ids: Tensor, present: Tensor
    ) -> Tensor:
        """(B, C) in the model's dtype, valid until the next call.

        Args: those of `ContentCTR.forward` without the segment dimension, each on the device or on
            the CPU; features may be of any float dtype.
            frame_features: (B, F).
            text_features: (B, T).
            streamer_ids: (B,) int64.
            present: (B, K) bool.

        Raises:
            ValueError: a shape does not fit.
        """
        return self._run.in_chunks(frame_features, text_features, streamer_ids, present)
