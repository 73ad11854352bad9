import logging
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from limelight.models.datasets.malformed import MalformedDataset
from limelight.models.datasets.phd import Highlight, PHDUser
from limelight.models.datasets.phd_examples import PHDCoverage, PHDExamples, frames_of


def save_video(folder: Path, video_id: str, frames: int, **changes: np.ndarray | None) -> None:
    """Made-up features, a frame a second: frame i is (i, frames)."""
    arrays = {
        "frame_features": np.stack([np.arange(frames), np.full(frames, frames)], 1),
        "text_features": np.zeros((frames, 3)),
        "times_s": np.arange(frames),
        **changes,
    }
    kept = {name: np.float32(array) for name, array in arrays.items() if array is not None}
    save_file(kept, folder / f"{video_id}.safetensors")


def user(*history: Highlight, target: tuple[float, float] = (3, 5)) -> PHDUser:
    return PHDUser("1", target=(Highlight("last", *target),), history=history)


def test_an_example_has_the_whole_target_video_and_its_highlights(tmp_path: Path) -> None:
    save_video(tmp_path, "last", 8)
    (example,) = PHDExamples([user()], tmp_path)
    assert (example.user_id, example.video_id) == ("1", "last")
    assert example.frame_features[:, 0].tolist() == list(range(8))
    assert example.text_features.shape == (8, 3)
    assert np.flatnonzero(example.is_highlight).tolist() == [3, 4]
    assert example.history.shape == (0, 2)


def test_several_highlights_of_the_target_are_one_truth(tmp_path: Path) -> None:
    save_video(tmp_path, "last", 8)
    chosen = (Highlight("last", 1, 3), Highlight("last", 2, 4), Highlight("last", 7, 90))
    (example,) = PHDExamples([PHDUser("1", chosen, ())], tmp_path)
    assert np.flatnonzero(example.is_highlight).tolist() == [1, 2, 3, 7]


def test_a_history_is_the_mean_of_each_earlier_highlight(tmp_path: Path) -> None:
    save_video(tmp_path, "last", 8)
    save_video(tmp_path, "first", 20)
    save_video(tmp_path, "second", 5, text_features=None)
    earlier = (Highlight("first", 2, 5), Highlight("second", 0, 1), Highlight("first", 90, 91))
    (example,) = PHDExamples([user(*earlier)], tmp_path)
    # Frames 2, 3 and 4 of the first; frame 0 of the second; what lies past the end has none.
    assert example.history.tolist() == [[3, 20], [0, 5]]


def test_a_history_keeps_the_first_twenty(tmp_path: Path) -> None:
    save_video(tmp_path, "last", 8)
    save_video(tmp_path, "first", 60)
    earlier = [Highlight("first", second, second + 1) for second in range(30)]
    (example,) = PHDExamples([user(*earlier)], tmp_path)
    assert example.history[:, 0].tolist() == list(range(20))
    (short,) = PHDExamples([user(*earlier)], tmp_path, most_history=2)
    assert short.history[:, 0].tolist() == [0, 1]


def test_missing_features_are_counted_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_video(tmp_path, "last", 8)
    save_video(tmp_path, "first", 20)
    users = [
        user(Highlight("first", 2, 5), Highlight("gone", 2, 5), Highlight("gone", 7, 9)),
        PHDUser("2", target=(Highlight("gone", 0, 1),), history=()),
        PHDUser("3", target=(), history=(Highlight("first", 0, 1),)),
    ]
    with caplog.at_level(logging.WARNING):
        examples = PHDExamples(users, tmp_path)
    assert examples.coverage == PHDCoverage(
        num_users=3,
        num_without_target=1,
        num_targets_missing=1,
        num_history_videos=3,
        num_history_videos_missing=1,
    )
    assert len(examples) == examples.coverage.num_examples == 1
    (example,) = examples
    assert example.history.tolist() == [[3, 20]]
    assert [record.message for record in caplog.records] == ["PHD videos have no features"]


def test_a_whole_coverage_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_video(tmp_path, "last", 8)
    PHDExamples([user()], tmp_path)
    assert not caplog.records


