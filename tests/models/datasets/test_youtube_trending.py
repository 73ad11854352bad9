"""The trending table as it is: dates that lost a zero, days read twice, rows that ran together."""

import csv
from collections import defaultdict
from datetime import date
from pathlib import Path

import pytest

from limelight.models.datasets.malformed import MalformedDataset
from limelight.models.datasets.youtube_trending import COLUMNS, TrendingDay, read_youtube_trending

ROW = ["aaaaaaaaaaa", "A title", "A channel", "24", "one|two", "100", "9", "2", "3", "13.09"]


def write(folder: Path, *rows: list[str], columns: tuple[str, ...] = COLUMNS) -> Path:
    path = folder / "table.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def row(**changes: str) -> list[str]:
    return [changes.get(name, cell) for name, cell in zip(COLUMNS, ROW, strict=True)]


def test_a_videos_days_come_by_date_with_the_first_days_text(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        row(date="1.1", views="300", title="Later"),
        row(video_id="bbbbbbbbbbb", tags="[none]", title='A "quoted", title'),
        row(date="30.09", views="200"),
    )
    first, second = read_youtube_trending(path)
    assert first.days == (
        TrendingDay(date(2017, 9, 30), 200, 9, 2, 3),
        TrendingDay(date(2017, 10, 1), 300, 9, 2, 3),
    )
    assert (first.title, first.channel, first.category_id) == ("A title", "A channel", 24)
    assert first.tags == ("one", "two")
    assert (second.tags, second.title) == ((), 'A "quoted", title')


def test_of_two_rows_of_a_day_the_later_holds(tmp_path: Path) -> None:
    path = write(tmp_path, row(views="100", title="Before"), row(views="101", title="After"))
    (video,) = read_youtube_trending(path, year=2018)
    assert video.days == (TrendingDay(date(2018, 9, 13), 101, 9, 2, 3),)
    assert video.title == "Before"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"video_id": "#NAME?"}, "line 3: found video_id '#NAME\\?', expected 11 letters"),
        ({"date": "100"}, "line 3: found date '100', expected a day and a month"),
        ({"date": "24.09xcaeyJTx4Co"}, "line 3: found date '24.09xcaeyJTx4Co'"),
        ({"date": "31.09"}, "line 3: found date '31.09', expected a day of 2017"),
        ({"views": "-1"}, "line 3: found views '-1', expected a whole number"),
        ({"comment_total": "nan"}, "line 3: found comment_total 'nan'"),
        ({"category_id": ""}, "line 3: found category_id ''"),
    ],
)
def test_a_malformed_row_is_refused_by_its_line(
    tmp_path: Path, changes: dict[str, str], text: str
) -> None:
    path = write(tmp_path, row(), row(**changes))
    with pytest.raises(MalformedDataset, match=text):
        read_youtube_trending(path)
    refused: list[MalformedDataset] = []
    (video,) = read_youtube_trending(path, on_malformed=refused.append)
    assert len(video.days) == 1
    assert [each.line for each in refused] == [3]


def test_rows_of_another_length_and_open_quotes_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, row(), [*row(), "more"])
    with pytest.raises(MalformedDataset, match="line 3: found 11 cells, expected 10"):
        read_youtube_trending(path)
    with path.open("a", encoding="utf-8") as file:
        file.write('aaaaaaaaaaa,"open\n')
    refused: list[MalformedDataset] = []
    read_youtube_trending(path, on_malformed=refused.append)
    assert [each.line for each in refused] == [3, 4]


def test_other_columns_and_a_table_without_videos_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MalformedDataset, match=r"line 1: found columns \['id'"):
        read_youtube_trending(write(tmp_path, row(), columns=("id", *COLUMNS[1:])))
    with pytest.raises(MalformedDataset, match="found no video, expected at least one"):
        read_youtube_trending(write(tmp_path))


@pytest.mark.shared_data
def test_the_real_table_is_read_but_for_the_rows_without_video_or_day(shared_data: Path) -> None:
    path = shared_data / "youtube-trending" / "USvideos_2017-09_10.csv"
    refused: list[MalformedDataset] = []
    videos = read_youtube_trending(path, on_malformed=refused.append)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    days = defaultdict(set)
    for cells in rows:
        if cells[0] != "#NAME?" and len(cells[9]) <= 5 and cells[9] != "100":
            days[cells[0]].add(cells[9])
    assert {each.video_id: len(each.days) for each in videos} == {
        video_id: len(own) for video_id, own in days.items()
    }
    assert len(refused) == sum(
        cells[0] == "#NAME?" or cells[9] == "100" or len(cells[9]) > 5 for cells in rows
    )
    assert max(day.date for video in videos for day in video.days) == date(2017, 10, 22)
