from pathlib import Path

import numpy as np
import pytest

from limelight.models.datasets.malformed import MalformedDataset
from limelight.models.datasets.phd import Highlight, PHDUser, evaluate_phd, read_phd

HEADER = "youtubeId,start,duration,user_id,video_duration,is_last\n"


def read(tmp_path: Path, rows: str) -> list[PHDUser]:
    path = tmp_path / "testing.csv"
    path.write_text(HEADER + rows, encoding="utf-8", newline="")
    return read_phd(path)


def test_a_user_has_a_target_and_a_history(tmp_path: Path) -> None:
    rows = (
        "made-up-id1,200.5,7.0,12999,314.0,True\r\n"
        "made-up-id1,206.0,5.0,12999,314.0,True\r\n"
        "made-up-id2,0.0,7.5,12999,-1.0,False\r\n"
    )
    assert read(tmp_path, rows) == [
        PHDUser(
            "12999",
            target=(
                Highlight("made-up-id1", 200.5, 207.5),
                Highlight("made-up-id1", 206.0, 211.0),
            ),
            history=(Highlight("made-up-id2", 0.0, 7.5),),
        )
    ]


def test_mixed_lines_and_other_column_orders_are_read(tmp_path: Path) -> None:
    path = tmp_path / "testing.csv"
    path.write_text(
        "is_last,youtubeId,user_id,duration,start,video_duration\n"
        "False,a,1,1,2,3\nTrue,b,2,1,2,3\nTrue,c,1,1,2,3\n",
        encoding="utf-8",
    )
    users = {user.user_id: user for user in read_phd(path)}
    assert list(users) == ["1", "2"]
    assert users["1"].target == (Highlight("c", 2.0, 3.0),)
    assert users["2"].history == ()


def test_a_user_without_a_last_video_has_no_target(tmp_path: Path) -> None:
    (user,) = read(tmp_path, "a,1,1,1,3,False\n")
    assert user.target == ()


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ("a,1,1,1,3\n", "line 2: found 5 cells, expected the 6 of the header"),
        ("../a,1,1,1,3,True\n", "line 2: found youtubeId '../a', expected a YouTube id"),
        (",1,1,1,3,True\n", "line 2: found youtubeId ''"),
        ("a,1,1,,3,True\n", "line 2: found no user_id"),
        ("a,x,1,1,3,True\n", "line 2: found start 'x', expected seconds, finite"),
        ("a,nan,1,1,3,True\n", "line 2: found start 'nan'"),
        ("a,-1,1,1,3,True\n", "line 2: found 1.0 s from -1.0 s"),
        ("a,1,0,1,3,True\n", "line 2: found 0.0 s from 1.0 s"),
        ("a,1,inf,1,3,True\n", "line 2: found duration 'inf'"),
        ("a,1,1,1,3,yes\n", "line 2: found is_last 'yes', expected True or False"),
        ('a,1,1,1,"3,True\n', "line 2: found broken CSV"),
        ("a,1,1,1,3,True\nb,1,1,1,3,True\n", "line 3: found user 1 with the last videos a, b"),
        ("a,1,1,1,3,True\na,2,1,1,3,False\n", "found user 1 with a as the last .* and as an"),
    ],
)
def test_malformed_files_are_refused(tmp_path: Path, rows: str, error: str) -> None:
    with pytest.raises(MalformedDataset, match=error):
        read(tmp_path, rows)


@pytest.mark.parametrize(
    ("content", "error"),
    [("", "found an empty file"), ("youtube_id,start\na,1\n", "line 1: found the columns")],
)
def test_files_without_the_columns_are_refused(tmp_path: Path, content: str, error: str) -> None:
    path = tmp_path / "testing.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(MalformedDataset, match=error):
        read_phd(path)


def plain_precisions(is_highlight: list[bool], scores: list[float]) -> tuple[float, float]:
    """Average precision, not interpolated and interpolated, written out."""
    precision_at = {}
    for level in set(scores):
        found = [h for h, s in zip(is_highlight, scores, strict=True) if s >= level]
        precision_at[level] = sum(found) / len(found)
    relevant = [s for h, s in zip(is_highlight, scores, strict=True) if h]
    plain = sum(precision_at[level] for level in relevant) / len(relevant)
    best = [max(precision_at[low] for low in precision_at if low <= s) for s in set(relevant)]
    return plain, sum(best) / len(best)


def test_the_figures_of_two_users_are_those_counted_by_hand() -> None:
    figures = evaluate_phd(
        [np.array([False, True, True, True]), np.array([True, False])],
        [np.array([4.0, 3.0, 2.0, 1.0]), np.array([1.0, 0.0])],
    )
    assert figures.mean_average_precision == pytest.approx(((1 / 2 + 2 / 3 + 3 / 4) / 3 + 1) / 2)
    assert figures.interpolated_mean_average_precision == pytest.approx((3 / 4 + 1) / 2)


def test_the_figures_equal_their_definitions_written_out() -> None:
    generator = np.random.default_rng(0)
    highlights, scores, plain = [], [], []
    for _ in range(40):
        frames = int(generator.integers(2, 60))
        is_highlight = generator.random(frames) < 0.3
        is_highlight[0] = True
        highlights.append(is_highlight)
        scores.append(generator.integers(0, 9, frames) / 8)
        plain.append(plain_precisions(is_highlight.tolist(), scores[-1].tolist()))
    figures = evaluate_phd(highlights, scores)
    expected = np.mean(plain, axis=0)
    assert figures.mean_average_precision == pytest.approx(expected[0], abs=1e-12)
    assert figures.interpolated_mean_average_precision == pytest.approx(expected[1], abs=1e-12)


def test_users_without_a_highlight_frame_are_counted_and_left_out() -> None:
    lit, unlit = np.array([True, False]), np.array([False, False])
    figures = evaluate_phd([unlit, lit], [np.zeros(2), np.array([1.0, 0.0])])
    assert (figures.num_users, figures.num_without_highlight) == (1, 1)
    assert figures.mean_average_precision == 1.0
    assert np.isnan(evaluate_phd([unlit], [np.zeros(2)]).mean_average_precision)


def test_scores_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="found 0 scores, 1 highlights"):
        evaluate_phd([np.array([True])], [])
    with pytest.raises(ValueError, match=r"user number 0: found scores of shape \(2,\)"):
        evaluate_phd([np.array([True])], [np.zeros(2)])
