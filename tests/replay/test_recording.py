from collections.abc import Callable
from pathlib import Path

import pytest
from PIL.Image import Image

import limelight.replay
from limelight.replay.readers.lines import CommentLine, EngagementLine, SpeechLine
from limelight.replay.recording import MalformedRecording, load_recording

Make = Callable[..., Path]

BUNDLED = Path(next(iter(limelight.replay.__path__))) / "recordings"

COMMENTS = "time_ms,user,text\n4000,u1,a\n1000,u2,b\n9000,,c\n"
SPEECH = "WEBVTT\n\n00:01.000 --> 00:03.000\none\n\n00:05.000 --> 00:08.000\ntwo\n"
ENGAGEMENT = "start_ms,end_ms,clicks\n0,2000,1\n2000,4000,2\n4000,12000,3\n"
PARTS = '[comments]\nfile="c.csv"\n{0}\n[asr]\nfile="s.vtt"\n{0}\n[engagement]\nfile="e.csv"\n{0}\n'


def make_all(make_recording: Make, top: str, part: str) -> Path:
    manifest = top + PARTS.format(part)
    return make_recording(manifest, c_csv=COMMENTS, s_vtt=SPEECH, e_csv=ENGAGEMENT)


def test_parts_are_read_on_one_clock_in_file_order(make_recording: Make) -> None:
    recording = load_recording(make_all(make_recording, "", "offset_ms = 500"))
    # 2026-05-01T12:00:00Z, by `date -u -d 2026-05-01T20:00:00+08:00 +%s`
    assert recording.started_ms == 1_777_636_800_000
    assert (recording.room_id, recording.streamer_id) == ("room-1", "anna")
    assert recording.align_to_start
    assert list(recording.read_comments()) == [
        CommentLine(4_500, "u1", "a"),
        CommentLine(1_500, "u2", "b"),
        CommentLine(9_500, "", "c"),
    ]
    assert list(recording.read_speech()) == [
        SpeechLine(1_500, 3_500, "one"),
        SpeechLine(5_500, 8_500, "two"),
    ]
    assert [line.end_ms for line in recording.read_engagement()] == [2_500, 4_500, 12_500]
    assert recording.duration_ms == 12_500
    assert list(recording.read_frames([0, 5_000])) == []


def test_what_lies_outside_the_recording_is_left_out_or_cut(make_recording: Make) -> None:
    folder = make_all(make_recording, "duration_ms = 6_000\n", "offset_ms = -2_000")
    recording = load_recording(folder)
    assert recording.duration_ms == 6_000
    assert [line.text for line in recording.read_comments()] == ["a"]
    assert list(recording.read_speech()) == [
        SpeechLine(0, 1_000, "one"),
        SpeechLine(3_000, 6_000, "two"),
    ]
    assert list(recording.read_engagement()) == [
        EngagementLine(0, 2_000, {"clicks": 2.0}),
        EngagementLine(2_000, 6_000, {"clicks": 3.0}),
    ]


def test_the_last_comment_lies_inside_the_duration(make_recording: Make) -> None:
    recording = load_recording(make_recording('[comments]\nfile="c.csv"\n', c_csv=COMMENTS))
    assert recording.duration_ms == 9_001


def test_a_recording_of_nothing_has_no_duration(make_recording: Make) -> None:
    recording = load_recording(make_recording('[asr]\nfile="s.vtt"\n', s_vtt="WEBVTT\n"))
    assert list(recording.read_speech()) == []
    with pytest.raises(MalformedRecording, match="found nothing in any part"):
        _ = recording.duration_ms


def test_pictures_follow_the_videos_offset_and_loop(
    make_recording: Make,
    make_video: Callable[..., Path],
    find_second: Callable[[Image, int], int],
) -> None:
    folder = make_recording("")
    make_video(folder / "film.mp4", 10)
    make_recording('duration_ms = 24_000\n[video]\nfile="film.mp4"\noffset_ms=2_000\nloop=true\n')
    recording = load_recording(folder)
    frames = list(recording.read_frames([1_999, 2_500, 6_500, 11_999, 12_500, 23_999, 24_000]))
    assert [frame.offset_ms for frame in frames] == [2_500, 6_500, 11_999, 12_500, 23_999]
    assert [find_second(frame.image, 10) for frame in frames] == [0, 4, 9, 0, 1]


@pytest.mark.parametrize(
    ("video", "duration_ms"),
    [("", 10_000), ("loop = true", 9_001), ("offset_ms = 5_000", 15_000)],
)
def test_a_looping_video_has_no_end_of_its_own(
    make_recording: Make, make_video: Callable[..., Path], video: str, duration_ms: int
) -> None:
    folder = make_recording("")
    make_video(folder / "film.mp4", 10)
    manifest = f'[video]\nfile="film.mp4"\n{video}\n[comments]\nfile="c.csv"\n'
    make_recording(manifest, c_csv=COMMENTS)
    assert load_recording(folder).duration_ms == duration_ms


def test_a_looping_video_alone_lasts_one_round(
    make_recording: Make, make_video: Callable[..., Path]
) -> None:
    folder = make_recording("")
    make_video(folder / "film.mp4", 10)
    make_recording('[video]\nfile="film.mp4"\nloop=true\n')
    assert load_recording(folder).duration_ms == 10_000


@pytest.mark.parametrize(
    ("part", "error"),
    [
        ('[asr]\nfile="c.csv"\n', "key asr.file: found format comments-csv, expected srt, vtt"),
        ('[comments]\nfile="c.csv"\nformat="csv"\n', "key comments.format: found format csv"),
    ],
)
def test_a_format_that_does_not_fit_its_part_is_refused(
    make_recording: Make, part: str, error: str
) -> None:
    with pytest.raises(MalformedRecording, match=f"^recording.toml, {error}"):
        load_recording(make_recording(part, c_csv=COMMENTS))


def test_what_comes_before_a_broken_line_is_read(make_recording: Make) -> None:
    broken = COMMENTS + "oops,u,d\n"
    recording = load_recording(make_recording('[comments]\nfile="c.csv"\n', c_csv=broken))
    comments = recording.read_comments()
    assert [next(comments).text for _ in range(3)] == ["a", "b", "c"]
    with pytest.raises(MalformedRecording, match=r"^c.csv, line 5: found 'oops'"):
        next(comments)


@pytest.mark.parametrize("name", ["big-buck-bunny-live", "elephants-dream-captions"])
def test_bundled_recordings_say_that_they_prove_no_accuracy(name: str) -> None:
    recording = load_recording(BUNDLED / name)
    assert recording.room_id == name
    assert "different events" in recording.note and "nothing about accuracy" in recording.note
    assert recording.credits
    assert recording.duration_ms % 30_000 == 0


def test_bundled_recordings_are_small() -> None:
    assert sum(file.stat().st_size for file in BUNDLED.rglob("*")) <= 12 * 1024 * 1024


def test_the_bundled_live_room_has_comments_pictures_and_paid_events() -> None:
    folder = BUNDLED / "big-buck-bunny-live"
    recording = load_recording(folder)
    written = (folder / "comments.ass").read_text(encoding="utf-8").count("\nDialogue:")
    # Two of the comments of the first 30 minutes hold no word.
    assert len(list(recording.read_comments())) == written - 2 == 2_757
    assert len(list(recording.read_engagement())) == 32
    assert recording.video is not None and recording.video.loop
    images = [frame.image for frame in recording.read_frames([5_000, 1_795_000])]
    assert [image.size for image in images] == [(256, 144), (256, 144)]
