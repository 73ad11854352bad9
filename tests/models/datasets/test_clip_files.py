"""Labelled clips survive the disk, and broken ones are refused by name."""

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from limelight.models.datasets.clip_files import is_clip_file, load_clips, save_clips
from limelight.models.datasets.labelled_clip import LabelledClips


def make_clips(count: int = 3) -> LabelledClips:
    rng = np.random.default_rng(0)
    return LabelledClips(
        clip_ids=[f"clip-{n}" for n in range(count)],
        streamer_ids=["a"] * count,
        titles=["", "😀😀", "一支舞"][:count],
        tags=[[], ["舞蹈"], ["音乐", "新人"]][:count],
        categories=["", "dance", "dance"][:count],
        subcategories=["", "", "dance/新人"][:count],
        seconds=np.array([2.0, 5.0, 9.0], np.float32)[:count],
        frame_features=rng.normal(size=(count, 8, 4)).astype(np.float16),
        opening_frame_features=rng.normal(size=(count, 3, 4)).astype(np.float16),
        sound_features=rng.normal(size=(count, 6, 5)).astype(np.float16),
        sound_lengths=np.array([0, 5, 6])[:count],
        title_features=rng.normal(size=(count, 7)).astype(np.float16),
        covers=rng.integers(0, 256, (count, 8, 8, 3), np.uint8),
        cover_features=rng.normal(size=(count, 4)).astype(np.float16),
        impressions=np.array([10, 1000, 2000])[:count],
        ctr=np.array([np.nan, 0.1, 0.2], np.float32)[:count],
        play_rate=np.array([np.nan, 0.4, 1.0], np.float32)[:count],
        daily_counts=np.zeros((count, 6, 5), np.float32),
    )


def test_clips_come_back_as_they_were(tmp_path: Path) -> None:
    clips = make_clips()
    save_clips(tmp_path / "clips.safetensors", clips)
    assert is_clip_file(tmp_path / "clips.safetensors")
    found = load_clips(tmp_path / "clips.safetensors")
    for field in fields(LabelledClips):
        ours, theirs = getattr(clips, field.name), getattr(found, field.name)
        np.testing.assert_array_equal(ours, theirs) if isinstance(ours, np.ndarray) else None
        assert isinstance(ours, np.ndarray) or ours == theirs


def test_some_clips_are_chosen_in_order() -> None:
    chosen = make_clips().select([2, 0])
    assert chosen.clip_ids == ["clip-2", "clip-0"]
    assert chosen.tags == [["音乐", "新人"], []]
    np.testing.assert_array_equal(chosen.frame_features, make_clips().frame_features[[2, 0]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"titles": ["one"]}, "titles: found 1 clips, expected 3"),
        ({"frame_features": np.zeros((3, 7, 4))}, r"frame_features: found shape \(3, 7, 4\)"),
        ({"cover_features": np.full((3, 4), np.nan)}, "cover_features: found NaN"),
        ({"ctr": np.array([0.1, 1.5, 0.2])}, r"ctr\[1\]: found 1.5, expected 0 to 1, or NaN"),
        ({"sound_lengths": np.array([0, 5, 7])}, "sound_lengths: found some outside"),
        ({"seconds": np.array([1.0, 0.0, 2.0])}, "seconds: found some of 0 or less"),
    ],
)
def test_a_broken_column_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(make_clips(), **change)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"x": np.zeros(1)}, path)
    assert not is_clip_file(path)
    with pytest.raises(ValueError, match=r"other.safetensors: found no schema without seconds"):
        load_clips(path)
    path.write_bytes(b"no tensors")
    with pytest.raises(ValueError, match="expected a safetensors file"):
        load_clips(path)
    with pytest.raises(FileNotFoundError, match="found no file"):
        load_clips(tmp_path / "none.safetensors")


def test_words_that_are_no_words_are_refused(tmp_path: Path) -> None:
    path, clips = tmp_path / "clips.safetensors", make_clips()
    words = {
        name: getattr(clips, name)
        for name in ("clip_ids", "streamer_ids", "titles", "categories", "subcategories")
    }
    arrays = {
        field.name: np.ascontiguousarray(getattr(clips, field.name))
        for field in fields(LabelledClips)
        if isinstance(getattr(clips, field.name), np.ndarray)
    }
    text = json.dumps(words | {"tags": [[1], [], []]})
    save_file(arrays, path, {"schema": "limelight-clips-1", "words": text})
    with pytest.raises(ValueError, match=r"words\.tags: found some that are no words"):
        load_clips(path)
