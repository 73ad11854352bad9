from pathlib import Path

import pytest

from limelight.replay.readers.formats import sniff_format
from limelight.replay.readers.malformed import MalformedRecording


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'<?xml version="1.0"?><i><d p="1,1">a</d></i>', "bilibili-xml"),
        (b"\xef\xbb\xbf[Script Info]\r\nTitle: x", "danmaku-ass"),
        (b"WEBVTT\n\n", "vtt"),
        (b"\xef\xbb\xbf1\r\n00:00:00,306 --> 00:00:00,844\r\nhi", "srt"),
        (b'[{"text":"\\u7f57","time":60.1}]', "artplayer-json"),
        (b'[{"id": 0, "start": 0.0, "end": 2.0, "text": "a"}]', "whisper-json"),
        (b'{"text": "' + b"a" * 100_000 + b'", "segments": []}', "whisper-json"),
        (b'{"FileInfo": {}, "comments": []}', "twitch-json"),
        (b'{"streamer": {"name": "s"}, "comments": []}', "twitch-json"),
        (b'{"replayChatItemAction": {"actions": []}}\n', "youtube-live-chat"),
        (b"time_ms,kind,amount\n", "engagement-csv"),
        (b"start_ms,end_ms,impressions,clicks\n", "engagement-csv"),
        (b'"time_ms","user","text"\n', "comments-csv"),
        (b"\0\0\0\x20ftypisom", "video"),
        (b"\x1aE\xdf\xa3\x01\0\0\0", "video"),
    ],
)
def test_a_file_is_told_by_its_head_whatever_its_suffix(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    file = tmp_path / "part.bin"
    file.write_bytes(content)
    assert sniff_format(file) == expected


@pytest.mark.parametrize("content", [b"", b"hello there", b'{"a": 1}', b"a,b,c\n1,2,3\n", b" \n"])
def test_other_text_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "part.txt"
    file.write_bytes(content)
    with pytest.raises(MalformedRecording, match=r"^part.txt: found "):
        sniff_format(file)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("big-buck-bunny/big_buck_bunny_448x252.mp4", "video"),
        ("bilibili-live-room/comments.ass", "danmaku-ass"),
        ("bilibili-live-room/engagement.csv", "engagement-csv"),
        ("danmaku-formats/artplayer_danmuku-v4.json", "artplayer-json"),
        ("danmaku-formats/artplayer_danmuku-v2.xml", "bilibili-xml"),
        ("danmaku-formats/artplayer_subtitle.jp.srt", "srt"),
        ("subtitles-audio/elephantsdream_captions.ja.vtt", "vtt"),
        ("subtitles-audio/big_buck_bunny_0_30.webm", "video"),
    ],
)
def test_real_files_are_told(shared_data: Path, name: str, expected: str) -> None:
    assert sniff_format(shared_data / name) == expected
