"""Comments from CSV: columns `time_ms`, `text` and, where known, `user`."""

from collections.abc import Iterator
from pathlib import Path

from limelight.replay.readers.csv_rows import csv_rows
from limelight.replay.readers.lines import CommentLine, comment_line
from limelight.replay.readers.timestamps import whole_ms

NEEDED_COLUMNS = {"time_ms", "text"}
COLUMNS = NEEDED_COLUMNS | {"user"}


def read_comments_csv(path: Path) -> Iterator[CommentLine]:
    """Comments in file order.

    Raises:
        MalformedRecording: other columns, a broken row, or a bad time.
    """
    rows = csv_rows(path)
    place, header = next(rows)
    if not NEEDED_COLUMNS <= set(header) <= COLUMNS:
        raise place.malformed_value(list(header), "columns time_ms, text and optionally user")
    for place, row in rows:
        offset_ms = whole_ms(place, row["time_ms"])
        line = comment_line(place, offset_ms, row.get("user", "").strip(), row["text"])
        if line is not None:
            yield line
