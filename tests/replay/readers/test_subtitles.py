from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limelight.replay.readers.lines import SpeechLine
from limelight.replay.readers.malformed import MalformedRecording
from limelight.replay.readers.subtitles import read_srt, read_vtt


def srt(tmp_path: Path, content: str) -> list[SpeechLine]:
    file = tmp_path / "speech.srt"
    file.write_text(content, encoding="utf-8", newline="")
    return list(read_srt(file))


def vtt(tmp_path: Path, content: str) -> list[SpeechLine]:
    file = tmp_path / "speech.vtt"
    file.write_text(content, encoding="utf-8", newline="")
    return list(read_vtt(file))


def test_srt_cues_are_read_with_mark_and_windows_line_ends(tmp_path: Path) -> None:
    content = (
        "\ufeff1\r\n00:00:00,306 --> 00:00:00,844\r\n那一天\r\nあの日\r\n\r\n"
        "2\r\n01:00:01,280 --> 01:00:02,220 X1:10 X2:20\r\n"
        "<i>{\\an8}a &lt; b</i> 1 < 2\r\n\r\n3\r\n01:00:03,000 --> 01:00:04,000\r\n\r\n"
    )
    assert srt(tmp_path, content) == [
        SpeechLine(306, 844, "那一天 あの日"),
        SpeechLine(3_601_280, 3_602_220, "a < b 1 < 2"),
    ]


def test_vtt_notes_styles_names_settings_and_tags_are_understood(tmp_path: Path) -> None:
    content = (
        "WEBVTT - a title\nKind: captions\n\nNOTE\n00:00 --> not a cue\n\n"
        "STYLE\n::cue { color: red }\n\nREGION\nid:fred\n\n"
        "intro\n00:15.000 --> 00:17.951 align:start position:10%\n"
        "<v Ann Lee>At <b>the</b> <00:16.000>left</v> &amp; right\n\n"
        "100:00:00.000 --> 100:00:01.000\nlate\n"
    )
    assert vtt(tmp_path, content) == [
        SpeechLine(15_000, 17_951, "At the left & right"),
        SpeechLine(360_000_000, 360_001_000, "late"),
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**8), st.integers(0, 10**5)), max_size=5))
def test_written_cues_read_back(tmp_path: Path, times_ms: list[tuple[int, int]]) -> None:
    def clock(ms: int, point: str) -> str:
        return f"{ms // 3600000:02}:{ms // 60000 % 60:02}:{ms // 1000 % 60:02}{point}{ms % 1000:03}"

    spans = [(start, start + length) for start, length in times_ms]
    expected = [SpeechLine(start, end, f"cue {start}") for start, end in spans]
    for read, head, point in ((srt, "", ","), (vtt, "WEBVTT\n\n", ".")):
        cues = [f"{clock(a, point)} --> {clock(b, point)}\ncue {a}\n" for a, b in spans]
        numbered = [f"{number}\n{cue}" for number, cue in enumerate(cues, 1)]
        assert read(tmp_path, head + "\n".join(numbered)) == expected


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("1\n00:00:02,000 --> 00:00:01,000\na\n", "line 2: found an end at 1000 ms"),
        ("1\n00:00:0x,000 --> 00:00:01,000\na\n", "line 2: found '00:00:0x,000', expected a time"),
        ("1\n-00:00:02,000 --> 00:00:01,000\na\n", "line 2: found '-00:00:02,000'"),
        ("1\n00:00:01,000\na\n", "line 2: found '00:00:01,000', expected a time line"),
        ("1\n00:00:01,000 --> 00:00:02,000\na\n\n2", "line 5: found '2', expected a time line"),
        ("1\n00:00:01,000 --> 00:00:02,000\n" + "a" * 10_001, "10,001 characters"),
        ("1\n00:00:01,000 --> 00:00:02,000\n" + "a\n" * 1_001, "line 1: found a cue of more"),
    ],
)
def test_malformed_srt_is_refused(tmp_path: Path, content: str, error: str) -> None:
    with pytest.raises(MalformedRecording, match=error):
        srt(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("", "line 1: found '', expected WEBVTT"),
        ("WEBVTTX\n\n", "line 1: found 'WEBVTTX'"),
        ("1\n00:00:01.000 --> 00:00:02.000\na\n", "line 1: found '1', expected WEBVTT"),
        ("WEBVTT\n\n00:02.000 --> 00:01.000\na\n", "line 3: found an end at 1000 ms"),
        ("WEBVTT\n\n00:61.000 --> 00:62.000\na\n", "line 3: found '00:61.000'"),
        ("WEBVTT\n\nname\nno time\n", "line 4: found 'no time', expected a time line"),
    ],
)
def test_malformed_vtt_is_refused(tmp_path: Path, content: str, error: str) -> None:
    with pytest.raises(MalformedRecording, match=error):
        vtt(tmp_path, content)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("danmaku-formats/artplayer_subtitle.srt", read_srt),
        ("danmaku-formats/artplayer_subtitle.cn.srt", read_srt),
        ("danmaku-formats/artplayer_subtitle.vtt", read_vtt),
        ("subtitles-audio/elephantsdream_captions.en.vtt", read_vtt),
        ("subtitles-audio/elephantsdream_captions.ja.vtt", read_vtt),
    ],
)
def test_real_files_give_as_many_cues_as_arrows(shared_data: Path, name: str, read) -> None:  # type: ignore[no-untyped-def]
    file = shared_data / name
    assert len(list(read(file))) == file.read_text(encoding="utf-8").count("-->")


@pytest.mark.shared_data
def test_the_same_subtitles_are_the_same_in_both_formats(shared_data: Path) -> None:
    folder = shared_data / "danmaku-formats"
    as_srt = list(read_srt(folder / "artplayer_subtitle.srt"))
    assert as_srt == list(read_vtt(folder / "artplayer_subtitle.vtt"))
