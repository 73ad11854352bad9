"""The columns of labelled clips that an ad network looks at."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from limelight.models.ad_ctr.model import UNKNOWN_CATEGORY, AdBatch
from limelight.models.datasets.labelled_clip import OPENING_PATCHES, LabelledClips


def ad_clips(
    clips: LabelledClips, target: str, categories: Sequence[str], *, min_impressions: int = 0
) -> AdBatch:
    """The clips whose rate was measured, by at least so many impressions.

    Raises:
        ValueError: there is none.
    """
    rates = clips.ctr if target == "ctr" else clips.play_rate
    measured = np.flatnonzero(~np.isnan(rates) & (clips.impressions >= min_impressions))
    if not len(measured):
        raise ValueError(
            f"{target}: found no clip where it was measured by {min_impressions} impressions or"
            " more, expected some"
        )
    chosen = clips.select(measured)
    sounds, lengths = chosen.sound_features, chosen.sound_lengths
    frames = chosen.frame_features
    if target == "play_rate":
        frames = chosen.opening_frame_features
        sounds, lengths = sounds[:, :OPENING_PATCHES], np.minimum(lengths, OPENING_PATCHES)
    return ad_batch(frames, sounds, lengths, chosen.categories, categories, rates[measured])


def ad_batch(
    frames: NDArray[np.floating],
    sounds: NDArray[np.floating],
    lengths: NDArray[np.integer],
    names: Sequence[str],
    categories: Sequence[str],
    rates: NDArray[np.floating] | None = None,
) -> AdBatch:
    """Arrays and category names as a batch; names that are not among `categories` are unknown."""
    numbers = {name: place for place, name in enumerate(categories, UNKNOWN_CATEGORY + 1)}
    known = [numbers.get(name, UNKNOWN_CATEGORY) for name in names]
    return AdBatch(
        torch.from_numpy(np.ascontiguousarray(frames, np.float32)),
        torch.from_numpy(np.ascontiguousarray(sounds, np.float32)),
        torch.from_numpy(np.ascontiguousarray(lengths, np.int64)),
        torch.tensor(known, dtype=torch.int64),
        torch.empty(0) if rates is None else torch.from_numpy(np.asarray(rates, np.float32)),
    )


def category_names(clips: LabelledClips) -> list[str]:
    """Every category of the clips, in alphabetical order, unknown left out."""
    return sorted({name for name in clips.categories if name})
