from pathlib import Path

from limelight.replay.readers.csv_rows import csv_rows


def test_places_are_the_lines_where_rows_end(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(' A ,b\n1,"x\ny"\n\n2,z\n')
    assert [(place.where, row) for place, row in csv_rows(file)] == [
        ("line 1", {"a": "a", "b": "b"}),
        ("line 3", {"a": "1", "b": "x\ny"}),
        ("line 5", {"a": "2", "b": "z"}),
    ]
