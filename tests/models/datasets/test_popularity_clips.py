"""Labelled clips as videos to forecast, and a new clip in the same columns."""

from dataclasses import replace

import numpy as np
import pytest

from limelight.models.datasets.labelled_clip import COUNT_NAMES, LabelledClips
from limelight.models.datasets.popularity_clips import from_clips, new_clip, sound_vector


def some_clips(n: int = 3, days: int = 4) -> LabelledClips:
    random = np.random.default_rng(0)
    return LabelledClips(
        clip_ids=[f"clip-{each}" for each in range(n)],
        streamer_ids=["s1", "s2", "s1"][:n],
        titles=["a title", "", "more"][:n],
        tags=[["x"], [], ["x", "y"]][:n],
        categories=["talk", "", "dance"][:n],
        subcategories=["", "", "solo"][:n],
        seconds=np.array([3.0, 8.0, 20.0], np.float32)[:n],
        frame_features=random.normal(size=(n, 8, 5)).astype(np.float32),
        opening_frame_features=np.zeros((n, 3, 5), np.float32),
        sound_features=random.normal(size=(n, 12, 2)).astype(np.float16),
        sound_lengths=np.array([12, 0, 4])[:n],
        title_features=random.normal(size=(n, 6)).astype(np.float32),
        covers=np.zeros((n, 4, 4, 3), np.uint8),
        cover_features=np.zeros((n, 5), np.float32),
        impressions=np.ones(n, np.int64),
        ctr=np.full(n, np.nan, np.float32),
        play_rate=np.full(n, np.nan, np.float32),
        daily_counts=random.integers(0, 99, (n, days, 5)).astype(np.float32),
    )


def test_the_last_day_is_the_target_and_what_is_missing_is_masked() -> None:
    clips = some_clips()
    videos = from_clips(clips)
    assert videos.present.tolist() == [[True, True, True], [False, False, True], [True, True, True]]
    assert (videos.trend.shape, videos.audio.shape) == ((3, 3, 5), (3, 20))
    for name in ("favorite", "comment", "share", "like", "view"):
        column = COUNT_NAMES.index(name + "s")
        own = videos.target_names.index(name)
        np.testing.assert_array_equal(videos.targets[:, own], clips.daily_counts[:, -1, column])
        np.testing.assert_array_equal(videos.trend[:, :, own], clips.daily_counts[:, :-1, column])
    np.testing.assert_allclose(videos.vision, clips.frame_features.mean(axis=1), rtol=1e-5)
    assert videos.categories.tolist() == [[1, 2, 0], [2, 0, 0], [1, 1, 1]]
    assert from_clips(clips, trend_days=0).trend_present.shape == (3, 0)


def test_a_new_clip_has_the_columns_of_those_learned_from() -> None:
    clips = some_clips()
    videos = from_clips(clips)
    clip = new_clip(
        seconds=20.0,
        title="more",
        title_feature=clips.title_features[2],
        frame_features=clips.frame_features[2],
        sound_features=clips.sound_features[2, :4],
        tags=clips.tags[2],
        streamer_id="s1",
        category="dance",
        subcategory="solo",
    )
    for name in ("text", "audio", "vision", "present", "numbers"):
        np.testing.assert_array_equal(getattr(clip, name)[0], getattr(videos, name)[2], name)
    assert clip.number_names == videos.number_names
    assert clip.category_names == videos.category_names
    silent = new_clip(seconds=2.0, sound_features=np.zeros((0, 2)), frame_features=None)
    assert not silent.present.any()


def test_sound_is_ten_patches_filled_with_zeros() -> None:
    patches = np.arange(6, dtype=np.float32).reshape(3, 2)
    assert sound_vector(patches).tolist() == [0, 1, 2, 3, 4, 5, *[0] * 14]
    assert sound_vector(np.ones((12, 2))).tolist() == [1] * 20


def test_a_clip_of_one_day_has_no_trend_and_none_behind_it_is_refused() -> None:
    one_day = replace(some_clips(), daily_counts=np.ones((3, 1, 5), np.float32))
    assert not from_clips(one_day).trend_present.size
    with pytest.raises(ValueError, match="trend_days: found 4, expected 0 to 3"):
        from_clips(some_clips(), trend_days=4)
    nothing = replace(some_clips(), daily_counts=np.ones((3, 0, 5), np.float32))
    with pytest.raises(ValueError, match="trend_days: found -1"):
        from_clips(nothing)
