"""Bilibili's weekly must-watch lists: a video a line, tabs between columns, no header.

The columns are those that Bilibili's web interface gives for a list, by their order in the file:
uploader, issue, title, description, the counts `view, danmaku, reply, favorite, coin, share, like`,
the list's own blurb, the category's name, and the best place the video ever had in the ranking
(`his_rank`). One of the two files has the video's number before them, the other lacks it. That
order was found by holding rows beside the interface's answers for issue 1, which the table's source
repository keeps: names, best rank and blurb are equal, counts within a few views of another day.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from limelight.models.datasets.malformed import Place
from limelight.models.datasets.text_lines import text_lines

COUNT_NAMES = ("views", "danmaku", "replies", "favorites", "coins", "shares", "likes")
_NAMES = ("uploader", "issue", "title", "description", *COUNT_NAMES, "blurb", "category", "rank")
_MAY_BE_EMPTY = ("description", "blurb")
_MOST = 2**53


@dataclass(frozen=True, slots=True)
class WeeklyVideo:
    """One video of one weekly list.

    Args:
        video_id: Bilibili's number; empty in the file that lacks it.
        uploader, title, description, category: as the platform shows them.
        issue: the list's year, number and days: "2019第1期 03.22 - 03.28".
        views, danmaku, replies, favorites, coins, shares, likes: when the table was made, months or
            years after the list.
        blurb: what the editors say of it.
        rank: the best place it ever had in the platform's ranking, 1 and up.
    """

    video_id: str
    uploader: str
    issue: str
    title: str
    description: str
    views: int
    danmaku: int
    replies: int
    favorites: int
    coins: int
    shares: int
    likes: int
    blurb: str
    category: str
    rank: int


def read_bilibili_weekly(path: Path) -> Iterator[WeeklyVideo]:
    """The videos of a file in its order.

    Raises:
        MalformedDataset: not 14 columns nor 15, an id, count or rank that is no whole number, or an
            empty name, issue, title or category.
    """
    for line in text_lines(path):
        yield _video(line.place, line.text.split("\t"))


def _video(place: Place, cells: list[str]) -> WeeklyVideo:
    if len(cells) not in (len(_NAMES), len(_NAMES) + 1):
        expected = f"{len(_NAMES)}, or {len(_NAMES) + 1} with an id before them"
        raise place.malformed(f"{len(cells)} columns", expected)
    video_id = cells[0].strip() if len(cells) > len(_NAMES) else ""
    if len(cells) > len(_NAMES) and _whole(video_id) is None:
        raise place.malformed_value("id", cells[0], "a whole number")
    texts: dict[str, str] = {}
    numbers: dict[str, int] = {}
    for name, cell in zip(_NAMES, cells[-len(_NAMES) :], strict=True):
        if name in (*COUNT_NAMES, "rank"):
            number = _whole(cell)
            if number is None or number < (name == "rank"):
                raise place.malformed_value(name, cell, "a whole number")
            numbers[name] = number
        else:
            texts[name] = cell.strip()
            if not texts[name] and name not in _MAY_BE_EMPTY:
                raise place.malformed_value(name, cell, "some text")
    return WeeklyVideo(video_id=video_id, **texts, **numbers)  # type: ignore[arg-type]


def _whole(cell: str) -> int | None:
    text = cell.strip()
    # `isdigit` alone would take superscripts, and a number of a million digits is no count.
    is_whole = text.isascii() and text.isdigit() and len(text) <= len(str(_MOST))
    return int(text) if is_whole and int(text) <= _MOST else None
