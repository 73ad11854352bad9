import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

WriteRows = Callable[[list[object]], Path]


@pytest.fixture
def shared_data() -> Path:
    """The folder of real data; the test is skipped without it."""
    folder = os.environ.get("LIMELIGHT_TEST_DATA")
    if not folder:
        pytest.skip("LIMELIGHT_TEST_DATA does not name the folder of real data")
    return Path(folder)


@pytest.fixture
def write_rows(tmp_path: Path) -> WriteRows:
    """Writes a JSON lines file of the given objects."""

    def write(rows: list[object]) -> Path:
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write
