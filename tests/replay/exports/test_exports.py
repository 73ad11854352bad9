"""Highlights as tables, edit lists and clips; clips are compared with the film itself."""

import csv
import re
import resource
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import orjson
import pytest

from limelight.replay.exports.clips import cut_clip, parts_of
from limelight.replay.exports.edl import Cut, edl, timecode
from limelight.replay.exports.export import export_recording
from limelight.replay.exports.highlights import ExportFailed, read_highlights, write_csv

NTSC = Fraction(30_000, 1_001)
BASE_MS = 1_777_636_800_000  # the start in the tests' recording.toml


def event(number: int, kind: str, start_s: float, end_s: float, room: str = "room-1") -> bytes:
    data = {
        "kind": kind,
        "room_id": room,
        "start_ms": BASE_MS + round(start_s * 1_000),
        "end_ms": BASE_MS + round(end_s * 1_000),
        "timings": {},
        "reason": '=up, "most" said: 666\n哈',
        "peak": {"value": 0.5},
        "baseline": 0.25,
    }
    envelope = {"specversion": "1.0", "id": f"{number}/{kind}", "subject": f"h{number}"}
    return orjson.dumps(envelope | {"data": data}) + b"\n"


@pytest.mark.parametrize(
    ("rate", "dropped"),
    [
        (Fraction(25), 0),
        (Fraction(24_000, 1_001), 0),
        (NTSC, 2),
        (Fraction(60_000, 1_001), 4),
    ],
)
def test_timecodes_are_those_of_counting_frame_by_frame(rate: Fraction, dropped: int) -> None:
    a_second, frame = round(rate), 0
    separator = ";" if dropped else ":"
    for minute in range(62):
        for second in range(60):
            for number in range(a_second):
                if dropped and second == 0 and number < dropped and minute % 10:
                    continue
                if number < 5 or number == a_second - 1:
                    code = (
                        f"{minute // 60:02d}:{minute % 60:02d}:{second:02d}{separator}{number:02d}"
                    )
                    assert timecode(frame, rate) == code
                frame += 1
    if dropped == 2:
        # Published examples: SMPTE 12M's drop-frame count.
        assert timecode(1_800, rate) == "00:01:00;02"
        assert timecode(17_982, rate) == "00:10:00;00"
        assert timecode(107_892, rate) == "01:00:00;00"


def test_an_edit_list_has_events_of_equal_length_in_source_and_record() -> None:
    text = edl("a room", "film.mp4", [Cut(60_060, 90_090, "one\ntwo"), Cut(0, 1_001, "")], NTSC)
    lines = text.splitlines()
    assert lines[:2] == ["TITLE: a room", "FCM: DROP FRAME"]
    events = [line for line in lines if re.match(r"\d{3}  ", line)]
    codes = [re.findall(r"\d\d:\d\d:\d\d;\d\d", line) for line in events]
    assert codes == [
        ["00:01:00;02", "00:01:30;02", "00:00:00;00", "00:00:30;00"],
        ["00:00:00;00", "00:00:01;00", "00:00:30;00", "00:00:31;00"],
    ]
    assert events[0].split()[:4] == ["001", "AX", "V", "C"]
    assert "* LOC: 00:00:00;00 RED     one two" in lines
    with pytest.raises(ValueError, match="found 1000 highlights, expected at most 999"):
        edl("t", "c", [Cut(0, 1_000, "")] * 1_000, NTSC)


