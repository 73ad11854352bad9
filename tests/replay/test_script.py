"""What a replay sends: the marks part the data exactly, and nothing is lost on the way."""

import io
from collections.abc import Callable, Iterable
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from limelight.replay.demo import bundled_recordings
from limelight.replay.recording import Recording, load_recording
from limelight.replay.script import MAX_COMMENT_LIST_BYTES, ScriptedMessage, script
from limelight.streams.assembly import (
    Emission,
    PartitionAssembly,
)
from limelight.streams.records import header_map
from limelight.streams.settings import AssemblerSettings
from limelight.streams.source_messages import MAX_COMMENTS_A_MESSAGE, SourceMessage
from limelight.streams.watermark import no_ack

BASE_MS = 1_700_000_000_000
LATENESS_MS = 2_000
PARTS = '[comments]\nfile="c.csv"\n[asr]\nfile="s.vtt"\n'

Make = Callable[..., Path]


def play(recordings: Iterable[Recording], **changes: Any) -> list[ScriptedMessage]:
    options = {
        "base_ms": BASE_MS,
        "segment_ms": 30_000,
        "partitions": 4,
        "mark_interval_ms": 2_000,
        "closing_delay_ms": LATENESS_MS,
        "user_key": b"a key of 16 bytes or more",
    }
    return list(script(list(recordings), **(options | changes)))


@cache
def play_bundled(mark_interval_ms: int) -> list[ScriptedMessage]:
    recordings = map(load_recording, bundled_recordings())
    return play(recordings, mark_interval_ms=mark_interval_ms)


def is_mark(message: ScriptedMessage) -> bool:
    return header_map(message.headers).get("kind") == "watermark"


def event_times(message: ScriptedMessage) -> list[int]:
    """The event time of all that a message carries, read from what goes over the wire."""
    headers = header_map(message.headers)
    if "event_time_ms" in headers:
        return [int(headers["event_time_ms"])]
    value = orjson.loads(message.value)
    entries = value if isinstance(value, list) else [value]
    return [entry["event_time_ms" if "event_time_ms" in entry else "end_ms"] for entry in entries]


def assert_marks_part_the_data(messages: list[ScriptedMessage]) -> None:
    """Older than a mark is before it, and not older is behind it, in each topic-partition."""
    mark_ms: dict[tuple[str, int], int] = {}
    newest_ms: dict[tuple[str, int], int] = {}
    for message in messages:
        place = message.topic, message.partition
        times = event_times(message)
        if is_mark(message):
            assert times[0] > max(mark_ms.get(place, 0), newest_ms.get(place, 0))
            mark_ms[place] = times[0]
        else:
            assert min(times) >= mark_ms.get(place, 0)
            newest_ms[place] = max(newest_ms.get(place, 0), *times)


def texts(messages: list[ScriptedMessage]) -> list[str]:
    return [
        comment["text"]
        for message in messages
        if message.topic == "comments" and message.value
        for comment in orjson.loads(message.value)
    ]


@pytest.mark.parametrize("mark_interval_ms", [2_000, 12_000])
def test_marks_part_the_data_of_the_bundled_recordings(mark_interval_ms: int) -> None:
    recordings = [load_recording(folder) for folder in bundled_recordings()]
    messages = play_bundled(mark_interval_ms)
    assert_marks_part_the_data(messages)
    assert sorted(texts(messages)) == sorted(
        line.text for recording in recordings for line in recording.read_comments()
    )
    last_ms = max(recording.duration_ms for recording in recordings)
    for topic, partition in product(("frames", "asr", "comments"), range(4)):
        marks = [each for each in messages if is_mark(each) and each.topic == topic]
        times = [event_times(mark)[0] for mark in marks if mark.partition == partition]
        expected = range(BASE_MS, BASE_MS + last_ms + 1, mark_interval_ms)
        assert times[:-1] == [BASE_MS - 1, *expected]


