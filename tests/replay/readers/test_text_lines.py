from pathlib import Path

import pytest

from limelight.replay.readers.malformed import MalformedRecording
from limelight.replay.readers.text_lines import numbered_lines


def test_mark_and_line_ends_are_taken_off(tmp_path: Path) -> None:
    file = tmp_path / "a.srt"
    file.write_bytes(b"\xef\xbb\xbfone\r\n\r\nthree\nfour")
    assert list(numbered_lines(file)) == [(1, "one"), (2, ""), (3, "three"), (4, "four")]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("good\n第二行".encode("gbk"), r"a.srt, line 2: found byte 0x\w\w at column 1, .*UTF-8"),
        ("one".encode("utf-16"), "a.srt, line 1: found a UTF-16"),
        (b"x" * 20, "line 1: found a line of more than 10 bytes"),
    ],
)
def test_other_encodings_and_endless_lines_are_refused(
    tmp_path: Path, content: bytes, error: str
) -> None:
    file = tmp_path / "a.srt"
    file.write_bytes(content)
    with pytest.raises(MalformedRecording, match=error):
        list(numbered_lines(file, max_line_bytes=10))
