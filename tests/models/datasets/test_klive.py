import json
from pathlib import Path

import numpy as np
import pytest

from limelight.models.datasets.klive import read_klive
from limelight.models.datasets.labelled_room import LabelledRoom
from limelight.models.datasets.malformed import MalformedDataset

AUTHORS = "17792\t9932\n5\t6\n"


def line(live_id: int, timestamp: int, **changes: object) -> str:
    """One made-up frame; its features tell the frames apart."""
    row = {
        "live_id": live_id,
        "timestamp": timestamp,
        "lvtr": timestamp / 1_000,
        "image_feature": [float(timestamp), float(live_id)],
        "text_feature": [-1.0, 0.0, float(timestamp)],
    }
    return json.dumps(row | changes) + "\n"


def write(folder: Path, *files: str, part: str | None = None, authors: str = AUTHORS) -> Path:
    (folder / "live_id2aid.txt").write_text(authors, encoding="utf-8")
    holder = folder if part is None else folder / part
    holder.mkdir(exist_ok=True)
    for number, content in enumerate(files):
        path = holder / f"{number}_test_score_infer_output.log"
        path.write_text(content, encoding="utf-8")
    return folder


def times(room: LabelledRoom) -> list[float]:
    return room.frame_features[:, 0].tolist()


def test_a_room_is_read(tmp_path: Path) -> None:
    (room,) = read_klive(write(tmp_path, line(17792, 30) + line(17792, 60)))
    assert (room.room_id, room.streamer_id) == ("17792", "9932")
    assert room.frame_features.tolist() == [[30, 17792], [60, 17792]]
    assert room.text_features.tolist() == [[-1, 0, 30], [-1, 0, 60]]
    assert room.present.all()
    assert room.ctr.tolist() == pytest.approx([0.03, 0.06])
    assert room.counts.shape == (2, 8) and not room.counts.any()


def test_frames_stand_in_order_of_time_whatever_the_order_of_lines(tmp_path: Path) -> None:
    (room,) = read_klive(write(tmp_path, line(5, 90) + line(5, 30) + line(5, 60)))
    assert times(room) == [30, 60, 90]
    assert room.ctr.tolist() == pytest.approx([0.03, 0.06, 0.09])


def test_a_room_is_gathered_from_mixed_lines_and_several_files(tmp_path: Path) -> None:
    files = (
        line(5, 60) + line(17792, 30) + line(5, 30),
        "live_id\ttimestamp\tlvtr\timage_feaure\ttext_feaure\n"
        "17792\t60\t0.5\t[60, 17792]\t[0, 0, 0]\n"
        "5\t90\t0.5\t[90, 5]\t[0, 0, 0]\n",
    )
    rooms = list(read_klive(write(tmp_path, *files, part="train"), "train"))
    assert [(room.room_id, times(room)) for room in rooms] == [
        ("5", [30, 60, 90]),
        ("17792", [30, 60]),
    ]


def test_the_parts_of_the_release_are_read_apart(tmp_path: Path) -> None:
    write(tmp_path, line(5, 30), part="train")
    write(tmp_path, line(17792, 30), part="test")
    assert [room.room_id for room in read_klive(tmp_path, "train")] == ["5"]
    assert [room.room_id for room in read_klive(tmp_path, "test")] == ["17792"]


def test_a_room_is_cut_at_gaps_above_one_and_a_half_steps(tmp_path: Path) -> None:
    # Steps of 30, 30, 45 (just not too far), 46 (too far), 30, 30.
    stamps = (0, 30, 60, 105, 151, 181, 211)
    rooms = list(read_klive(write(tmp_path, "".join(line(5, stamp) for stamp in stamps))))
    assert [(room.room_id, times(room)) for room in rooms] == [
        ("5#0", [0, 30, 60, 105]),
        ("5#1", [151, 181, 211]),
    ]
    assert {room.streamer_id for room in rooms} == {"6"}


def test_a_room_of_one_frame_is_read(tmp_path: Path) -> None:
    (room,) = read_klive(write(tmp_path, line(5, 30)))
    assert (room.room_id, len(room)) == ("5", 1)


def test_missing_features_are_masked(tmp_path: Path) -> None:
    content = line(5, 30, image_feature=None) + line(5, 60, text_feature=[]) + line(5, 90)
    (room,) = read_klive(write(tmp_path, content))
    assert room.present.tolist() == [[False, True], [True, False], [True, True]]
    assert room.frame_features[0].tolist() == [0, 0]
    assert room.text_features[1].tolist() == [0, 0, 0]


def test_a_rate_that_was_not_measured_stays_nan(tmp_path: Path) -> None:
    (room,) = read_klive(write(tmp_path, line(5, 30, lvtr=None) + line(5, 60)))
    assert np.isnan(room.ctr).tolist() == [True, False]


def test_rooms_are_read_one_at_a_time(tmp_path: Path) -> None:
    content = line(5, 30) + line(17792, 30, image_feature=[1.0])
    rooms = read_klive(write(tmp_path, content))
    assert next(rooms).room_id == "5"
    with pytest.raises(MalformedDataset, match="line 2"):
        next(rooms)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (line(5, 30) + line(7, 30), "0_.*log, line 2: found live_id 7, expected one of those in"),
        (
            line(5, 30) + line(5, 60) + line(5, 30),
            "line 3: found live_id 5 at 30 s again, .*: 0_test.*log, line 1 has it",
        ),
        (
            line(5, 30) + line(5, 60, text_feature=[1.0]),
            "line 2: found text_feature of 1 numbers, expected 3 as in the first",
        ),
        (line(5, 30) + line(5, 60, lvtr=1.5), "line 2: found lvtr 1.5"),
        (line(5, 30, text_feature=None), "found no text_feature in any frame"),
        ("live_id,timestamp,lvtr,image_feature,text_feature\n", "found no frames in 1 files"),
        ("", "found no frames in 0 files"),
    ],
)
def test_malformed_releases_are_refused(tmp_path: Path, content: str, error: str) -> None:
    with pytest.raises(MalformedDataset, match=error):
        list(read_klive(write(tmp_path, content)))


def test_a_release_without_authors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"live_id2aid.txt"):
        list(read_klive(tmp_path))
