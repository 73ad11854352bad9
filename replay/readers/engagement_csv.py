"""Engagement from CSV: single events, or counts over intervals."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

from limelight.replay.readers.csv_rows import csv_rows
from limelight.replay.readers.lines import EngagementLine, check_order
from limelight.replay.readers.malformed import Place
from limelight.replay.readers.timestamps import whole_ms

EVENT_COLUMNS = {"time_ms", "kind", "amount"}
INTERVAL_COLUMNS = {"start_ms", "end_ms"}
COUNTS = {"impressions", "clicks", "gifts", "likes", "follows", "enters", "exits", "comments"}

_KIND = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)


def read_engagement_csv(path: Path) -> Iterator[EngagementLine]:
    """Lines in file order, from `time_ms,kind,amount` or `start_ms,end_ms,impressions,clicks,...`.

    An empty count is one that was not measured: it is left out, not taken as 0.

    Raises:
        MalformedRecording: other columns, a broken row, a bad time, or a count that is not a
            finite number from 0.
    """
    rows = csv_rows(path)
    place, header = next(rows)
    columns = set(header)
    if columns == EVENT_COLUMNS:
        for place, row in rows:
            yield _event(place, row)
    elif columns - COUNTS == INTERVAL_COLUMNS and columns & COUNTS:
        for place, row in rows:
            yield _interval(place, row)
    else:
        expected = f"time_ms,kind,amount or start_ms,end_ms and any of {', '.join(sorted(COUNTS))}"
        raise place.malformed_value(list(header), expected)


def _event(place: Place, row: dict[str, str]) -> EngagementLine:
    time_ms = whole_ms(place, row["time_ms"])
    if _KIND.fullmatch(row["kind"]) is None:
        raise place.malformed_value(row["kind"], "a kind in lower case, such as gift")
    return EngagementLine(time_ms, time_ms, {row["kind"]: _count(place, row["amount"])})


def _interval(place: Place, row: dict[str, str]) -> EngagementLine:
    start_ms = whole_ms(place, row["start_ms"])
    end_ms = whole_ms(place, row["end_ms"])
    check_order(place, start_ms, end_ms)
    measured = {name: text for name, text in row.items() if name in COUNTS and text.strip()}
    counts = {name: _count(place, text) for name, text in measured.items()}
    return EngagementLine(start_ms, end_ms, counts)


def _count(place: Place, text: str) -> float:
    try:
        count = float(text)
    except ValueError as error:
        raise place.malformed_value(text, "a number") from error
    if not math.isfinite(count) or count < 0:
        raise place.malformed_value(text, "a finite number from 0")
    return count
