import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limelight.replay.readers.json_items import json_items
from limelight.replay.readers.malformed import MalformedRecording

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def items(file: Path, content: str | bytes, key: str | None = None) -> list[object]:
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return [item for _, item in json_items(file, key)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(values=st.lists(VALUES, max_size=5), other=VALUES, indent=st.sampled_from([None, 2]))
def test_items_are_what_the_standard_library_reads(
    tmp_path: Path, values: list[object], other: object, indent: int | None
) -> None:
    file = tmp_path / "a.json"
    assert items(file, json.dumps(values, indent=indent)) == values
    whole = json.dumps({"before": other, "comments": values, "after": other}, indent=indent)
    assert items(file, whole, "comments") == values


def test_the_place_is_the_byte_where_the_item_starts(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('["é", {"b": 1}]', encoding="utf-8")
    assert [place.where for place, _ in json_items(file)] == [
        "item 1 at byte 1",
        "item 2 at byte 7",
    ]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("", "empty file"),
        ("   ", "a JSON object with"),
        ('[{"a": 1}, {"b": ', "byte 17: found the end of the file, expected the end of the value"),
        ('[{"a": 1}', "byte 9: found the end of the file, expected ','"),
        ('["abc', "the end of the value that starts at byte 1"),
        ('[{"a": 1} {"a": 2}]', "byte 10: found b'{', expected ','"),
        ("[{'a': 1}]", "byte .: found broken JSON"),
        ("[NaN]", "byte 1: found broken JSON"),
        ("[1, ]", "byte 4: found b']', expected a value"),
        ("[1] [2]", "byte 4: found b'\\[', expected the end of the file"),
        ('{"comments": 5}', 'expected an array as "comments"'),
        ('{"other": []}', 'expected a JSON object with "comments"'),
        ('{"comments": [1], "pictures": "', "expected the end of the value that starts at byte 30"),
        ('{"comments": [1]', "found the end of the file, expected ','"),
        (b'["\xff"]', "byte 1: found broken JSON"),
        ("7", "found b'7', expected a JSON object"),
        ("[" * 5_000 + "]" * 5_000, "found broken JSON"),
    ],
)
def test_broken_and_cut_off_files_are_refused_at_the_byte(
    tmp_path: Path, content: str | bytes, error: str
) -> None:
    with pytest.raises(MalformedRecording, match=error):
        items(tmp_path / "a.json", content, "comments")


def test_what_came_before_the_damage_is_given(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('[1, 2, {"a')
    read = json_items(file)
    assert [next(read)[1], next(read)[1]] == [1, 2]
    with pytest.raises(MalformedRecording):
        next(read)