@given(
    comments=st.lists(st.integers(0, 9_000), max_size=12),
    speech=st.lists(st.integers(0, 9_000), max_size=4),
    duration_ms=st.just(9_001) | st.integers(1, 9_001),
    align=st.sampled_from(["start", "hash"]),
    mark_interval_ms=st.sampled_from([2_000, 4_000]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_marks_part_the_data_whatever_the_times(
    make_recording: Make, comments, speech, duration_ms, align, mark_interval_ms
) -> None:
    lines = [f"{offset_ms},u,at {offset_ms}" for offset_ms in comments]
    cues = [f"00:00.000 --> 00:{ms // 1000:02d}.{ms % 1000:03d}\nsaid\n" for ms in speech]
    top = f'duration_ms = {duration_ms}\nalign_segments = "{align}"\n'
    folder = make_recording(
        top + PARTS,
        c_csv="\n".join(["time_ms,user,text", *lines]) + "\n",
        s_vtt="\n".join(["WEBVTT\n", *cues]),
    )
    messages = play([load_recording(folder)], mark_interval_ms=mark_interval_ms)
    assert_marks_part_the_data(messages)
    assert texts(messages) == [f"at {ms}" for ms in sorted(comments) if ms < duration_ms]


def test_the_last_marks_are_one_for_each_topic_and_partition_and_close_every_segment() -> None:
    messages = play_bundled(12_000)
    last = messages[-12:]
    assert [(mark.topic, mark.partition) for mark in last] == list(
        product(("frames", "asr", "comments"), range(4))
    )
    # Whatever a room's phase, a segment ends within its own length after what is in it.
    newest_ms = max(max(event_times(message)) for message in messages[:-12])
    assert all(is_mark(mark) for mark in last)
    assert all(event_times(mark)[0] >= newest_ms + 30_000 + LATENESS_MS for mark in last)


def assemble(messages: Iterable[ScriptedMessage]) -> list[bytes]:
    """The windows of a room without pictures, and nothing but windows."""
    limits = AssemblerSettings(allowed_lateness_ms=LATENESS_MS)
    assembly = PartitionAssembly(0, limits, max_message_bytes=1_000_000, wall_ms=lambda: 0)
    emissions: list[Emission] = []
    for offset, message in enumerate(messages):
        topic = "frame-features" if message.topic == "frames" else message.topic
        headers = header_map(message.headers)
        source = SourceMessage(topic, 0, offset, message.value, headers, no_ack)
        emissions += assembly.process(source)
    assert {emission.topic for emission in emissions} == {"windows"}
    return [emission.value for emission in emissions]


def test_users_are_hashed_and_windows_do_not_depend_on_the_key(make_recording: Make) -> None:
    lines = [f"{k * 700},viewer-{k % 7},text {k}" for k in range(100)]
    folder = make_recording(
        '[comments]\nfile="c.csv"\n', c_csv="\n".join(["time_ms,user,text", *lines]) + "\n"
    )
    runs = [play([load_recording(folder)], partitions=1, user_key=key * 16) for key in (b"a", b"b")]
    users = [
        {entry["user"] for message in run if message.value for entry in orjson.loads(message.value)}
        for run in runs
    ]
    assert [len(each) for each in users] == [7, 7]
    assert not users[0] & users[1]
    assert "viewer" not in "".join(users[0] | users[1])
    windows = assemble(runs[0])
    assert windows == assemble(runs[1])
    assert orjson.loads(windows[0])["segments"][-1]["user_count"] == 7


def test_every_room_is_assembled_to_its_end() -> None:
    (recording,) = [
        recording for recording in map(load_recording, bundled_recordings()) if not recording.video
    ]
    windows = [orjson.loads(value) for value in assemble(play([recording], partitions=1))]
    said = sum(window["segments"][-1]["comment_count"] for window in windows)
    assert said == sum(1 for _ in recording.read_comments())
    assert [window["final"] for window in windows] == [False] * (len(windows) - 1) + [True]


@pytest.mark.parametrize(("count", "length"), [(2_500, 1), (400, 1_000)])
def test_lists_that_are_too_large_are_split_and_keep_their_order(
    make_recording: Make, count: int, length: int
) -> None:
    # All within two seconds, many of them at the very same moment, three bytes a character.
    said = [f"{number} " + "弹" * length for number in range(count)]
    lines = [f"{1_000 + 500 * (number * 2 // count)},u,{text}" for number, text in enumerate(said)]
    folder = make_recording(
        '[comments]\nfile="c.csv"\n', c_csv="\n".join(["time_ms,user,text", *lines]) + "\n"
    )
    messages = play([load_recording(folder)])
    assert texts(messages) == said
    assert_marks_part_the_data(messages)
    lists = [message.value for message in messages if message.topic == "comments" and message.value]
    assert len(lists) > 1
    for value in lists:
        entries = orjson.loads(value)
        assert len(entries) <= MAX_COMMENTS_A_MESSAGE
        # Between the entries stand commas, and brackets around them.
        assert len(value) - len(entries) - 1 <= MAX_COMMENT_LIST_BYTES


@pytest.mark.parametrize(
    ("size", "sent_size"),
    [((1_280, 720), (640, 360)), ((480, 960), (320, 640)), ((64, 48), (64, 48))],
)
def test_large_pictures_are_made_smaller_and_keep_their_shape(
    make_recording: Make, make_video: Callable[..., Path], size, sent_size
) -> None:
    folder = make_recording("")
    make_video(folder / "film.mp4", 3, rate=4, size=size)
    make_recording('[video]\nfile="film.mp4"\n')
    messages = play([load_recording(folder)], segment_ms=3_000)
    frames = [message for message in messages if message.topic == "frames" and message.value]
    assert [frame.at_ms - BASE_MS for frame in frames] == [500, 1_500, 2_500]
    for frame in frames:
        with Image.open(io.BytesIO(frame.value)) as picture:
            assert (picture.format, picture.size) == ("JPEG", sent_size)
        assert event_times(frame) == [frame.at_ms]


def test_what_cannot_be_played_is_refused_before_the_first_message(make_recording: Make) -> None:
    folder = make_recording('[comments]\nfile="c.csv"\n', c_csv="time_ms,user,text\n5,u,a\n")
    recording = load_recording(folder)
    with pytest.raises(ValueError, match="found no recordings"):
        play([])
    with pytest.raises(ValueError, match="found a room id twice"):
        play([recording, recording])
    with pytest.raises(ValueError, match="mark_interval_ms: found 3000, expected a multiple"):
        play([recording], mark_interval_ms=3_000)


@pytest.fixture
def short(tmp_path: Path) -> Recording:
    """8 s, whose last line and last counts end with it."""
    (tmp_path / "recording.toml").write_text(
        'room_id="r"\nstreamer_id="s"\nstarted_at=2026-05-01T20:00:00+08:00\n'
        '[asr]\nfile="s.vtt"\n[engagement]\nfile="e.csv"\n'
    )
    (tmp_path / "s.vtt").write_text(
        "WEBVTT\n\n00:01.000 --> 00:03.000\none\n\n00:05.000 --> 00:08.000\ntwo\n"
    )
    (tmp_path / "e.csv").write_text("start_ms,end_ms,clicks\n0,4000,2\n4000,8000,3\n")
    return load_recording(tmp_path)


def test_what_ends_with_the_recording_is_sent_in_its_last_segment(short: Recording) -> None:
    messages = [each for each in play([short]) if each.value]
    speech = [orjson.loads(each.value) for each in messages if each.topic == "asr"]
    counts = [orjson.loads(each.value) for each in messages if each.topic == "engagement"]
    assert [line["text"] for line in speech] == ["one", "two"]
    assert [line["clicks"] for line in counts] == [2, 3]
    start_ms = speech[0]["room_started_ms"]
    assert start_ms is not None
    for record in (*speech, *counts):
        assert record["room_started_ms"] == start_ms
        assert record["start_ms"] <= record["end_ms"] < start_ms + 8_000


@pytest.mark.parametrize("cut_ms", [1, 5_000, 7_001, 8_000])
def test_two_parts_of_a_replay_send_what_the_whole_one_does_once_each(
    make_recording: Make, make_video: Callable[..., Path], cut_ms: int
) -> None:
    lines = [f"{k * 90},u{k},text {k}" for k in range(100)]
    folder = make_recording("")
    make_video(folder / "film.mp4", 9, rate=4)
    make_recording(
        '[comments]\nfile="c.csv"\n[video]\nfile="film.mp4"\n[asr]\nfile="s.vtt"\n',
        c_csv="\n".join(["time_ms,user,text", *lines]) + "\n",
        s_vtt="WEBVTT\n\n00:01.000 --> 00:05.000\none\n\n00:05.000 --> 00:08.000\ntwo\n",
    )
    recordings = [load_recording(folder)]
    cut = BASE_MS + cut_ms
    whole = play(recordings, segment_ms=3_000)
    before = play(recordings, segment_ms=3_000, to_ms=cut)
    after = play(recordings, segment_ms=3_000, from_ms=cut)
    data = [[each for each in part if not is_mark(each)] for part in (before, after)]
    assert data[0] + data[1] == [each for each in whole if not is_mark(each)]
    assert {each.topic for each in data[1]} >= {"frames", "comments"}
    assert all(each.at_ms < cut for each in data[0])
    assert all(each.at_ms >= cut for each in data[1])
    for part in (before, after):
        assert_marks_part_the_data(part)
    # Only a first part's closing marks lie behind the cut, for nobody goes on after those.
    assert all(event_times(each)[0] <= cut for each in before[:-12] if is_mark(each))


def test_a_room_that_ends_where_the_interval_ends_does_end(short: Recording) -> None:
    kinds = [header_map(each.headers).get("kind") for each in play([short], to_ms=BASE_MS + 8_000)]
    assert kinds.count("room-end") == 1
    kinds = [header_map(each.headers).get("kind") for each in play([short], to_ms=BASE_MS + 7_999)]
    assert kinds.count("room-end") == 0
