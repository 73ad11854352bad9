from pathlib import Path

import pytest

from limelight.models.datasets.malformed import MalformedDataset
from limelight.models.datasets.text_lines import text_lines


def test_lines_come_with_their_number_and_byte_and_blank_ones_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes("\ufeffä\r\n\n  \nb".encode())
    lines = list(text_lines(path))
    assert [(line.place.line, line.offset, line.text) for line in lines] == [
        (1, 0, "ä"),
        (4, 11, "b"),
    ]


def test_a_line_of_the_most_bytes_is_read_and_one_more_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"1234567\n")
    assert [line.text for line in text_lines(path, max_line_bytes=8)] == ["1234567"]
    path.write_bytes(b"first\n12345678\n")
    with pytest.raises(MalformedDataset, match="lines, line 2: found a line of more than 8 bytes"):
        list(text_lines(path, max_line_bytes=8))


def test_other_text_than_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"ok\na\xff\n")
    with pytest.raises(MalformedDataset, match="line 2: found byte 0xff at column 2, expected UTF"):
        list(text_lines(path))
