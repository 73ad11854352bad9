"""Text features of the segments that a room's window holds, so that none is encoded twice."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from limelight.engine.text_encoder import TextEncoder
from limelight.engine.window import Segment

_EMPTY = np.iinfo(np.int64).min


class TextFeatureCache:
    """A ring of N text features for each slot: segment i lies in place i % N.

    It pays when a room is prefilled again after a gap: only the segments it had not seen are
    encoded.
    """

    def __init__(self, text_encoder: TextEncoder, capacity: int, window_length: int) -> None:
        self._encoder = text_encoder
        self._window_length = window_length
        shape = (capacity, window_length)
        self._features = np.zeros((*shape, text_encoder.feature_size), np.float32)
        self._indices = np.full(shape, _EMPTY, np.int64)

    def features(
        self, slots: Sequence[int], rooms: Sequence[Sequence[Segment]]
    ) -> list[NDArray[np.float32]]:
        """For each room an (S, T) float32 array; the rows of segments without text are zeros.

        Args:
            slots: one for each room.
            rooms: their segments, consecutive, at most N each.
        """
        missing = [
            (slot, segment)
            for slot, segments in zip(slots, rooms, strict=True)
            for segment in segments
            if segment.has_text and self._indices[slot, self._place(segment)] != segment.index
        ]
        if missing:
            encoded = self._encoder.encode([(s.speech, s.comments) for _, s in missing])
            for (slot, segment), feature in zip(missing, encoded, strict=True):
                self._features[slot, self._place(segment)] = feature
                self._indices[slot, self._place(segment)] = segment.index
        found = []
        for slot, segments in zip(slots, rooms, strict=True):
            features = self._features[slot, [self._place(segment) for segment in segments]]
            features[[not segment.has_text for segment in segments]] = 0
            found.append(features)
        return found

    def clear(self, slot: int) -> None:
        self._indices[slot] = _EMPTY

    def _place(self, segment: Segment) -> int:
        return segment.index % self._window_length
