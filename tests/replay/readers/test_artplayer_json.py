import json
from pathlib import Path

import pytest

from limelight.replay.readers.artplayer_json import read_artplayer_json
from limelight.replay.readers.lines import CommentLine
from limelight.replay.readers.malformed import MalformedRecording


def read(tmp_path: Path, content: str) -> list[CommentLine]:
    file = tmp_path / "comments.json"
    file.write_text(content, encoding="utf-8")
    return list(read_artplayer_json(file))


def test_comments_are_read_in_file_order(tmp_path: Path) -> None:
    content = (
        '\ufeff[{"text": "\\u7f57", "time": 60.139, "color": "#FFF"}, {"text": "b", "time": 1}]'
    )
    assert read(tmp_path, content) == [CommentLine(60_139, "", "罗"), CommentLine(1_000, "", "b")]


@pytest.mark.parametrize(
    ("item", "error"),
    [
        ('{"text": "a"}', "item 1 at byte 1: found None, expected a time"),
        ('{"time": 1}', "item 1 at byte 1: found no 'text'"),
        ('{"time": -1, "text": "a"}', "not negative"),
        ('{"time": 1e300, "text": "a"}', "within a year"),
        ('{"time": 1, "text": 5}', "found 'text' as 5, expected a string"),
        ('{"time": 1, "text": "' + "a" * 10_001 + '"}', "10,001 characters"),
        ("[1]", "expected a JSON object"),
        ('{"time": 1, "te', "the end of the file"),
    ],
)
def test_malformed_items_are_refused(tmp_path: Path, item: str, error: str) -> None:
    with pytest.raises(MalformedRecording, match=error):
        read(tmp_path, f"[{item}]" if item.endswith(("}", "]")) else f"[{item}")


@pytest.mark.shared_data
def test_the_real_file_is_what_the_standard_library_reads(shared_data: Path) -> None:
    file = shared_data / "danmaku-formats" / "artplayer_danmuku-v4.json"
    expected = json.loads(file.read_text(encoding="utf-8"))
    lines = list(read_artplayer_json(file))
    assert [line.offset_ms for line in lines] == [round(item["time"] * 1000) for item in expected]
    assert [line.text for line in lines] == [" ".join(item["text"].split()) for item in expected]
