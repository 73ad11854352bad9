"""The lines of KLive's files: one frame of a live room each, as JSON or as separated columns.

What is public names the columns (`live_id`, `timestamp`, `lvtr`, `image_feaure`, `text_feaure`) and
the files (`0_test_score_infer_output.log`), not how a line holds them. So each file is recognised
by its first line: a JSON object; or columns separated by tabs, else by commas with CSV's quotes;
with a header, else in the order above. A feature is a JSON list, or numbers separated by commas or
blanks. A line holds one frame, also in CSV.
"""

import csv
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limelight.models.datasets.json_lines import json_object
from limelight.models.datasets.malformed import Place, shown
from limelight.models.datasets.text_lines import text_lines

COLUMNS = ("live_id", "timestamp", "lvtr", "image_feature", "text_feature")
# As the release's own description spells them.
_SPELLINGS = {"image_feaure": "image_feature", "text_feaure": "text_feature"}

Cells = Mapping[str, object]
Feature = NDArray[np.float32]
_MAX_INT64 = 2**63


@dataclass(frozen=True, slots=True)
class KLiveFormat:
    """How one file's lines become cells by column name, and whether the first is a header."""

    cells: Callable[[Place, str], Cells]
    has_header: bool


@dataclass(frozen=True, slots=True)
class KLiveFrame:
    """One frame of a room.

    Args:
        timestamp_s: seconds, from whatever beginning.
        long_view_rate: in [0, 1]; NaN where it was not measured.
        image_feature, text_feature: (F,) and (T,) float32; None where it is missing.
    """

    timestamp_s: int
    long_view_rate: float
    image_feature: Feature | None
    text_feature: Feature | None


def recognised_format(path: Path) -> KLiveFormat | None:
    """How to read `path`; None where it is empty.

    Raises:
        MalformedDataset: a header without the columns, or as many columns as no frame has.
    """
    first = next(text_lines(path), None)
    if first is None:
        return None
    if first.text.lstrip().startswith("{"):
        return KLiveFormat(lambda place, text: _renamed(json_object(place, text)), False)
    separator = "\t" if "\t" in first.text else ","
    names = separated(first.place, first.text, separator)
    columns = [_SPELLINGS.get(name.strip().lower(), name.strip().lower()) for name in names]
    has_header = "live_id" in columns
    if not has_header:
        columns = list(COLUMNS)
    elif missing := set(COLUMNS) - set(columns):
        raise first.place.malformed(f"no column {', '.join(sorted(missing))}", str(COLUMNS))
    if len(names) != len(columns) or len(set(columns)) < len(columns):
        found = f"{len(names)} columns separated by {separator!r}"
        raise first.place.malformed(found, f"{', '.join(COLUMNS)}, each once")
    return KLiveFormat(_separated_cells(separator, columns), has_header)


def live_id_of(place: Place, cells: Cells) -> str:
    """The room's id; 17792 and "17792" are one.

    Raises:
        MalformedDataset: none, or something else than a whole number or text.
    """
    return _id(place, cells, "live_id")


def frame_of(place: Place, cells: Cells) -> KLiveFrame:
    """The frame of a line.

    Raises:
        MalformedDataset: a timestamp that is no whole number, a long-view rate outside [0, 1], or
            a feature that is no list of finite numbers. An empty or NaN rate is one that was not
            measured, an empty or null feature one that is missing.
    """
    return KLiveFrame(
        timestamp_s=_timestamp_s(place, cells.get("timestamp")),
        long_view_rate=_long_view_rate(place, cells.get("lvtr")),
        image_feature=_feature(place, "image_feature", cells.get("image_feature")),
        text_feature=_feature(place, "text_feature", cells.get("text_feature")),
    )


def read_author_ids(path: Path) -> dict[str, str]:
    """The author of each room, by live id, from `live_id2aid.txt`.

    Two columns separated by tabs, commas or blanks; a header may name them.

    Raises:
        MalformedDataset: another number of columns, an empty id, or one room with two authors.
    """
    authors: dict[str, str] = {}
    for number, line in enumerate(text_lines(path)):
        ids = line.text.replace(",", " ").split()
        if len(ids) != 2:
            raise line.place.malformed_value("the line", line.text, "a live id and an author id")
        if number == 0 and ids == ["live_id", "author_id"]:
            continue
        live_id, author_id = ids
        if authors.setdefault(live_id, author_id) != author_id:
            found = f"live_id {live_id} with the authors {authors[live_id]} and {author_id}"
            raise line.place.malformed(found, "one author of a room")
    return authors


def separated(place: Place, text: str, separator: str) -> list[str]:
    """The cells of one line: split at tabs as they stand, at commas outside of CSV's quotes.

    Raises:
        MalformedDataset: quotes that are not closed on the line, or a cell of more characters than
            Python's csv takes (131,072): files with so long features need tabs or JSON.
    """
    if separator == "\t":
        return [cell.strip('" ') for cell in text.split(separator)]
    try:
        return next(csv.reader([text], delimiter=separator, strict=True))
    except csv.Error as error:
        raise place.malformed(f"broken columns ({error})", "separated values") from error


def _separated_cells(separator: str, columns: list[str]) -> Callable[[Place, str], Cells]:
    def cells(place: Place, text: str) -> Cells:
        found = separated(place, text, separator)
        if len(found) != len(columns):
            raise place.malformed(f"{len(found)} columns", f"the {len(columns)} of the first line")
        return dict(zip(columns, found, strict=True))

    return cells


def _renamed(cells: Cells) -> Cells:
    return {_SPELLINGS.get(name, name): value for name, value in cells.items()}


def _id(place: Place, cells: Cells, name: str) -> str:
    value = cells.get(name)
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    text = str(value) if is_whole and abs(value) < _MAX_INT64 else value  # type: ignore[arg-type]
    if not isinstance(text, str) or not text.strip():
        raise place.malformed_value(name, value, "a whole number or text")
    return text.strip()


def _timestamp_s(place: Place, value: object) -> int:
    number = _number(value)
    if number is None or not number.is_integer() or abs(number) >= 2**53:
        raise place.malformed_value("timestamp", value, "whole seconds")
    return int(number)


def _long_view_rate(place: Place, value: object) -> float:
    if value is None or (isinstance(value, str) and not value.strip()):
        return math.nan
    number = _number(value)
    if number is None or not (math.isnan(number) or 0 <= number <= 1):
        raise place.malformed_value("lvtr", value, "a number from 0 to 1, or nothing")
    return number


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _feature(place: Place, name: str, value: object) -> Feature | None:
    if isinstance(value, str):
        value = _listed(value)
    if value is None or value == []:
        return None
    try:
        array: NDArray[Any] = np.asarray(value)
        with np.errstate(over="ignore"):
            numbers = array.astype(np.float32) if array.dtype.kind in "iuf" else None
    except (ValueError, OverflowError, RecursionError):
        numbers = None
    if numbers is None or numbers.ndim != 1 or not np.isfinite(numbers).all():
        raise place.malformed(f"{name} {shown(value)}", "a list of finite float32 numbers")
    return numbers


def _listed(text: str) -> object:
    """What a cell's text lists; the text itself where it is no list, which is then refused."""
    text = text.strip()
    if not text or text.lower() in ("nan", "null", "none"):
        return None
    try:
        if text.startswith("["):
            return json.loads(text)
        return [float(number) for number in text.replace(",", " ").split()]
    except (ValueError, RecursionError):
        return text
