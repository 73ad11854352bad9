"""What ContentCTR learns from: one room's segments in order, their features and what viewers did.

A segment whose CTR nobody measured well enough carries NaN: it is seen by the network and left out
of every loss and measure.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

NUM_TOKENS = 2
# What a platform counts for each segment (the paper's section 4.3.2), in the order of `counts`.
COUNT_NAMES = (
    "impressions",
    "clicks",
    "comments",
    "gifts",
    "likes",
    "follows",
    "enters",
    "exits",
)

# The fields of a `RawRoom` that encoders turn into those of a `LabelledRoom`.
RAW_INPUTS = ("pictures", "token_ids")

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class LabelledRoom:
    """One room's S consecutive segments.

    Args:
        room_id, streamer_id: its ids.
        frame_features: (S, F) float16 or float32; a segment's mean frame feature.
        text_features: (S, T) float16 or float32; the feature of its speech and comments.
        present: (S, 2) bool; False where a segment has no picture, no text. Whatever the masked
            feature holds is never looked at.
        ctr: (S,) float32 in [0, 1], NaN where it was not measured.
        counts: (S, 8) float32, what the platform counted, columns as `COUNT_NAMES`.

    Raises:
        ValueError: shapes that do not fit, no segments, a CTR outside [0, 1], counts that are
            negative or not finite, or features that are not finite where they are present.
    """

    room_id: str
    streamer_id: str
    frame_features: Floats
    text_features: Floats
    present: NDArray[np.bool_]
    ctr: NDArray[np.float32]
    counts: NDArray[np.float32]

    def __post_init__(self) -> None:
        segments = len(self.ctr)
        if segments == 0:
            raise ValueError(f"room {self.room_id}: found no segments, expected at least one")
        for name, array, expected in (
            ("frame_features", self.frame_features, (segments, None)),
            ("text_features", self.text_features, (segments, None)),
            ("present", self.present, (segments, NUM_TOKENS)),
            ("ctr", self.ctr, (segments,)),
            ("counts", self.counts, (segments, len(COUNT_NAMES))),
        ):
            fits = len(array.shape) == len(expected) and all(
                wanted in (None, found) for found, wanted in zip(array.shape, expected, strict=True)
            )
            if not fits:
                shown = tuple("any" if size is None else size for size in expected)
                raise ValueError(
                    f"room {self.room_id}: {name}: found {array.shape}, expected {shown}"
                )
        if self.present.dtype != np.bool_:
            found = self.present.dtype
            raise ValueError(f"room {self.room_id}: present: found {found}, expected bool")
        self._check_values()

    def __len__(self) -> int:
        return len(self.ctr)

    def _check_values(self) -> None:
        _check_outcomes(self.room_id, self.ctr, self.counts)
        for column, (name, features) in enumerate(
            (("frame_features", self.frame_features), ("text_features", self.text_features))
        ):
            broken = self.present[:, column] & ~np.isfinite(features).all(axis=1)
            if broken.any():
                raise ValueError(
                    f"room {self.room_id}: {name}: found NaN or infinity in segment"
                    f" {int(np.argmax(broken))}, expected finite numbers or a masked segment"
                )


@dataclass(frozen=True, slots=True)
class RawRoom:
    """One room's S segments before any encoder: what encoders are trained on.

    Args:
        room_id, streamer_id, present, ctr, counts: as `LabelledRoom`.
        pictures: (S, P, height, width, 3) uint8 RGB, P pictures of each segment.
        token_ids: (S, length) int32, speech and comments as the tokenizer gives the pair, 0-padded.

    Raises:
        ValueError: lengths that differ, pictures that are not RGB bytes, or a segment that is said
            to have text and holds no token.
    """

    room_id: str
    streamer_id: str
    pictures: NDArray[np.uint8]
    token_ids: NDArray[np.int32]
    present: NDArray[np.bool_]
    ctr: NDArray[np.float32]
    counts: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ctr)

    def __post_init__(self) -> None:
        segments = len(self.ctr)
        if segments == 0:
            raise ValueError(f"room {self.room_id}: found no segments, expected at least one")
        for name in ("pictures", "token_ids", "present", "counts"):
            found = len(getattr(self, name))
            if found != segments:
                raise ValueError(
                    f"room {self.room_id}: {name}: found {found} segments, expected {segments}"
                )
        if self.pictures.ndim != 5 or self.pictures.shape[-1] != 3:
            raise ValueError(
                f"room {self.room_id}: pictures: found {self.pictures.shape},"
                f" expected ({segments}, any, any, any, 3)"
            )
        if self.pictures.dtype != np.uint8:
            found_type = self.pictures.dtype
            raise ValueError(f"room {self.room_id}: pictures: found {found_type}, expected uint8")
        for name, expected in (
            ("present", (segments, NUM_TOKENS)),
            ("counts", (segments, len(COUNT_NAMES))),
        ):
            shape = getattr(self, name).shape
            if shape != expected:
                raise ValueError(f"room {self.room_id}: {name}: found {shape}, expected {expected}")
        _check_outcomes(self.room_id, self.ctr, self.counts)
        silent = self.present[:, 1] & ~self.token_ids.any(axis=1)
        if silent.any():
            raise ValueError(
                f"room {self.room_id}: token_ids: found no token in segment"
                f" {int(np.argmax(silent))}, expected some or a masked segment"
            )


def _check_outcomes(room_id: str, ctr: NDArray[np.float32], counts: NDArray[np.float32]) -> None:
    measured = ctr[~np.isnan(ctr)]
    outside = measured[(measured < 0) | (measured > 1)]
    if len(outside):
        raise ValueError(f"room {room_id}: ctr: found {outside[0]}, expected 0 to 1")
    if not (np.isfinite(counts) & (counts >= 0)).all():
        raise ValueError(f"room {room_id}: counts: found a negative or infinite one, expected >= 0")
