import json
import math
from pathlib import Path

import numpy as np
import pytest

from limelight.models.datasets.klive_records import (
    KLiveFrame,
    frame_of,
    live_id_of,
    read_author_ids,
    recognised_format,
)
from limelight.models.datasets.malformed import MalformedDataset, Place
from limelight.models.datasets.text_lines import text_lines

HEADER = "live_id,timestamp,lvtr,image_feature,text_feature"


def read(tmp_path: Path, content: str) -> list[tuple[str, KLiveFrame]]:
    path = tmp_path / "0_test_score_infer_output.log"
    path.write_text(content, encoding="utf-8", newline="")
    format = recognised_format(path)
    assert format is not None
    lines = list(text_lines(path))[format.has_header :]
    cells = [(line.place, format.cells(line.place, line.text)) for line in lines]
    return [(live_id_of(place, row), frame_of(place, row)) for place, row in cells]


@pytest.mark.parametrize(
    "content",
    [
        '{"live_id": 17792, "timestamp": 685138930, "lvtr": 0.25,'
        ' "image_feature": [0.5, -1.0], "text_feature": [2.0]}\n',
        '{"live_id": "17792", "timestamp": "685138930", "lvtr": "0.25",'
        ' "image_feaure": "[0.5, -1.0]", "text_feaure": "2"}\n',
        f'{HEADER}\r\n17792,685138930,0.25,"[0.5, -1.0]","[2.0]"\r\n',
        f'{HEADER}\n17792,685138930.0,0.25,"0.5, -1",2\n',
        "Text_Feaure,image_feaure,lvtr,timestamp,live_id,extra\n2,0.5 -1,0.25,685138930,17792,x\n",
        "17792,685138930,0.25,0.5 -1.0,2.0\n",
        "17792\t685138930\t0.25\t[0.5, -1.0]\t[2.0]\n",
        "17792\t685138930\t0.25\t0.5,-1.0\t2.0\n",
        '17792\t685138930\t0.25\t"[0.5, -1.0]"\t"[2.0]"\n',
        "\ufefflive_id\ttimestamp\tlvtr\timage_feature\ttext_feature\n"
        "17792\t685138930\t0.25\t0.5 -1.0\t2.0\n",
    ],
    ids=[
        "JSON",
        "JSON of text, with the release's spelling",
        "CSV of JSON lists",
        "CSV of commas in quotes",
        "CSV in another order",
        "CSV without a header",
        "tabs",
        "tabs and commas",
        "tabs and quotes",
        "tabs with a header",
    ],
)
def test_every_form_gives_the_same_frame(tmp_path: Path, content: str) -> None:
    ((live_id, frame),) = read(tmp_path, content)
    assert live_id == "17792"
    assert (frame.timestamp_s, frame.long_view_rate) == (685_138_930, 0.25)
    assert frame.image_feature is not None and frame.text_feature is not None
    assert frame.image_feature.dtype == np.float32
    assert frame.image_feature.tolist() == [0.5, -1.0]
    assert frame.text_feature.tolist() == [2.0]


def test_long_features_fit_between_tabs(tmp_path: Path) -> None:
    feature = json.dumps([0.123456789012345] * 20_000)
    ((_, frame),) = read(tmp_path, f"1\t2\t0.5\t{feature}\t[1]\n")
    assert frame.image_feature is not None
    assert len(frame.image_feature) == 20_000


@pytest.mark.parametrize("rate", ['""', "null", "NaN", '"nan"', '" "'])
def test_a_rate_that_was_not_measured_is_nan(tmp_path: Path, rate: str) -> None:
    ((_, frame),) = read(tmp_path, f'{{"live_id": 1, "timestamp": 2, "lvtr": {rate}}}')
    assert math.isnan(frame.long_view_rate)


@pytest.mark.parametrize("feature", ["null", "[]", '""', '"[]"', '"nan"', '"None"'])
def test_an_empty_feature_is_missing(tmp_path: Path, feature: str) -> None:
    ((_, frame),) = read(
        tmp_path, f'{{"live_id": 1, "timestamp": 2, "lvtr": 0, "image_feature": {feature}}}'
    )
    assert frame.image_feature is None and frame.text_feature is None