@pytest.mark.parametrize(
    ("start_s", "end_s", "frames"),
    [
        (1.0, 3.0, [1, 2]),
        (0.5, 2.5, [1, 2]),
        (1.2, 1.4, [1]),
        (1.6, 1.8, [2]),
        (1.4, 1.6, [1]),
        (3.5, 9.0, []),
        (2.9, 9.0, [3]),
    ],
)
def test_frames_of_a_highlight(start_s: float, end_s: float, frames: list[int]) -> None:
    highlight = Highlight("last", start_s, end_s)
    assert list(range(*frames_of(highlight, np.arange(4.0)))) == frames


def test_training_pieces_contain_a_highlight_and_are_of_one_length(tmp_path: Path) -> None:
    save_video(tmp_path, "last", 500)
    chosen = (Highlight("last", 10, 12), Highlight("last", 400, 401))
    examples = PHDExamples([PHDUser("1", chosen, ())], tmp_path)
    pieces = list(examples.training_pieces())
    assert [(piece.times_s[0], len(piece.times_s)) for piece in pieces] == [(0, 192), (308, 192)]
    assert np.flatnonzero(pieces[1].is_highlight).tolist() == [92]
    assert pieces[1].frame_features[92].tolist() == [400, 500]
    assert pieces[1].text_features.shape == (192, 3)


def test_a_short_video_is_one_short_piece(tmp_path: Path) -> None:
    save_video(tmp_path, "last", 8)
    (piece,) = PHDExamples([user()], tmp_path).training_pieces()
    assert len(piece.times_s) == 8


@pytest.mark.parametrize("frames", [191, 192, 193, 384])
def test_pieces_cover_every_highlight(tmp_path: Path, frames: int) -> None:
    save_video(tmp_path, "last", frames)
    everything = user(target=(0, frames))
    pieces = list(PHDExamples([everything], tmp_path).training_pieces())
    assert {time for piece in pieces for time in piece.times_s} == set(range(frames))
    assert {len(piece.times_s) for piece in pieces} == {min(192, frames)}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"times_s": None}, "no times_s"),
        ({"frame_features": None}, "no frame_features"),
        ({"times_s": np.zeros(8)}, r"times_s of shape \(8,\) that do not rise"),
        ({"times_s": np.array([np.nan])}, "times_s .* not finite"),
        ({"times_s": np.zeros((8, 1))}, r"times_s of shape \(8, 1\)"),
        ({"times_s": np.zeros(0)}, r"times_s of shape \(0,\)"),
        ({"frame_features": np.zeros((7, 2))}, r"frame_features of shape \(7, 2\)"),
        ({"frame_features": np.zeros(8)}, r"frame_features of shape \(8,\)"),
        ({"frame_features": np.full((8, 2), np.inf)}, "frame_features with NaN or infinity"),
        ({"text_features": np.zeros((9, 3))}, r"text_features of shape \(9, 3\)"),
    ],
)
def test_malformed_features_are_refused(
    tmp_path: Path, changes: dict[str, np.ndarray | None], error: str
) -> None:
    save_video(tmp_path, "last", 8, **changes)
    with pytest.raises(MalformedDataset, match=rf"last\.safetensors: found {error}"):
        list(PHDExamples([user()], tmp_path))


def test_another_file_than_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "last.safetensors").write_bytes(b"not one")
    with pytest.raises(MalformedDataset, match=r"last\.safetensors: found no safetensors file"):
        list(PHDExamples([user()], tmp_path))


def test_features_of_two_sizes_are_refused(tmp_path: Path) -> None:
    save_video(tmp_path, "last", 8)
    save_video(tmp_path, "other", 8, text_features=None)
    save_video(tmp_path, "wide", 8, frame_features=np.zeros((8, 5)))
    two = [user(), PHDUser("2", (Highlight("other", 0, 1),), ())]
    with pytest.raises(MalformedDataset, match=r"other.*: found frames and texts of .*\(2, 0\)"):
        list(PHDExamples(two, tmp_path))
    with pytest.raises(MalformedDataset, match=r"wide.*: found frame_features of 5 numbers"):
        list(PHDExamples([user(Highlight("wide", 0, 1))], tmp_path))


def test_lengths_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="most_history: found -1"):
        PHDExamples([], tmp_path, most_history=-1)
    with pytest.raises(ValueError, match="num_frames: found 0"):
        list(PHDExamples([], tmp_path).training_pieces(0))
