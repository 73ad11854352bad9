"""A manifest's rows, and the line and column of what cannot be one."""

from pathlib import Path

import pytest

from limelight.replay.clip_manifest import read_manifest
from limelight.replay.readers.malformed import MalformedRecording


def manifest(folder: Path, *lines: str) -> Path:
    path = folder / "manifest.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_row_is_what_its_cells_say(tmp_path: Path) -> None:
    header = "path,clip_id,streamer_id,title,tags,category,subcategory,cover,impressions,plays_3s"
    days = "clicks,likes_2,views_1,views_2,likes_1"
    (row,) = read_manifest(
        manifest(
            tmp_path, f"{header},{days}",
            'a/b.mp4,c1,anna," 跳舞, 现场 ",舞蹈| 现场 ||舞蹈,dance,street,c.png,10,4,3,6,7,9,5',
        )
    )  # fmt: skip
    assert row.video == tmp_path / "a/b.mp4" and row.cover == tmp_path / "c.png"
    assert (row.clip_id, row.streamer_id, row.title) == ("c1", "anna", "跳舞, 现场")
    assert row.tags == ("舞蹈", "现场")
    assert (row.category, row.subcategory) == ("dance", "street")
    assert (row.impressions, row.plays_3s, row.clicks) == (10, 4, 3)
    # Views, likes, comments, shares, favorites; what is counted on no day is 0.
    assert row.daily_counts == ((7, 5, 0, 0, 0), (9, 6, 0, 0, 0))
    assert row.at("title").where == "line 2, column title"


def test_a_path_and_a_name_are_enough(tmp_path: Path) -> None:
    (row,) = read_manifest(manifest(tmp_path, "clip_id,path", "c1,/videos/b.mp4"))
    assert row.video == Path("/videos/b.mp4")
    assert (row.title, row.tags, row.category, row.cover) == ("", (), "", None)
    assert (row.impressions, row.plays_3s, row.clicks, row.daily_counts) == (None, None, None, ())


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["path,title", "a,b"], "line 1: found .*, expected a column clip_id"),
        (["path,clip_id,clik", "a,b,1"], "line 1: found 'clik', expected path, clip_id, .*views_1"),
        (["path,clip_id,views_0", "a,b,1"], "line 1: found 'views_0'"),
        (["path,clip_id,views_2", "a,b,1"], "found no column views_1, expected every day from 1"),
        (["path,clip_id,views_1,likes_1,views_2", "a,b,1,1,1"], "found no column likes_2"),
        (["path,clip_id", " ,b"], "line 2, column path: found nothing"),
        (["path,clip_id", "a,"], "line 2, column clip_id: found nothing"),
        (["path,clip_id", "a,b", "c,b"], "line 3, column clip_id: found 'b', .* than on line 2"),
        (
            ["path,clip_id,clicks", "a,b,1.5"],
            r"line 2, column clicks: found '1\.5', expected a",
        ),
        (["path,clip_id,impressions", "a,b,-1"], "line 2, column impressions: found '-1'"),
        (
            ["path,clip_id,impressions,clicks", "a,b,2,3"],
            "line 2, column clicks: found 3, expected at most the 2 impressions",
        ),
        (
            ["path,clip_id,impressions,plays_3s", "a,b,0,1"],
            "plays_3s: found 1, .* the 0 imp",
        ),
        (["path,clip_id,views_1", "a,b,"], "line 2, column views_1: found '', expected a whole"),
        (["path,clip_id"], r"manifest\.csv: found no row"),
        (["path,clip_id", "a"], "line 2: found 1 cells, expected the 2"),
    ],
)
def test_what_is_wrong_is_named_by_line_and_column(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    with pytest.raises(MalformedRecording, match=message):
        read_manifest(manifest(tmp_path, *lines))