def test_the_newest_event_of_each_highlight_becomes_a_row(tmp_path: Path) -> None:
    file, table = tmp_path / "highlights.jsonl", tmp_path / "h.csv"
    file.write_bytes(
        event(2, "opened", 60, 90)
        + event(1, "closed", 10, 45, "room-2")
        + event(1, "opened", 10, 40, "room-2")
        + b"\n"
        + event(2, "updated", 60, 120)
    )
    write_csv(read_highlights(file), table)
    with table.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [(row["id"], row["seconds"]) for row in rows] == [("h1", "35.0"), ("h2", "60.0")]
    assert rows[0]["start"] == "2026-05-01T12:00:10.000Z"
    assert rows[0]["reason"] == '\'=up, "most" said: 666\n哈'
    assert [each.highlight_id for each in read_highlights(file, ["room-1"])] == ["h2"]
    file.write_bytes(event(1, "opened", 1, 2) + b'{"oops": 1}\n')
    with pytest.raises(ExportFailed, match=r"highlights.jsonl, line 2: found "):
        read_highlights(file)


def pictures(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as file:
        return [
            (frame.pts * frame.time_base, frame.to_ndarray().tobytes())
            for frame in file.decode(video=0)
        ]


def sound_s(path: Path) -> float:
    with av.open(str(path)) as file:
        return sum(frame.samples / frame.sample_rate for frame in file.decode(audio=0))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".flv"])
def test_a_clip_has_the_films_pictures_from_the_key_frame_before_its_start(
    tmp_path: Path, make_video: Callable[..., Path], suffix: str
) -> None:
    film = make_video(tmp_path / f"film{suffix}", 12, sound_seconds=12)  # key frames every 2 s
    out = tmp_path / ("clip.mkv" if suffix == ".mkv" else "clip.mp4")
    cut_clip(film, [(5_500, 9_000)], out, exact=False)
    film_pictures, clip = pictures(film), pictures(out)
    assert clip[0][0] == 0
    # The encoder made the picture at 5 s a key frame; a few that others needed may follow 9 s.
    assert 40 <= len(clip) <= 44
    assert [picture for _, picture in clip[:40]] == [picture for _, picture in film_pictures[50:90]]
    assert [at for at, _ in clip[:40]] == pytest.approx([k / 10 for k in range(40)], abs=0.002)
    assert 3.7 <= sound_s(out) <= 4.4


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_pictures_that_are_shown_for_uneven_times_are_all_in_the_clip(
    tmp_path: Path, suffix: str
) -> None:
    # Matroska of such pictures, in another order than they are coded in, has no decoding times.
    film, times_ms = tmp_path / f"film{suffix}", [0, 40, 80, 900, 940, 2_000, 2_500, 3_000, 3_900]
    rng = np.random.default_rng(0)
    with av.open(str(film), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1_000)
        for at_ms in times_ms:
            pixels = rng.integers(0, 255, (48, 64, 3), np.uint8)
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            picture.pts, picture.time_base = at_ms, Fraction(1, 1_000)
            file.mux(stream.encode(picture))
        file.mux(stream.encode())
    cut_clip(film, [(500, 3_940)], tmp_path / "clip.mp4", exact=False)
    clip = pictures(tmp_path / "clip.mp4")
    assert [round(1_000 * at) for at, _ in clip] == times_ms
    assert [each for _, each in clip] == [each for _, each in pictures(film)]


