"""The neutral file: what comes back, what a lone video is, and what is refused."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from limelight.models.datasets.popularity_videos import (
    PopularityVideos,
    encoded_categories,
    load_popularity_videos,
    one_video,
    save_popularity_videos,
)


def two_videos() -> PopularityVideos:
    return PopularityVideos(
        video_ids=("a", "b"),
        text=np.ones((2, 3), np.float32),
        audio=np.zeros((2, 0), np.float32),
        vision=np.zeros((2, 0), np.float32),
        present=np.array([[True, False, False], [False, False, False]]),
        numbers=np.array([[1.0], [np.nan]]),
        categories=np.array([[1], [0]]),
        trend=np.array([[[1.0], [2.0]], [[3.0], [np.nan]]]),
        trend_present=np.array([[True, True], [True, False]]),
        targets=np.array([[5.0], [0.0]]),
        number_names=("followers",),
        category_names=("city",),
        vocabularies=(("Köln",),),
        trend_names=("favorite",),
        target_names=("favorite",),
    )


def test_a_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    videos = two_videos()
    save_popularity_videos(tmp_path / "new" / "videos.safetensors", videos)
    found = load_popularity_videos(tmp_path / "new" / "videos.safetensors")
    for field in fields(PopularityVideos):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(videos, field.name))
    assert found.vocabularies == (("Köln",),)


def test_videos_are_taken_by_place_or_mask() -> None:
    videos = two_videos()
    assert videos.take(np.array([1, 0])).video_ids == ("b", "a")
    assert videos.take(np.array([False, True])).targets.tolist() == [[0.0]]
    with pytest.raises(ValueError, match="videos: found none"):
        videos.take(np.zeros(2, np.bool_))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"targets": np.array([[5.0], [np.nan]])}, "video b: targets: found .*nan"),
        ({"targets": np.array([[-1.0], [0.0]])}, "video a: targets: found"),
        ({"trend": np.full((2, 2, 1), np.nan)}, "video a: trend: found .*nan.*masked day"),
        ({"numbers": np.array([[1.0], [-1.0]])}, "video b: numbers: found"),
        ({"numbers": np.array([[np.inf], [1.0]])}, "video a: numbers: found"),
        ({"text": np.full((2, 3), np.nan)}, "video a: text: found"),
        ({"categories": np.array([[2], [0]])}, "video a: categories: found"),
        ({"categories": np.array([[1.0], [0.0]])}, "categories: found float64"),
        ({"text": np.zeros((2, 0))}, "text: found no numbers"),
        ({"present": np.ones((2, 3), np.int64)}, "present: found int64"),
        ({"numbers": np.ones((2, 2))}, r"numbers: found \(2, 2\), expected \(2, 1\)"),
        ({"trend": np.ones((2, 1, 1))}, r"trend: found \(2, 1, 1\), expected \(2, 2, 1\)"),
        ({"vocabularies": ()}, "vocabularies: found 0, expected 1"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        replace(two_videos(), **changes)


def test_one_video_of_plain_values() -> None:
    video = one_video(
        text=[1.0, 2.0],
        numbers={"followers": 3, "age": None},
        categories={"city": "Köln", "gender": None},
        trend=[{"favorite": 1, "view": 2}, {"view": 4, "favorite": 3}],
    )
    assert video.text.tolist() == [[1.0, 2.0]]
    assert video.present.tolist() == [[True, False, False]]
    np.testing.assert_array_equal(video.numbers, [[3.0, np.nan]])
    assert (video.category_names, video.vocabularies) == (("city",), (("Köln",),))
    assert video.trend.tolist() == [[[1.0, 2.0], [3.0, 4.0]]]
    assert len(one_video()) == 1
    with pytest.raises(ValueError, match="trend, day 1: found"):
        one_video(trend=[{"favorite": 1}, {"view": 4}])


def test_categories_are_coded_from_one_and_empty_is_unknown() -> None:
    codes, vocabularies = encoded_categories([["b", "a", "", "b"], ["x", "x", "x", "x"]])
    assert codes.tolist() == [[2, 1], [1, 1], [0, 1], [2, 1]]
    assert vocabularies == (("a", "b"), ("x",))


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "videos.safetensors"
    with pytest.raises(FileNotFoundError, match="found no file"):
        load_popularity_videos(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"expected a safetensors file"):
        load_popularity_videos(path)
    save_file({"text": np.zeros(2)}, path)
    with pytest.raises(ValueError, match="found no schema with"):
        load_popularity_videos(path)
    save_popularity_videos(path, two_videos())
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"video_ids", b"video_idz"))
    with pytest.raises(ValueError, match=r"names: found .*expected an object"):
        load_popularity_videos(path)
