"""What each room's last segments were encoded to, shared by every network that scores them.

A text is encoded once, whichever networks look at it, and a network that is loaded later can be
given every room's window at once, without waiting for the rooms' next messages.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from limelight.engine.network_input import NetworkInput
from limelight.engine.text_encoder import TextEncoder
from limelight.engine.window import Segment, Window
from limelight.models.contentctr.model import (
    NUM_TOKENS,
    PICTURE_TOKEN,
    TEXT_TOKEN,
    streamer_bucket,
)

Ints = NDArray[np.int64]

EMPTY = int(np.iinfo(np.int64).min)


class RoomEncodings:
    """A ring of N encoded segments for each slot: segment i lies in place i % N.

    `newest` holds the index of each slot's newest segment, `EMPTY` for an empty slot, and `lengths`
    how many segments up to it are known, at most N.
    """

    def __init__(
        self,
        text_encoder: TextEncoder,
        *,
        capacity: int,
        window_length: int,
        frame_feature_size: int,
    ) -> None:
        self._text_encoder = text_encoder
        self._window_length = window_length
        ring = (capacity, window_length)
        # The system hands out memory as slots are written to, not as the rings are made.
        self._frames = np.zeros((*ring, frame_feature_size), np.float16)
        self._texts = np.zeros((*ring, text_encoder.feature_size), np.float32)
        self._present = np.zeros((*ring, NUM_TOKENS), np.bool_)
        self._indices = np.full(ring, EMPTY, np.int64)
        self._streamer_ids = [""] * capacity
        self.newest = np.full(capacity, EMPTY, np.int64)
        self.lengths = np.zeros(capacity, np.int64)

    def store(self, slots: Sequence[int], windows: Sequence[Window]) -> None:
        """Adds each window's newest segment; all of them where the slot lacks the one before.

        Args:
            slots: each at most once, of the windows' rooms.
        """
        missing = []
        for slot, window in zip(slots, windows, strict=True):
            if self.newest[slot] == window.segment_index - 1:
                segments = window.segments[-1:]
                length = min(self.lengths[slot] + 1, self._window_length)
            else:
                segments, length = window.segments, len(window.segments)
            for segment in segments:
                place = segment.index % self._window_length
                if self._indices[slot, place] != segment.index:
                    missing.append((slot, place, segment))
            self._streamer_ids[slot] = window.streamer_id
            self.newest[slot], self.lengths[slot] = window.segment_index, length
        if missing:
            self._encode(missing)

    def clear(self, slot: int) -> None:
        """Forgets the room that held the slot."""
        self._indices[slot] = EMPTY
        self.newest[slot] = EMPTY
        self.lengths[slot] = 0

    def newest_input(self, slots: Ints, num_streamers: int) -> NetworkInput:
        """(B, 1, ...) of the slots' newest segments; no slot may be empty."""
        return self._input(
            slots, (self.newest[slots] % self._window_length)[:, None], num_streamers
        )

    def whole_input(self, slots: Ints, num_streamers: int) -> NetworkInput:
        """(B, S, ...) of all that the slots hold, oldest first, S the longest of their lengths.

        What stands behind a shorter one's end is padding, and means nothing.
        """
        lengths = self.lengths[slots]
        oldest = self.newest[slots] - lengths + 1
        places = (oldest[:, None] + np.arange(lengths.max())) % self._window_length
        return self._input(slots, places, num_streamers)

    def _input(self, slots: Ints, places: Ints, num_streamers: int) -> NetworkInput:
        at = slots[:, None], places
        buckets = [streamer_bucket(self._streamer_ids[slot], num_streamers) for slot in slots]
        return NetworkInput(
            torch.from_numpy(self._frames[at].astype(np.float32)),
            torch.from_numpy(self._texts[at]),
            torch.tensor(buckets, dtype=torch.int64),
            torch.from_numpy(self._present[at]),
        )

    def _encode(self, missing: Sequence[tuple[int, int, Segment]]) -> None:
        slots = np.array([slot for slot, _, _ in missing])
        places = np.array([place for _, place, _ in missing])
        segments = [segment for _, _, segment in missing]
        no_frame = np.zeros(self._frames.shape[-1], np.float16)
        self._frames[slots, places] = [
            no_frame if segment.frame_feature is None else segment.frame_feature
            for segment in segments
        ]
        has_text = np.array([segment.has_text for segment in segments])
        self._texts[slots[~has_text], places[~has_text]] = 0
        if has_text.any():
            self._texts[slots[has_text], places[has_text]] = self._text_encoder.encode(
                [(each.speech, each.comments) for each in segments if each.has_text]
            )
        self._present[slots, places, PICTURE_TOKEN] = [each.has_picture for each in segments]
        self._present[slots, places, TEXT_TOKEN] = has_text
        # Last, so that a segment whose encoding failed is not taken for one that is known.
        self._indices[slots, places] = [segment.index for segment in segments]
