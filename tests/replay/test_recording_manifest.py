from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from limelight.replay.readers.malformed import MalformedRecording
from limelight.replay.recording_manifest import read_manifest

Make = Callable[..., Path]

COMMENTS = '[comments]\nfile = "comments.csv"\n'
CSV = "time_ms,text\n5,a\n"


def test_every_key_is_read(make_recording: Make) -> None:
    folder = make_recording(
        'title = "A night"\nnote = "from two events"\nduration_ms = 90_000\n'
        'align_segments = "hash"\n[video]\nfile = "film.mp4"\noffset_ms = -5\nloop = true\n'
        '[comments]\nfile = "comments.csv"\nformat = "comments-csv"\noffset_ms = 7\n'
        '[[credits]]\ntext = "Ann"\nlicence = "MIT"\n'
        '[[credits]]\ntext = "Bob"\nlicence = "CC0"\nurl = "https://x.org"\n',
        film_mp4="x",
        comments_csv=CSV,
    )
    manifest = read_manifest(folder)
    china = timezone(timedelta(hours=8))
    assert manifest.started_at == datetime(2026, 5, 1, 20, tzinfo=china)
    assert (manifest.title, manifest.note, manifest.duration_ms) == (
        "A night",
        "from two events",
        90_000,
    )
    assert not manifest.align_to_start
    assert manifest.video is not None and manifest.comments is not None
    assert (manifest.video.offset_ms, manifest.video.loop) == (-5, True)
    assert (manifest.comments.format, manifest.comments.offset_ms) == ("comments-csv", 7)
    assert (manifest.asr, manifest.engagement) == (None, None)
    assert [(credit.text, credit.url) for credit in manifest.credits] == [
        ("Ann", None),
        ("Bob", "https://x.org"),
    ]


@pytest.mark.parametrize(
    ("manifest", "error"),
    [
        ("", "found no part, expected at least one of"),
        ('titel = "x"\n' + COMMENTS, "key titel: found an unknown key, expected one of .*title"),
        (COMMENTS + 'fil = "x"\n', "key comments.fil: found an unknown key, expected one of file"),
        (COMMENTS + "loop = true\n", "key comments.loop: found an unknown key"),
        ("title = 5\n" + COMMENTS, "key title: found 5, expected a string"),
        ("duration_ms = 1.5\n" + COMMENTS, "key duration_ms: found 1.5, expected a whole number"),
        ("duration_ms = true\n" + COMMENTS, "key duration_ms: found True, expected a whole"),
        ("duration_ms = 0\n" + COMMENTS, "key duration_ms: found 0, expected a number above 0"),
        ('align_segments = "end"\n' + COMMENTS, 'found \'end\', expected "start" or "hash"'),
        ("comments = 5\n", "key comments: found 5, expected a table"),
        ("[comments]\n", "key comments.file: found nothing, expected a string"),
        ('[comments]\nfile = ""\n', "key comments.file: found an empty string"),
        ('[comments]\nfile = "none.csv"\n', "'none.csv', which is no file"),
        ('[comments]\nfile = "../out.csv"\n', "found '../out.csv', expected a path inside"),
        ('[comments]\nfile = "/etc/hostname"\n', "expected a path inside"),
        ('[comments]\nfile = "a\\\\b"\n', "expected a path inside"),
        ('[video]\nfile = "comments.csv"\nloop = "yes"\n', "key video.loop: found 'yes'"),
        (COMMENTS + '[[credits]]\ntext = "a"\n', "key credits 1: licence: found nothing"),
        ("credits = [5]\n" + COMMENTS, "key credits: found 5, expected a table"),
        ("room_id = 5\n", "line 4, column 12: found broken TOML"),
        ("title = \n", "line 4, column 9: found broken TOML"),
    ],
)
def test_mistakes_are_named_by_key(make_recording: Make, manifest: str, error: str) -> None:
    folder = make_recording(manifest, comments_csv=CSV)
    (folder.parent / "out.csv").write_text(CSV)
    with pytest.raises(MalformedRecording, match=f"^recording.toml.*{error}"):
        read_manifest(folder)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('streamer_id = "a"', "key room_id: found nothing, expected a string"),
        (f'room_id = "{"r" * 201}"', "key room_id: found 201 characters, expected at most 200"),
        ('room_id = " "', "key room_id: found an empty string"),
        ('room_id = "a"\nstreamer_id = "b"', "key started_at: found nothing"),
        (
            'room_id = "a"\nstreamer_id = "b"\nstarted_at = 2026-05-01T20:00:00',
            "key started_at: found 2026-05-01 20:00:00, expected a date and time with its offset",
        ),
        ('room_id = "a"\nstreamer_id = "b"\nstarted_at = 2026-05-01', "expected a date and time"),
    ],
)
def test_what_identifies_a_stream_is_needed(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "recording.toml").write_text(text)
    with pytest.raises(MalformedRecording, match=error):
        read_manifest(tmp_path)


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MalformedRecording, match="found no such file, expected a folder with"):
        read_manifest(tmp_path)


def test_a_manifest_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recording.toml").write_bytes(b'room_id = "\xff"')
    with pytest.raises(MalformedRecording, match="byte 11: found another encoding"):
        read_manifest(tmp_path)


def test_a_link_out_of_the_folder_is_refused(make_recording: Make, tmp_path: Path) -> None:
    folder = make_recording('[comments]\nfile = "link.csv"\n')
    (tmp_path / "outside.csv").write_text(CSV)
    (folder / "link.csv").symlink_to(tmp_path / "outside.csv")
    with pytest.raises(MalformedRecording, match="expected a path inside"):
        read_manifest(folder)
