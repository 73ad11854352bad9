from pathlib import Path

import numpy as np
import pytest

from limelight.models.datasets.json_lines import (
    json_rows,
    numbers_of,
    positive_number_of,
    text_of,
    whole_number_of,
)
from limelight.models.datasets.malformed import MalformedDataset, Place

PLACE = Place(Path("rows.jsonl"), 3)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("{", r"line 1: found broken JSON \(.*\), expected JSON"),
        ("[1]", r"line 1: found \[1\], expected a JSON object"),
        ("[" * 100_000, "line 1: found broken JSON"),
        ('{"a": ' + "9" * 5_000 + "}", "line 1: found broken JSON"),
    ],
    ids=["cut off", "a list", "nested too deep", "too many digits"],
)
def test_lines_that_are_no_objects_are_refused(tmp_path: Path, line: str, error: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(line, encoding="utf-8")
    with pytest.raises(MalformedDataset, match=error):
        list(json_rows(path))


@pytest.mark.parametrize("value", [None, 5, ""])
def test_what_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(MalformedDataset, match=r"line 3: found .*vid"):
        text_of(PLACE, {"vid": value}, "vid")


def test_a_whole_number_may_be_written_as_a_fraction_without_one() -> None:
    assert whole_number_of(PLACE, {"qid": 7.0}, "qid") == 7


@pytest.mark.parametrize("value", [None, True, "7", 7.5, float("nan")])
def test_what_is_no_whole_number_is_refused(value: object) -> None:
    with pytest.raises(MalformedDataset, match="qid"):
        whole_number_of(PLACE, {"qid": value}, "qid")


@pytest.mark.parametrize("value", [None, True, "7", 0, -1.0, float("nan"), float("inf"), 10**400])
def test_what_is_no_positive_number_is_refused(value: object) -> None:
    with pytest.raises(MalformedDataset, match="duration"):
        positive_number_of(PLACE, {"duration": value}, "duration")


def test_nested_lists_become_an_array() -> None:
    array = numbers_of(PLACE, {"label": [[1, 2.5], [3, 4]]}, "label", (None, 2))
    assert array.tolist() == [[1.0, 2.5], [3.0, 4.0]]
    assert numbers_of(PLACE, {"label": []}, "label", (None, 2)).shape == (0, 2)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (None, "no label"),
        ("1 2", "label '1 2'"),
        ([[1, 2], [3]], r"label \[\[1, 2\], \[3\]\]"),
        ([[True, False]], "label"),
        ([["1", "2"]], "label"),
        ([[1, None]], "label"),
        ([1, 2], r"label of shape \(2,\)"),
        ([[1, 2, 3]], r"label of shape \(1, 3\)"),
        ([[1.0, float("nan")]], "label with NaN"),
        ([[1, 10**400]], "label"),
        ([[], []], "label"),
        ({"a": 1}, "label"),
    ],
)
def test_what_is_no_such_array_is_refused(value: object, error: str) -> None:
    with pytest.raises(MalformedDataset, match=error):
        numbers_of(PLACE, {"label": value}, "label", (None, 2))


def test_finite_numbers_only() -> None:
    with pytest.raises(MalformedDataset, match="infinity"):
        numbers_of(PLACE, {"match": [np.inf]}, "match", (None,))