@pytest.mark.parametrize(
    ("cells", "error"),
    [
        ({"timestamp": 2.5}, "timestamp 2.5, expected whole seconds"),
        ({"timestamp": "soon"}, "timestamp 'soon'"),
        ({"timestamp": None}, "timestamp None"),
        ({"timestamp": True}, "timestamp True"),
        ({"timestamp": 10**400}, "timestamp"),
        ({"timestamp": float("nan")}, "timestamp nan"),
        ({"lvtr": 1.01}, "lvtr 1.01, expected a number from 0 to 1, or nothing"),
        ({"lvtr": -0.01}, "lvtr -0.01"),
        ({"lvtr": float("inf")}, "lvtr inf"),
        ({"lvtr": [0.5]}, r"lvtr \[0.5\]"),
        ({"image_feature": [0.5, float("nan")]}, "image_feature .* finite float32"),
        ({"image_feature": [1e300]}, r"image_feature \[1e\+300\], expected a list of finite"),
        ({"image_feature": [10**400]}, "image_feature"),
        ({"image_feature": [[0.5], [1.0]]}, "image_feature"),
        ({"image_feature": 0.5}, "image_feature 0.5"),
        ({"image_feature": {"a": 1}}, "image_feature"),
        ({"text_feature": "a b"}, "text_feature 'a b'"),
        ({"text_feature": "[0.5, 1.0"}, r"text_feature '\[0.5, 1.0'"),
        ({"text_feature": "__import__('os')"}, "text_feature"),
        ({"text_feature": ["0.5"]}, "text_feature"),
        ({"text_feature": "[" * 100_000}, "text_feature"),
    ],
)
def test_frames_that_cannot_be_are_refused(cells: dict[str, object], error: str) -> None:
    row = {"timestamp": 2, "lvtr": 0.5, "image_feature": [1.0], "text_feature": [1.0]} | cells
    with pytest.raises(MalformedDataset, match=f"0.log, line 7: found {error}"):
        frame_of(Place(Path("0.log"), 7), row)


@pytest.mark.parametrize("live_id", [None, "", " ", True, 1.5, [1], 2**63])
def test_a_room_needs_an_id(live_id: object) -> None:
    with pytest.raises(MalformedDataset, match=r"0\.log, line 7: found live_id"):
        live_id_of(Place(Path("0.log"), 7), {"live_id": live_id})


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("live_id,timestamp,lvtr,text_feature\n", "line 1: found no column image_feature"),
        (f"{HEADER},lvtr\n", "line 1: found 6 columns .* each once"),
        ("17792,685138930,0.25,0.5 -1.0\n", "line 1: found 4 columns separated by ','"),
        ("17792 685138930 0.25 [0.5] [2.0]\n", "line 1: found 1 columns"),
        (f"{HEADER}\n1,2,0.5,1,1,1\n", "line 2: found 6 columns, expected the 5 of the first"),
        (f'{HEADER}\n1,2,0.5,"1,1\n', "line 2: found broken columns"),
        (f"{HEADER}\n1,2,0.5,{'1 ' * 70_000},1\n", "line 2: found broken columns .*131072"),
        ('{"live_id": 1, "timestamp": 2}\n{"live_id"\n', "line 2: found broken JSON"),
        ('{"live_id": 1, "timestamp": 2}\n1,2,0.5,1,1\n', "line 2: found"),
    ],
)
def test_lines_of_another_form_are_refused(tmp_path: Path, content: str, error: str) -> None:
    with pytest.raises(MalformedDataset, match=error):
        read(tmp_path, content)


def test_an_empty_file_has_no_form(tmp_path: Path) -> None:
    path = tmp_path / "empty.log"
    path.write_text("\n\n", encoding="utf-8")
    assert recognised_format(path) is None


@pytest.mark.parametrize(
    "content",
    [
        "17792\t9932\n5 6\n",
        "live_id,author_id\r\n17792, 9932\r\n5,6\r\n",
        "live_id author_id\n17792 9932\n17792 9932\n\n5 6",
    ],
)
def test_authors_are_read(tmp_path: Path, content: str) -> None:
    path = tmp_path / "live_id2aid.txt"
    path.write_text(content, encoding="utf-8", newline="")
    assert read_author_ids(path) == {"17792": "9932", "5": "6"}


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("1 2\n3\n", "line 2: found the line '3', expected a live id and an author id"),
        ("1 2\n1 3\n", "line 2: found live_id 1 with the authors 2 and 3"),
    ],
)
def test_authors_that_cannot_be_are_refused(tmp_path: Path, content: str, error: str) -> None:
    path = tmp_path / "live_id2aid.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(MalformedDataset, match=error):
        read_author_ids(path)
