"""Highlights as they are exported: read from the JSON lines of their events."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limelight.engine.errors import LimelightError
from limelight.replay.event_time import shown_event_time
from limelight.streams.highlight_records import decode_highlight
from limelight.streams.records import MalformedRecord

MAX_EVENT_BYTES = 1_000_000
_RANK = {"opened": 0, "updated": 1, "closed": 2, "enriched": 3}
CSV_COLUMNS = (
    *("room_id", "streamer_id", "start", "end", "start_ms", "end_ms", "seconds", "peak"),
    *("baseline", "rise", "decided_by", "model_version", "reason", "id"),
)


class ExportFailed(LimelightError):
    """Highlights cannot be exported: their file is broken, or a clip cannot be made."""


@dataclass(frozen=True, slots=True)
class ExportedHighlight:
    """One highlight `[start_ms, end_ms)` in event time; `data` is its newest event's."""

    highlight_id: str
    room_id: str
    start_ms: int
    end_ms: int
    data: dict[str, Any]


def read_highlights(path: Path, room_ids: Iterable[str] = ()) -> list[ExportedHighlight]:
    """The newest event of each highlight in a file of CloudEvents, one a line, oldest first.

    Raises:
        ExportFailed: names the line that is no highlight event.
    """
    wanted = frozenset(room_ids)
    newest: dict[str, tuple[tuple[int, int], ExportedHighlight]] = {}
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                event = decode_highlight(line.strip(), max_bytes=MAX_EVENT_BYTES)
                data = event["data"]
                found = ExportedHighlight(
                    str(event["subject"]),
                    data["room_id"],
                    int(data["start_ms"]),
                    int(data["end_ms"]),
                    data,
                )
                rank = _RANK[data["kind"]], found.end_ms
            except (MalformedRecord, KeyError, TypeError, ValueError) as error:
                raise ExportFailed(
                    f"{path}, line {number}: found {error}, expected a highlight event"
                ) from error
            before = newest.get(found.highlight_id)
            if (not wanted or found.room_id in wanted) and (before is None or before[0] <= rank):
                newest[found.highlight_id] = rank, found
    highlights = [each for _, each in newest.values()]
    return sorted(highlights, key=lambda each: (each.start_ms, each.room_id))


def write_csv(highlights: Sequence[ExportedHighlight], path: Path) -> None:
    """One row a highlight; times in UTC and in ms."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(CSV_COLUMNS)
        for each in highlights:
            data = each.data
            rows.writerow([
                _plain(each.room_id), _plain(data.get("streamer_id", "")),
                shown_event_time(each.start_ms), shown_event_time(each.end_ms),
                each.start_ms, each.end_ms, (each.end_ms - each.start_ms) / 1000,
                (data.get("peak") or {}).get("value"), data.get("baseline"), data.get("rise"),
                data.get("decided_by"), data.get("model_version"),
                _plain(data.get("reason", "")), _plain(each.highlight_id),
            ])  # fmt: skip


def _plain(text: str) -> str:
    """Viewers' words must not become a spreadsheet's formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
