import re
from pathlib import Path

import pytest

from limelight.replay.readers.bilibili_xml import read_bilibili_xml
from limelight.replay.readers.lines import CommentLine
from limelight.replay.readers.malformed import MalformedRecording

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<i><chatid>7</chatid>\n'


def read(tmp_path: Path, content: str | bytes) -> list[CommentLine]:
    file = tmp_path / "comments.xml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_bilibili_xml(file))


def test_time_user_and_text_are_read_in_file_order(tmp_path: Path) -> None:
    content = (
        HEAD + '<d p="24.00000,1,25,16777215,1481940619,0,9369f6e1,2755349415">刚看完 &amp; 好</d>'
        '<d p="0.4654,5,25,26214,1480410348,11,0,2704552969">a\nb</d></i>'
    )
    assert read(tmp_path, content) == [
        CommentLine(24_000, "9369f6e1", "刚看完 & 好"),
        CommentLine(465, "", "a b"),
    ]


def test_control_characters_that_xml_forbids_become_spaces(tmp_path: Path) -> None:
    lines = read(tmp_path, HEAD + '<d p="1,1">a\x08b\x1d</d></i>')
    assert lines == [CommentLine(1_000, "", "a b")]


def test_scripts_and_empty_comments_are_left_out_and_positions_taken_off(tmp_path: Path) -> None:
    positioned = '[0,0,"1-1",4.5,"hi, there",0]'
    content = (
        HEAD + f'<d p="1,7,25">{positioned}</d><d p="2,8,25">trace()</d><d p="3,9,25">def</d>'
        '<d p="4,1,25"> </d><d p="5,7,25">[not json</d></i>'
    )
    assert [line.text for line in read(tmp_path, content)] == ["hi, there", "[not json"]


def test_comments_across_read_boundaries_are_whole(tmp_path: Path) -> None:
    count = 5_000
    content = HEAD + "".join(f'<d p="{n},1,25">评论{n}</d>' for n in range(count)) + "</i>"
    assert [line.text for line in read(tmp_path, content)] == [f"评论{n}" for n in range(count)]


BOMB = '<!DOCTYPE i [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><i><d p="1,1">&b;</d></i>'


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (HEAD + '<d p="1,1">a</d>', r"line 3, column 17: found broken XML \(no element found\)"),
        (HEAD + '<d p="1,1">a</i>', r"line 3, column 15: found broken XML \(mismatched tag\)"),
        (HEAD + '<d p="1,1', "broken XML"),
        ("", "broken XML"),
        (HEAD.encode() + b'<d p="1,1">\xff</d></i>', "line 3.*broken XML"),
        ("<rss><d p='1,1'>a</d></rss>", "line 1, column 1: found root element <rss>, expected <i>"),
        (BOMB, "line 1.*: found a document type"),
        (HEAD + "<d>a</d></i>", "line 3, column 1: found a <d> without p"),
        (HEAD + '<d p="-1,1">a</d></i>', "not negative"),
        (HEAD + '<d p="nan,1">a</d></i>', "found 'nan', expected a time in seconds"),
        (HEAD + '<d p="">a</d></i>', "found ''"),
        (HEAD + f'<d p="1,1">{"a" * 10_001}</d></i>', "a text of more than 10,000 characters"),
        (HEAD + f'<d p="{"1" * (3 << 20)}">a</d></i>', "a tag of more than"),
        ('<?xml version="1.0" encoding="klingon"?><i/>', "encoding"),
    ],
)
def test_malformed_files_are_refused(tmp_path: Path, content: str | bytes, error: str) -> None:
    with pytest.raises(MalformedRecording, match=error):
        read(tmp_path, content)


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["artplayer_danmuku.xml", "artplayer_danmuku-v2.xml"])
def test_real_files_give_as_many_comments_as_a_search_finds(shared_data: Path, name: str) -> None:
    file = shared_data / "danmaku-formats" / name
    expected = re.findall(r'<d p="([\d.]+),', file.read_text(encoding="utf-8"))
    lines = list(read_bilibili_xml(file))
    assert [line.offset_ms for line in lines] == [round(float(text) * 1000) for text in expected]
    assert all(re.fullmatch("[0-9a-f]{5,8}", line.user) for line in lines)
