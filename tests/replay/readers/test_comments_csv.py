from pathlib import Path

import pytest

from limelight.replay.readers.comments_csv import read_comments_csv
from limelight.replay.readers.lines import CommentLine
from limelight.replay.readers.malformed import MalformedRecording


def read(tmp_path: Path, content: str) -> list[CommentLine]:
    file = tmp_path / "comments.csv"
    file.write_text(content, encoding="utf-8", newline="")
    return list(read_comments_csv(file))


def test_quotes_commas_and_breaks_inside_a_cell_are_read(tmp_path: Path) -> None:
    content = '\ufefftime_ms,user,text\r\n1500,u1,"a, ""b""\r\nc"\r\n20,,d\r\n\r\n30,u2,\r\n'
    assert read(tmp_path, content) == [
        CommentLine(1_500, "u1", 'a, "b" c'),
        CommentLine(20, "", "d"),
    ]


def test_users_may_be_missing(tmp_path: Path) -> None:
    assert read(tmp_path, "text,time_ms\nhi,5\n") == [CommentLine(5, "", "hi")]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("", "an empty file"),
        ("time,text\n", "line 1: found .*expected columns time_ms, text"),
        ("time_ms,text,colour\n", "line 1: found .*colour"),
        ("time_ms,text,text\n", "line 1: .*each column once"),
        ("time_ms,text\n5,a,b\n", "line 2: found 3 cells, expected the 2 of the header"),
        ("time_ms,text\n5.5,a\n", "line 2: found '5.5', expected a time in whole ms"),
        ("time_ms,text\n-5,a\n", "line 2: found '-5', expected a time that is not negative"),
        ('time_ms,text\n5,"a\n', "line 2: found broken CSV"),
        ("time_ms,text\n5," + "a" * 10_001 + "\n", "line 2: found a text of 10,001"),
    ],
)
def test_malformed_files_are_refused(tmp_path: Path, content: str, error: str) -> None:
    with pytest.raises(MalformedRecording, match=error):
        read(tmp_path, content)
