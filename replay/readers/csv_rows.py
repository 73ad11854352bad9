"""The rows of a CSV file with a header, one at a time."""

import csv
from collections.abc import Iterator
from pathlib import Path

from limelight.replay.readers.malformed import MalformedRecording, Place
from limelight.replay.readers.text_lines import numbered_lines


def csv_rows(path: Path) -> Iterator[tuple[Place, dict[str, str]]]:
    """Yields (place, cells by column), the header first, which maps each column to itself.

    Raises:
        MalformedRecording: no header, a column named twice, a row of another length than the
            header, or broken quotes.
    """
    rows = csv.reader((f"{line}\n" for _, line in numbered_lines(path)), strict=True)
    header: list[str] | None = None
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            place = Place(path, f"line {rows.line_num}")
            raise place.malformed(f"broken CSV ({error})", "comma-separated values") from error
        if row is None:
            break
        place = Place(path, f"line {rows.line_num}")
        if not row:
            continue
        if header is None:
            header = [name.strip().lower() for name in row]
            if len(set(header)) < len(header):
                raise place.malformed_value(header, "each column once")
            row = header
        if len(row) != len(header):
            raise place.malformed(f"{len(row)} cells", f"the {len(header)} of the header")
        yield place, dict(zip(header, row, strict=True))
    if header is None:
        raise MalformedRecording(path, None, "an empty file", "a header line")
