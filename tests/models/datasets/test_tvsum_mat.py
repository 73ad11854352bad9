from pathlib import Path

import h5py
import numpy as np
import pytest

from limelight.models.datasets.malformed import MalformedDataset
from limelight.models.datasets.tvsum import read_tvsum
from limelight.models.datasets.tvsum_mat import TVSumVideo, read_tvsum_mat

FRAMES = 13


def made_up_importance() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 6, (20, FRAMES)).astype(np.float64)


def write_mat(path: Path, **changes: object) -> Path:
    """Writes one made-up video the way MATLAB does: references to cells, text as codes."""

    def codes(text: str) -> np.ndarray:
        return np.frombuffer(text.encode("utf-16-le"), np.uint16)[:, None]

    cells = {
        "video": codes("made-up-id1"),
        "title": codes("Wie man „Räder“ wechselt"),
        "category": codes("VT"),
        "length": np.array([[6.5]]),
        "nframes": np.array([[float(FRAMES)]]),
        "user_anno": made_up_importance(),
        **changes,
    }
    with h5py.File(path, "w") as file:
        table = file.create_group("tvsum50")
        for name, cell in cells.items():
            if cell is None:
                continue
            stored = file.create_dataset(f"#refs#/{name}", data=cell)
            column = table.create_dataset(name, (1, 1), dtype=h5py.ref_dtype)
            column[0, 0] = stored.ref
    return path


def test_a_video_is_read(tmp_path: Path) -> None:
    (video,) = read_tvsum_mat(write_mat(tmp_path / "made-up.mat"))
    assert (video.video_id, video.category, video.length_s) == ("made-up-id1", "VT", 6.5)
    assert video.title == "Wie man „Räder“ wechselt"
    assert video.importance.dtype == np.float32
    np.testing.assert_array_equal(video.importance, made_up_importance())


def test_a_clip_takes_the_rating_of_its_middle_frame(tmp_path: Path) -> None:
    (video,) = read_tvsum_mat(write_mat(tmp_path / "made-up.mat"))
    # 2 frames a second: three whole clips, their middles at 1, 3 and 5 s.
    np.testing.assert_array_equal(video.clip_importance(), made_up_importance()[:, [2, 6, 10]].T)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"video": None}, "no tvsum50/video"),
        ({"title": None}, "no title in video 0"),
        ({"title": np.zeros((3, 1))}, "title of float64 in video 0, expected text"),
        ({"nframes": np.array([[12.0]])}, r"user_anno of shape \(20, 13\) in video 0"),
        ({"length": np.array([[np.nan]])}, "length nan in video 0"),
        ({"length": np.zeros((2, 2))}, "length of float64"),
        ({"user_anno": np.zeros((20, FRAMES))}, "user_anno from 0.0 to 0.0"),
        ({"user_anno": np.full((19, FRAMES), 2.0)}, r"user_anno of shape \(19, 13\)"),
    ],
)
def test_malformed_files_are_refused(
    tmp_path: Path, changes: dict[str, object], error: str
) -> None:
    with pytest.raises(MalformedDataset, match=rf"made-up\.mat: found {error}"):
        list(read_tvsum_mat(write_mat(tmp_path / "made-up.mat", **changes)))


def test_a_column_without_references_is_refused(tmp_path: Path) -> None:
    path = write_mat(tmp_path / "made-up.mat")
    with h5py.File(path, "a") as file:
        del file["tvsum50/title"]
        file["tvsum50/title"] = np.zeros((1, 1))
    with pytest.raises(MalformedDataset, match="no title in video 0"):
        list(read_tvsum_mat(path))


def test_another_file_than_hdf5_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.mat"
    path.write_bytes(b"MATLAB 5.0 MAT-file")
    with pytest.raises(MalformedDataset, match=r"old\.mat: found no HDF5 file"):
        list(read_tvsum_mat(path))
    with pytest.raises(FileNotFoundError):
        list(read_tvsum_mat(tmp_path / "none.mat"))


@pytest.mark.shared_data
def test_the_real_file_holds_the_ratings_of_the_exchanged_form(shared_data: Path) -> None:
    folder = shared_data / "tvsum50"
    videos: dict[str, TVSumVideo] = {
        video.video_id: video for video in read_tvsum_mat(folder / "ydata-tvsum50.mat")
    }
    assert len(videos) == 50
    names = ("tvsum_train_release.jsonl", "tvsum_val_release.jsonl")
    exchanged = [clips for name in names for clips in read_tvsum(folder / name)]
    assert len(exchanged) == 50
    for clips in exchanged:
        video = videos[clips.video_id]
        assert video.category == clips.domain
        importance = video.clip_importance()
        # Some lack the last clip.
        assert len(importance) - len(clips.importance) in (0, 1)
        np.testing.assert_array_equal(importance[: len(clips.importance)], clips.importance)