def test_a_codec_that_mp4_does_not_take_is_said_and_goes_into_matroska(
    tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    film = make_video(tmp_path / "film.webm", 4, codec="libvpx")
    with pytest.raises(ExportFailed, match=r"clip.mp4: found 'mp4' format does not support"):
        cut_clip(film, [(0, 3_000)], tmp_path / "clip.mp4", exact=False)
    cut_clip(film, [(0, 3_000)], tmp_path / "clip.mkv", exact=False)
    first = (tmp_path / "clip.mkv").read_bytes()
    assert len(pictures(tmp_path / "clip.mkv")) == 30
    # Nothing in it comes from a clock or a random number.
    cut_clip(film, [(0, 3_000)], tmp_path / "clip.mkv", exact=False)
    assert (tmp_path / "clip.mkv").read_bytes() == first


def test_an_exact_clip_begins_and_ends_where_it_should(
    tmp_path: Path, make_video: Callable[..., Path], find_second: Callable[..., int]
) -> None:
    film = make_video(tmp_path / "film.mp4", 12, sound_seconds=12)
    cut_clip(film, [(5_500, 9_000)], tmp_path / "clip.mp4", exact=True)
    with av.open(str(tmp_path / "clip.mp4")) as file:
        frames = list(file.decode(video=0))
        seconds = [find_second(frame.to_image(), 12) for frame in frames]
    assert seconds == [5] * 5 + [6] * 10 + [7] * 10 + [8] * 10
    assert float(frames[0].pts * frames[0].time_base) == pytest.approx(0, abs=0.001)
    assert 3.3 <= sound_s(tmp_path / "clip.mp4") <= 3.7


@pytest.mark.parametrize("exact", [False, True])
def test_a_clip_over_the_end_of_a_looping_video_goes_on_at_its_beginning(
    tmp_path: Path, make_video: Callable[..., Path], find_second: Callable[..., int], exact: bool
) -> None:
    film = make_video(tmp_path / "film.mp4", 10)
    parts = parts_of(28_000, 33_000, 10_000, loop=True)
    assert parts == [(8_000, 10_000), (0, 3_000)]
    cut_clip(film, parts, tmp_path / "clip.mp4", exact=exact)
    with av.open(str(tmp_path / "clip.mp4")) as file:
        frames = list(file.decode(video=0))
        seconds = [find_second(frame.to_image(), 10) for frame in frames]
    assert seconds[:50] == [8] * 10 + [9] * 10 + [0] * 10 + [1] * 10 + [2] * 10
    times = [float(frame.pts * frame.time_base) for frame in frames]
    assert times[:50] == pytest.approx([k / 10 for k in range(50)], abs=0.002)


@pytest.mark.parametrize(("start", "end"), [(-1, 5), (5, 5), (9_000, 10_001), (11_000, 12_000)])
def test_what_lies_outside_of_the_video_is_refused(start: int, end: int) -> None:
    with pytest.raises(ExportFailed, match=r"expected a part of a video of 10\.0 s"):
        parts_of(start, end, 10_000, loop=False)


@pytest.mark.parametrize("exact", [False, True])
def test_a_disk_that_is_full_leaves_no_part_of_a_clip(
    tmp_path: Path, make_video: Callable[..., Path], exact: bool
) -> None:
    film = make_video(tmp_path / "film.mp4", 10)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, before[1]))
    try:
        with pytest.raises(ExportFailed, match=r"clip.mp4: found .*expected a clip to be written"):
            cut_clip(film, [(0, 9_000)], tmp_path / "clip.mp4", exact=exact)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_a_recordings_highlights_become_clips_and_an_edit_list(
    tmp_path: Path, make_recording: Callable[..., Path], make_video: Callable[..., Path]
) -> None:
    events = tmp_path / "highlights.jsonl"
    events.write_bytes(event(1, "closed", 4, 6) + event(2, "closed", 8, 30))
    options = {"edl_path": tmp_path / "h.edl", "clips_folder": tmp_path / "clips"}
    options |= {"exact": False, "base_ms": None}
    folder = make_recording('[comments]\nfile="c.csv"\n', c_csv="time_ms,user,text\n1,u,a\n")
    with pytest.raises(ExportFailed, match="found no video, expected one to cut"):
        list(export_recording(events, folder, **options))
    make_video(folder / "film.mp4", 12)
    make_recording('[video]\nfile="film.mp4"\noffset_ms=2000\n')
    written = list(export_recording(events, folder, **options))
    assert [path.name for path in written] == ["h.edl", "room-1-001.mp4", "room-1-002.mp4"]
    text = (tmp_path / "h.edl").read_text()
    # The video began 2 s late, and the second highlight ends with it.
    assert "00:00:02:00 00:00:04:00 00:00:00:00 00:00:02:00" in text
    assert "00:00:06:00 00:00:12:00 00:00:02:00 00:00:08:00" in text
    assert len(pictures(written[2])) == 60
