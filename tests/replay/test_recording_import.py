import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from limelight.replay import recording_import
from limelight.replay.readers.malformed import MalformedRecording
from limelight.replay.recording_import import RecordingIdentity, import_recording

STARTED = datetime(2026, 5, 1, 12, 0, 0, 250_000, tzinfo=UTC)
IDENTITY = RecordingIdentity("room 1", 'an"na\x7f\n', STARTED, "tïtle 😂 \\", "a note")


def loose_files(folder: Path) -> dict[str, Path]:
    files = {
        "danmaku.bin": '<i><d p="2.5,1,25,1,1,0,abc,1">hi</d></i>',
        "words.TXT": "WEBVTT\n\n00:01.000 --> 00:02.000\nhello\n",
        "money.csv": "time_ms,kind,amount\n5,gift,1\n",
    }
    for name, content in files.items():
        (folder / name).write_text(content)
    return {name: folder / name for name in files}


def test_loose_files_become_a_recording(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    files = loose_files(tmp_path)
    film = make_video(tmp_path / "Film [1].MP4", 3)
    out = tmp_path / "made" / "recording"
    recording = import_recording([film, *files.values()], out, IDENTITY, loop=True)
    assert (recording.room_id, recording.streamer_id) == (IDENTITY.room_id, IDENTITY.streamer_id)
    assert (recording.title, recording.note) == (IDENTITY.title, IDENTITY.note)
    # `date -u -d 2026-05-01T12:00:00.250Z +%s%3N`
    assert recording.started_ms == 1_777_636_800_250
    assert recording.video is not None and recording.video.loop
    assert [comment.text for comment in recording.read_comments()] == ["hi"]
    assert [speech.text for speech in recording.read_speech()] == ["hello"]
    assert [count.counts for count in recording.read_engagement()] == [{"gift": 1.0}]
    assert [frame.offset_ms for frame in recording.read_frames([500])] == [500]
    assert sorted(file.name for file in out.iterdir()) == [
        "asr.txt",
        "comments.bin",
        "engagement.csv",
        "recording.toml",
        "video.mp4",
    ]
    assert list(out.parent.iterdir()) == [out]


def test_an_empty_folder_is_taken_and_a_full_one_refused(tmp_path: Path) -> None:
    files = loose_files(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    import_recording([files["money.csv"]], out, IDENTITY)
    before = sorted(out.iterdir())
    with pytest.raises(ValueError, match="found something there"):
        import_recording([files["money.csv"]], out, IDENTITY)
    assert sorted(out.iterdir()) == before


def test_a_broken_file_leaves_nothing_behind(
    tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    film = make_video(tmp_path / "film.mp4", 3)
    os.truncate(film, 200)
    (tmp_path / "bad.csv").write_text("time_ms,text\nx,y\n")
    for source in ("bad.csv", "film.mp4"):
        with pytest.raises(MalformedRecording):
            import_recording([tmp_path / source], tmp_path / "out" / "r", IDENTITY)
        assert list((tmp_path / "out").iterdir()) == []


def test_an_interrupt_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    files = loose_files(tmp_path)
    monkeypatch.setattr(recording_import, "load_recording", interrupt)
    with pytest.raises(KeyboardInterrupt):
        import_recording(files.values(), tmp_path / "out" / "r", IDENTITY)
    assert list((tmp_path / "out").iterdir()) == []


def test_two_files_for_one_part_are_refused(tmp_path: Path) -> None:
    files = loose_files(tmp_path)
    second = tmp_path / "second.csv"
    second.write_text("time_ms,text\n1,a\n")
    with pytest.raises(
        MalformedRecording, match=r"second.csv: found a second file for \[comments\]"
    ):
        import_recording([files["danmaku.bin"], second], tmp_path / "r", IDENTITY)


def test_absent_files_no_files_and_a_start_without_zone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MalformedRecording, match=r"none.csv: found no such file"):
        import_recording([tmp_path / "none.csv"], tmp_path / "r", IDENTITY)
    with pytest.raises(ValueError, match="expected at least one file"):
        import_recording([], tmp_path / "r", IDENTITY)
    with pytest.raises(ValueError, match="expected a time zone"):
        naive = RecordingIdentity("r", "s", datetime(2026, 5, 1))
        import_recording([], tmp_path / "r", naive)
