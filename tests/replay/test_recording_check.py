import os
from collections.abc import Callable
from pathlib import Path

import pytest

import limelight.replay
from limelight.replay.recording import load_recording
from limelight.replay.recording_check import PartCheck, check_recording

Make = Callable[..., Path]

BUNDLED = Path(next(iter(limelight.replay.__path__))) / "recordings"


def check(folder: Path) -> tuple[list[PartCheck], int]:
    counts: list[int] = []
    checks = list(check_recording(load_recording(folder), counts.append))
    return checks, sum(counts)


def test_counts_and_times_are_told(make_recording: Make) -> None:
    folder = make_recording(
        '[comments]\nfile="c.csv"\n[asr]\nfile="s.vtt"\n',
        c_csv="time_ms,text\n4000,a\n1000,b\n9000,c\n",
        s_vtt="WEBVTT\n",
    )
    checks, items = check(folder)
    assert items == 3
    assert checks == [
        PartCheck("comments", "comments-csv", 3, 1_000, 9_000, "1 not in the order of time"),
        PartCheck("asr", "vtt", 0, None, None, "nothing inside the recording's time"),
    ]


def test_every_part_is_checked_though_one_is_broken(
    make_recording: Make, make_video: Callable[..., Path]
) -> None:
    folder = make_recording("")
    film = make_video(folder / "film.mp4", 60)
    os.truncate(film, film.stat().st_size // 2)
    make_recording(
        '[video]\nfile="film.mp4"\n[comments]\nfile="c.xml"\n[engagement]\nfile="e.csv"\n',
        c_xml='<i><d p="1,1">a</d><d p="2,1">b</d>',
        e_csv="time_ms,kind,amount\n5,gift,1\n",
    )
    video, comments, engagement = check(folder)[0]
    assert (video.count, video.first_ms) == (3, 5_000)
    assert "film.mp4, at 35.0 s: found" in str(video.problem)
    assert "c.xml, line 1, column 36: found broken XML" in str(comments.problem)
    assert (engagement.count, engagement.problem) == (1, None)


@pytest.mark.parametrize("folder", sorted(BUNDLED.iterdir()), ids=lambda folder: folder.name)
def test_bundled_recordings_have_nothing_wrong(folder: Path) -> None:
    assert [check.problem for check in check(folder)[0] if check.problem] == []
