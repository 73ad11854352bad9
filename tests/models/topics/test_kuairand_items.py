from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from limelight.models.baselines.kuairand_log import MalformedLog
from limelight.models.topics.kuairand_items import read_kuairand_items


def write(folder: Path, **changes: list[object]) -> None:
    columns: dict[str, list[object]] = {
        "video_id": [5, 6],
        "tag": ["39,68", "unknown"],
        "upload_type": ["Web", "UNKNOWN"],
        "music_type": [9.0, None],
        "video_duration": [10_000.0, None],
        "server_width": [720.0, 720.0],
        "server_height": [1280.0, 720.0],
        # Counted until who knows when.
        "like_cnt": [3.0, 4.0],
    }
    pq.write_table(pa.table(columns | changes), folder / "item_features.parquet")


def test_static_attributes_become_tags_and_counts_do_not(tmp_path: Path) -> None:
    write(tmp_path)
    found = read_kuairand_items(tmp_path)
    assert found.video_ids == ["5", "6"]
    # 10 s are in the seventh half octave of 1 + seconds.
    assert found.tags == [
        ["tag 39", "tag 68", "upload Web", "music 9", "length 7", "upright"],
        ["square"],
    ]
    assert found.primary == [["tag 39"], []]
    assert not found.image_present.any() and not found.text_present.any()


def test_another_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MalformedLog, match=r"item_features\.parquet: found .*, expected a Parquet"):
        read_kuairand_items(tmp_path)
    pq.write_table(pa.table({"video_id": [1]}), tmp_path / "item_features.parquet")
    with pytest.raises(MalformedLog, match="found no column music_type"):
        read_kuairand_items(tmp_path)
