from pathlib import Path

import pytest

from limelight.replay.readers.danmaku_ass import read_danmaku_ass
from limelight.replay.readers.lines import CommentLine
from limelight.replay.readers.malformed import MalformedRecording

HEAD = "[Script Info]\n[V4+ Styles]\nFormat: Name, Fontname\nStyle: R2L,Arial\n\n[Events]\n"
FORMAT = "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"


def read(tmp_path: Path, content: str) -> list[CommentLine]:
    file = tmp_path / "comments.ass"
    file.write_text(content, encoding="utf-8", newline="")
    return list(read_danmaku_ass(file))


def one(text: str, start: str = "0:00:01.50", end: str = "0:00:12.00") -> str:
    return f"Dialogue: 0,{start},{end},R2L,Anna,0000,0000,0000,,{text}\n"


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (r"{\move(979,1,-79,1)}向文明低头", "向文明低头"),
        (r"{\move(963,115,-63,115)}{\c&HD8EE54}太, 文明, 了", "太, 文明, 了"),
        (r"one\Ntwo\hthree\nfour", "one two three four"),
        (r"{\p1}m 0 0 l 10 0 10 10{\p0}after", "after"),
        (r"{\pos(1,2)\c&H000099\3c&HFFFFFF}[dog] {", "[dog] {"),
    ],
)
def test_mark_up_is_taken_off_and_commas_are_kept(tmp_path: Path, written: str, text: str) -> None:
    assert read(tmp_path, HEAD + FORMAT + one(written)) == [CommentLine(1_500, "", text)]


def test_mark_windows_line_ends_and_other_field_orders_are_read(tmp_path: Path) -> None:
    content = "\ufeff" + HEAD + "Format: End, Start, Text\nDialogue: 0:00:09.00,0:00:08.25,a,b\n"
    content += "Comment: 0:00:09.00,0:00:08.25,hidden\n; note\n"
    assert read(tmp_path, content.replace("\n", "\r\n")) == [CommentLine(8_250, "", "a,b")]


def test_what_only_draws_or_is_empty_is_left_out(tmp_path: Path) -> None:
    content = HEAD + FORMAT + one(r"{\p1}m 0 0 l 1 1") + one(r"{\move(1,1,1,1)}")
    assert read(tmp_path, content) == []


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (HEAD + one("a"), "line 7: found a Dialogue: line, expected a Format: line before it"),
        (FORMAT + one("a"), r"line 2: found a Dialogue: line, expected \[Events\] before it"),
        (
            HEAD + FORMAT + "Dialogue: 0,0:00:01.00,0:00\n",
            "line 8: found 3 fields, expected the 10",
        ),
        (HEAD + FORMAT + one("a", start="oops"), "line 8: found 'oops', expected a time"),
        (HEAD + FORMAT + one("a", start="-0:00:01.00"), "line 8: found '-0:00:01.00'"),
        (HEAD + FORMAT + one("a", start="0:00:13.00"), "expected an end not before 0:00:13.00"),
        (HEAD + FORMAT + one("a" * 10_001), "line 8: found a text of 10,001 characters"),
        (HEAD + "Format: Start, Text, End\n", "line 7: .* and Text as the last"),
        (HEAD, "the end of the file"),
        ("", "the end of the file"),
    ],
)
def test_malformed_files_are_refused(tmp_path: Path, content: str, error: str) -> None:
    with pytest.raises(MalformedRecording, match=error):
        read(tmp_path, content)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "wordless"),
    # Five of the live room's comments hold nothing but their position.
    [("bilibili-live-room/comments.ass", 5), ("danmaku-formats/artplayer_danmuku.ass", 0)],
)
def test_real_files_give_as_many_comments_as_dialogue_lines(
    shared_data: Path, name: str, wordless: int
) -> None:
    file = shared_data / name
    texts = file.read_text(encoding="utf-8-sig").splitlines()
    expected = sum(line.startswith("Dialogue:") for line in texts) - wordless
    lines = list(read_danmaku_ass(file))
    assert len(lines) == expected
    assert not any("\\" in line.text or "{" in line.text[:1] for line in lines)
