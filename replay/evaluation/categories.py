"""Which category rooms or streamers belong to, from a CSV file."""

from pathlib import Path

from limelight.replay.readers.csv_rows import csv_rows


def read_categories(path: Path) -> dict[str, str]:
    """Category by room or streamer id, of a file with the columns id and category.

    Raises:
        MalformedRecording: a column is missing, or an id comes twice.
        OSError: the file cannot be read.
    """
    rows = csv_rows(path)
    place, header = next(rows)
    if not {"id", "category"} <= set(header):
        raise place.malformed_value(list(header), "columns id and category")
    found: dict[str, str] = {}
    for place, row in rows:
        if row["id"] in found:
            raise place.malformed_value(row["id"], "each id once")
        found[row["id"]] = row["category"]
    return found
