from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from limelight.models.datasets.clip_files import save_clips
from limelight.models.datasets.labelled_clip import LabelledClips
from limelight.models.datasets.labelled_video import LabelledVideos, load_videos, save_videos


def videos(count: int = 3) -> LabelledVideos:
    rng = np.random.default_rng(0)
    return LabelledVideos(
        video_ids=[f"v{at}" for at in range(count)],
        image_features=rng.standard_normal((count, 4)).astype(np.float32),
        text_features=rng.standard_normal((count, 5)).astype(np.float16),
        image_present=np.arange(count) % 2 == 0,
        text_present=np.ones(count, np.bool_),
        primary=[["music"]] * count,
        secondary=[[]] * count,
        tags=[["🎉", "two words"]] * count,
    )


def clips(count: int = 2) -> LabelledClips:
    rng = np.random.default_rng(0)
    return LabelledClips(
        clip_ids=["a", "b"],
        streamer_ids=["s", "s"],
        titles=["a title", " "],
        tags=[["x"], []],
        categories=["games", ""],
        subcategories=["chess", ""],
        seconds=np.array([20, 30], np.float32),
        frame_features=rng.random((count, 8, 4), np.float32),
        opening_frame_features=rng.random((count, 3, 4), np.float32),
        sound_features=np.zeros((count, 0, 6), np.float32),
        sound_lengths=np.zeros(count, np.int64),
        title_features=rng.random((count, 5), np.float32),
        covers=np.zeros((count, 2, 2, 3), np.uint8),
        cover_features=rng.random((count, 4), np.float32),
        impressions=np.zeros(count, np.int64),
        ctr=np.full(count, np.nan, np.float32),
        play_rate=np.full(count, np.nan, np.float32),
        daily_counts=np.zeros((count, 1, 5), np.float32),
    )


def assert_equal(found: LabelledVideos, expected: LabelledVideos) -> None:
    for name in LabelledVideos.__slots__:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_videos_are_read_as_they_were_written(tmp_path: Path) -> None:
    save_videos(tmp_path / "v.safetensors", videos())
    assert_equal(load_videos(tmp_path / "v.safetensors"), videos())


def test_clips_are_read_as_videos_by_cover_and_title(tmp_path: Path) -> None:
    save_clips(tmp_path / "c.safetensors", clips())
    found = load_videos(tmp_path / "c.safetensors")
    assert found.video_ids == ["a", "b"]
    assert (found.primary, found.secondary) == ([["games"], []], [["chess"], []])
    assert found.tags == [["x"], []]
    assert found.text_present.tolist() == [True, False]
    np.testing.assert_array_equal(found.image_features, clips().cover_features)


def test_selected_videos_are_those_of_the_rows() -> None:
    found = videos().select([2, 0])
    assert found.video_ids == ["v2", "v0"]
    np.testing.assert_array_equal(found.text_features, videos().text_features[[2, 0]])


def test_features_of_what_is_absent_may_be_anything() -> None:
    broken = videos().image_features.copy()
    broken[1] = np.nan
    replace(videos(), image_features=broken)
    broken[0, 2] = np.inf
    with pytest.raises(ValueError, match="image_features: found NaN or infinity in video 0"):
        replace(videos(), image_features=broken)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tags": [[]]}, "tags: found 1 videos, expected 3"),
        ({"text_features": np.zeros(3)}, r"text_features: found \(3,\), expected \(3, any\)"),
        ({"text_present": np.ones(3)}, r"text_present: found \(3,\) float64, expected \(3,\) bool"),
    ],
)
def test_columns_that_do_not_fit_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(videos(), **changes)  # type: ignore[arg-type]


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "v.safetensors"
    with pytest.raises(FileNotFoundError, match="expected labelled videos"):
        load_videos(path)
    save_file({"x": np.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"v.safetensors: found no schema without image_features"):
        load_videos(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="expected a safetensors file"):
        load_videos(path)
