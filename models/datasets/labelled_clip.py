"""Clips as columns: what is seen, heard and written of each, and what viewers made of it.

One file serves every model of what viewers get: each takes the columns that its paper names.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEY_FRAMES = 8
OPENING_SECONDS = 3
# Patches of 0.96 s that begin in the first three seconds.
OPENING_PATCHES = 3
COUNT_NAMES = ("views", "likes", "comments", "shares", "favorites")
UNKNOWN_CATEGORY = ""

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class LabelledClips:
    """n clips. Features are of any encoders, the same for all; float16 or float32.

    Args:
        clip_ids, streamer_ids, titles: n of each; an empty title is none.
        tags: n, each of any number, none included.
        categories: n names, "" for unknown.
        subcategories: n names below the categories, "" for unknown.
        seconds: (n,) float32, above 0.
        frame_features: (n, 8, F) key frames of the whole clip, in order; short clips repeat some.
        opening_frame_features: (n, 3, F) at 0, 1 and 2 s, or the last that there is.
        sound_features: (n, P, A) a patch of 0.96 s each; past `sound_lengths` of no meaning.
        sound_lengths: (n,) int64 in [0, P]; 0 for a silent clip, or one shorter than a patch.
        title_features: (n, T); of no meaning where the title is empty.
        covers: (n, H, W, 3) uint8.
        cover_features: (n, F).
        impressions: (n,) int64.
        ctr, play_rate: (n,) float32 in [0, 1], NaN where not measured. `play_rate` is the share of
            impressions that played at least three seconds.
        daily_counts: (n, D, 5) float32, as `COUNT_NAMES`, all that a clip has at a day's end.

    Raises:
        ValueError: a column of another length or shape, or a number out of range.
    """

    clip_ids: list[str]
    streamer_ids: list[str]
    titles: list[str]
    tags: list[list[str]]
    categories: list[str]
    subcategories: list[str]
    seconds: Floats
    frame_features: Floats
    opening_frame_features: Floats
    sound_features: Floats
    sound_lengths: NDArray[np.int64]
    title_features: Floats
    covers: NDArray[np.uint8]
    cover_features: Floats
    impressions: NDArray[np.int64]
    ctr: Floats
    play_rate: Floats
    daily_counts: Floats

    def __post_init__(self) -> None:
        count = len(self.clip_ids)
        for field in fields(self):
            column = getattr(self, field.name)
            if len(column) != count:
                raise ValueError(f"{field.name}: found {len(column)} clips, expected {count}")
        frame_size = self.frame_features.shape[-1]
        expected: dict[str, tuple[int | None, ...]] = {
            "seconds": (count,),
            "frame_features": (count, KEY_FRAMES, frame_size),
            "opening_frame_features": (count, OPENING_SECONDS, frame_size),
            "sound_features": (count, None, None),
            "sound_lengths": (count,),
            "title_features": (count, None),
            "covers": (count, None, None, 3),
            "cover_features": (count, frame_size),
            "impressions": (count,),
            "ctr": (count,),
            "play_rate": (count,),
            "daily_counts": (count, None, len(COUNT_NAMES)),
        }
        for name, shape in expected.items():
            found = getattr(self, name).shape
            fits = len(found) == len(shape) and all(
                wanted in (None, size) for size, wanted in zip(found, shape, strict=True)
            )
            if not fits:
                raise ValueError(f"{name}: found shape {found}, expected {shape}")
        for name in ("frame_features", "opening_frame_features", "cover_features", "daily_counts"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"{name}: found NaN or infinity, expected finite numbers")
        for name in ("ctr", "play_rate"):
            rate = getattr(self, name)
            outside = ~(((rate >= 0) & (rate <= 1)) | np.isnan(rate))
            if outside.any():
                at = int(outside.argmax())
                raise ValueError(f"{name}[{at}]: found {rate[at]}, expected 0 to 1, or NaN")
        patches = self.sound_features.shape[1]
        if count and not (0 <= self.sound_lengths.min() <= self.sound_lengths.max() <= patches):
            raise ValueError(f"sound_lengths: found some outside, expected 0 to {patches}")
        if not (self.seconds > 0).all():
            raise ValueError("seconds: found some of 0 or less, expected more than 0")

    def __len__(self) -> int:
        return len(self.clip_ids)

    def select(self, rows: Sequence[int] | NDArray[np.integer[Any]]) -> "LabelledClips":
        """The clips of some rows, in that order."""
        places = [int(row) for row in rows]
        columns: dict[str, Any] = {}
        for field in fields(self):
            column = getattr(self, field.name)
            is_array = isinstance(column, np.ndarray)
            columns[field.name] = column[places] if is_array else [column[at] for at in places]
        return LabelledClips(**columns)
