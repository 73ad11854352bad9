"""A platform's videos as a table: a CSV with a row a video, what is known of it in columns."""

import re
from dataclasses import dataclass
from pathlib import Path

from limelight.models.datasets.labelled_clip import COUNT_NAMES
from limelight.replay.readers.csv_rows import csv_rows
from limelight.replay.readers.malformed import MalformedRecording, Place

TAG_SEPARATOR = "|"
NEEDED_COLUMNS = ("path", "clip_id")
WORD_COLUMNS = ("streamer_id", "title", "tags", "category", "subcategory", "cover")
VIEWER_COLUMNS = ("impressions", "plays_3s", "clicks")

_DAILY = re.compile(rf"({'|'.join(COUNT_NAMES)})_([1-9][0-9]{{0,2}})", re.ASCII)
_WHOLE = re.compile(r"[0-9]{1,15}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """A video and what is known of it; words are "" and counts None where the cell is empty.

    Args:
        place: its line, for errors.
        video: the file; nobody has looked whether it is there.
        cover: a picture file; None for the video's middle frame.
        daily_counts: a tuple of five for each day, as `COUNT_NAMES`, all that it has at its end.
    """

    place: Place
    video: Path
    clip_id: str
    streamer_id: str
    title: str
    tags: tuple[str, ...]
    category: str
    subcategory: str
    cover: Path | None
    impressions: int | None
    plays_3s: int | None
    clicks: int | None
    daily_counts: tuple[tuple[float, ...], ...]

    def at(self, column: str) -> Place:
        """The place of one of its cells."""
        return _cell(self.place, column)


def read_manifest(path: Path) -> list[ManifestRow]:
    """The rows of a manifest in their order; paths in it are relative to it.

    Raises:
        MalformedRecording: other columns, days with a gap, a count that is none, more plays or
            clicks than impressions, a clip twice, or no row at all.
        OSError: the file cannot be read.
    """
    rows = csv_rows(path)
    header_place, header = next(rows)
    daily = _daily_columns(header_place, list(header))
    found: list[ManifestRow] = []
    lines: dict[str, str | None] = {}
    for place, cells in rows:
        row = _row(place, {name: text.strip() for name, text in cells.items()}, daily)
        if row.clip_id in lines:
            first = lines[row.clip_id]
            raise row.at("clip_id").malformed_value(row.clip_id, f"another one than on {first}")
        lines[row.clip_id] = place.where
        found.append(row)
    if not found:
        raise MalformedRecording(path, None, "no row", "a row a video")
    return found


def _daily_columns(place: Place, header: list[str]) -> list[list[str | None]]:
    """By day the names of its five columns; None for what the manifest counts on no day."""
    known = (*NEEDED_COLUMNS, *WORD_COLUMNS, *VIEWER_COLUMNS)
    missing = [name for name in NEEDED_COLUMNS if name not in header]
    if missing:
        raise place.malformed_value(header, f"a column {missing[0]}")
    days = 0
    counted = set()
    for name in header:
        match = _DAILY.fullmatch(name)
        if match is not None:
            counted.add(match[1])
            days = max(days, int(match[2]))
        elif name not in known:
            raise place.malformed_value(name, f"{', '.join(known)} or such as views_1")
    wanted = [
        [f"{name}_{day}" if name in counted else None for name in COUNT_NAMES]
        for day in range(1, days + 1)
    ]
    for name in (each for day in wanted for each in day if each is not None):
        if name not in header:
            raise place.malformed(f"no column {name}", f"every day from 1 to {days}")
    return wanted


def _row(place: Place, cells: dict[str, str], daily: list[list[str | None]]) -> ManifestRow:
    for name in NEEDED_COLUMNS:
        if not cells[name]:
            raise _cell(place, name).malformed("nothing", "a name")
    folder = _folder(place)
    viewers = {name: _count(place, cells, name) for name in VIEWER_COLUMNS}
    impressions = viewers["impressions"]
    for name in ("plays_3s", "clicks"):
        measured = viewers[name]
        if impressions is not None and measured is not None and measured > impressions:
            expected = f"at most the {impressions} impressions"
            raise _cell(place, name).malformed_value(measured, expected)
    return ManifestRow(
        place=place,
        video=folder / cells["path"],
        clip_id=cells["clip_id"],
        streamer_id=cells.get("streamer_id", ""),
        title=cells.get("title", ""),
        tags=_tags(cells.get("tags", "")),
        category=cells.get("category", ""),
        subcategory=cells.get("subcategory", ""),
        cover=folder / cells["cover"] if cells.get("cover") else None,
        impressions=impressions,
        plays_3s=viewers["plays_3s"],
        clicks=viewers["clicks"],
        daily_counts=tuple(
            tuple(0.0 if name is None else _daily_count(place, cells, name) for name in names)
            for names in daily
        ),
    )


def _tags(text: str) -> tuple[str, ...]:
    """Each tag once, in its first place."""
    return tuple(dict.fromkeys(tag for each in text.split(TAG_SEPARATOR) if (tag := each.strip())))


def _count(place: Place, cells: dict[str, str], name: str) -> int | None:
    text = cells.get(name, "")
    if not text:
        return None
    if _WHOLE.fullmatch(text) is None:
        raise _cell(place, name).malformed_value(text, "a whole number from 0, or nothing")
    return int(text)


def _daily_count(place: Place, cells: dict[str, str], name: str) -> float:
    # An unknown count among known ones would have to be invented.
    if _WHOLE.fullmatch(cells[name]) is None:
        raise _cell(place, name).malformed_value(cells[name], "a whole number from 0")
    return float(cells[name])


def _cell(place: Place, column: str) -> Place:
    return Place(place.path, f"{place.where}, column {column}")


def _folder(place: Place) -> Path:
    assert isinstance(place.path, Path)
    return place.path.parent
