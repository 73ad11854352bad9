"""YouTube's trending table: what stood in a country's trending list on each day, with its counts.

Reads the CSV of the public Kaggle table: one row for each video and day. The table is not part of
this project. How its rows go wrong, and what is done about it:

- A date is "dd.mm" without a year. Spreadsheets took "1.10" for a number and wrote "1.1": months
  have two digits, so a single 1 is October without its zero.
- A video stands twice in a day where the list was read twice: the later row holds.
- Ids that begin with "-" were taken for formulas and read "#NAME?", and some rows run into the next
  one: these belong to no video or no day, and are refused.
- Titles, tags and categories are edited while a video trends: the first day's are kept, since a
  forecast is made then.
"""

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NoReturn

from limelight.models.datasets.malformed import MalformedDataset, Place
from limelight.models.datasets.text_lines import text_lines

COLUMNS = (
    "video_id",
    "title",
    "channel_title",
    "category_id",
    "tags",
    "views",
    "likes",
    "dislikes",
    "comment_total",
    "date",
)
_NO_TAGS = "[none]"
_OCTOBER_WITHOUT_ZERO = "1"
_VIDEO_ID = re.compile(r"[A-Za-z0-9_-]{11}", re.ASCII)
_COUNT = re.compile(r"[0-9]{1,15}", re.ASCII)
_DATE = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})", re.ASCII)


@dataclass(frozen=True, slots=True)
class TrendingDay:
    """What a video's page showed on one day of the table; all counts are totals until then."""

    date: date
    views: int
    likes: int
    dislikes: int
    comments: int


@dataclass(frozen=True, slots=True)
class TrendingVideo:
    """One video: its text as on its first day, and its days by date, at least one.

    Days need not follow each other: a video may leave the list and come back.
    """

    video_id: str
    title: str
    channel: str
    category_id: int
    tags: tuple[str, ...]
    days: tuple[TrendingDay, ...]


def refuse(error: MalformedDataset) -> NoReturn:
    """What is done with a malformed row where nothing else is asked for."""
    raise error


def read_youtube_trending(
    path: Path,
    *,
    year: int = 2017,
    on_malformed: Callable[[MalformedDataset], object] = refuse,
) -> list[TrendingVideo]:
    """The videos in the order in which they first appear in the file.

    Args:
        year: of all dates, which the file does not say.
        on_malformed: called with each row that cannot be read; if it returns, the row is left out.
            `list.append` collects them.

    Raises:
        MalformedDataset: other columns, no video at all, or a row that `on_malformed` lets raise.
        FileNotFoundError: no such file.
    """
    lines = text_lines(path)
    header = next(lines, None)
    found = () if header is None else tuple(_cells(header.place, header.text))
    if found != COLUMNS:
        raise Place(path, 1).malformed(f"columns {list(found)}", f"{list(COLUMNS)}")
    about: dict[str, TrendingVideo] = {}
    days: dict[str, dict[date, TrendingDay]] = {}
    for line in lines:
        try:
            video = _row(line.place, _cells(line.place, line.text), year)
        except MalformedDataset as error:
            on_malformed(error)
            continue
        day = video.days[0]
        own = days.setdefault(video.video_id, {})
        if not own or day.date < min(own):
            about[video.video_id] = video
        own[day.date] = day
    if not days:
        raise Place(path).malformed("no video", "at least one")
    return [_with_days(about[video_id], own) for video_id, own in days.items()]


def _with_days(video: TrendingVideo, days: dict[date, TrendingDay]) -> TrendingVideo:
    in_order = tuple(days[each] for each in sorted(days))
    return TrendingVideo(
        video.video_id, video.title, video.channel, video.category_id, video.tags, in_order
    )


def _cells(place: Place, text: str) -> list[str]:
    try:
        (cells,) = csv.reader([text], strict=True)
    except csv.Error as error:
        raise place.malformed(str(error), "comma-separated values") from error
    return cells


def _row(place: Place, cells: list[str], year: int) -> TrendingVideo:
    """The video with this row's day only."""
    if len(cells) != len(COLUMNS):
        raise place.malformed(f"{len(cells)} cells", f"{len(COLUMNS)}")
    video_id, title, channel, category, tags, *counts, day = cells
    if not _VIDEO_ID.fullmatch(video_id):
        raise place.malformed_value("video_id", video_id, "11 letters, digits, - or _")
    names = ("views", "likes", "dislikes", "comment_total")
    numbers = [_count(place, name, each) for name, each in zip(names, counts, strict=True)]
    return TrendingVideo(
        video_id=video_id,
        title=title,
        channel=channel,
        category_id=_count(place, "category_id", category),
        tags=() if tags == _NO_TAGS else tuple(tag for tag in tags.split("|") if tag),
        days=(TrendingDay(_date(place, day, year), *numbers),),
    )


def _count(place: Place, name: str, text: str) -> int:
    if not _COUNT.fullmatch(text):
        raise place.malformed_value(name, text, "a whole number, 0 or more")
    return int(text)


def _date(place: Place, text: str, year: int) -> date:
    match = _DATE.fullmatch(text)
    if match is None:
        raise place.malformed_value("date", text, "a day and a month such as 13.09")
    month = "10" if match[2] == _OCTOBER_WITHOUT_ZERO else match[2]
    try:
        return date(year, int(month), int(match[1]))
    except ValueError as error:
        raise place.malformed_value("date", text, f"a day of {year} such as 13.09") from error
