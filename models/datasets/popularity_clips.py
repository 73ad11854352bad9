"""Labelled clips as videos whose popularity is forecast, and one new clip in the same terms."""

from collections.abc import Sequence

import numpy as np

from limelight.models.datasets.labelled_clip import COUNT_NAMES, LabelledClips
from limelight.models.datasets.popularity_videos import (
    Floats,
    PopularityVideos,
    encoded_categories,
    one_video,
)

# Ten seconds, which is ten patches: 1,280 numbers of VGGish (section 2.3).
SOUND_PATCHES = 10
CLIP_NUMBERS = ("seconds", "tag_count", "title_length")
CLIP_CATEGORIES = ("streamer", "category", "subcategory")
_TARGETS = {
    "favorite": "favorites",
    "comment": "comments",
    "share": "shares",
    "like": "likes",
    "view": "views",
}
CLIP_COUNTS = tuple(_TARGETS)


def from_clips(clips: LabelledClips, *, trend_days: int | None = None) -> PopularityVideos:
    """The clips with their last day as the target, the first `trend_days` as the early trend.

    None takes all days but the last, as the paper does (day 6 from those before).

    Raises:
        ValueError: no clips, or no day behind the trend.
    """
    days = clips.daily_counts.shape[1]
    known = days - 1 if trend_days is None else trend_days
    if not 0 <= known < days:
        raise ValueError(f"trend_days: found {known}, expected 0 to {days - 1}, before the last")
    order = [COUNT_NAMES.index(name) for name in _TARGETS.values()]
    counts = np.asarray(clips.daily_counts, np.float64)[..., order]
    categories, vocabularies = encoded_categories(
        [clips.streamer_ids, clips.categories, clips.subcategories]
    )
    n = len(clips)
    sounds = zip(clips.sound_features, clips.sound_lengths, strict=True)
    return PopularityVideos(
        tuple(clips.clip_ids),
        text=np.asarray(clips.title_features, np.float32),
        audio=np.array([sound_vector(sound[:length]) for sound, length in sounds]),
        vision=np.array([picture_vector(frames) for frames in clips.frame_features]),
        present=np.stack(
            [
                np.array([bool(title) for title in clips.titles]),
                clips.sound_lengths > 0,
                np.ones(n, np.bool_),
            ],
            axis=1,
        ),
        numbers=np.array(
            [
                [seconds, len(tags), len(title)]
                for seconds, tags, title in zip(
                    clips.seconds, clips.tags, clips.titles, strict=True
                )
            ],
            np.float64,
        ),
        categories=categories,
        trend=counts[:, :known],
        trend_present=np.ones((n, known), np.bool_),
        targets=counts[:, -1],
        number_names=CLIP_NUMBERS,
        category_names=CLIP_CATEGORIES,
        vocabularies=vocabularies,
        trend_names=CLIP_COUNTS,
        target_names=CLIP_COUNTS,
    )


def new_clip(
    *,
    seconds: float,
    title: str = "",
    title_feature: Floats | None = None,
    frame_features: Floats | None = None,
    sound_features: Floats | None = None,
    tags: Sequence[str] = (),
    streamer_id: str = "",
    category: str = "",
    subcategory: str = "",
    clip_id: str = "",
) -> PopularityVideos:
    """One clip that nobody has seen yet, without a trend; what is not known is left out.

    Args:
        title_feature: (T,), None where there is no title.
        frame_features: (k, F) of key frames, None or k = 0 where there are none.
        sound_features: (p, A) patches from the clip's start, None or p = 0 for a silent one.
    """
    has_picture = frame_features is not None and len(frame_features)
    has_sound = sound_features is not None and len(sound_features)
    return one_video(
        video_id=clip_id,
        text=title_feature if title else None,
        audio=sound_vector(sound_features) if has_sound and sound_features is not None else None,
        vision=picture_vector(frame_features)
        if has_picture and frame_features is not None
        else None,
        numbers={"seconds": seconds, "tag_count": len(tags), "title_length": len(title)},
        categories={
            "streamer": streamer_id or None,
            "category": category or None,
            "subcategory": subcategory or None,
        },
    )


def sound_vector(patches: Floats) -> Floats:
    """(10 A,) float32: the first ten of (p, A) patches after each other, zeros where there is none.

    No 0.96 s patch overlaps the next, so ten are 9.6 s, the paper's ten seconds.
    """
    vector = np.zeros((SOUND_PATCHES, patches.shape[1]), np.float32)
    first = patches[:SOUND_PATCHES]
    vector[: len(first)] = first
    return vector.reshape(-1)


def picture_vector(frames: Floats) -> Floats:
    """(F,) the mean over (k, F) key frames; the paper does not say which frame it takes."""
    mean: Floats = np.asarray(frames, np.float32).mean(axis=0)
    return mean
