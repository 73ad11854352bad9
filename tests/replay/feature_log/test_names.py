"""File names say what the files hold."""

from datetime import UTC, datetime

import pytest

from limelight.replay.feature_log.names import FlushedName, flushed_name, hour_folder, hour_of

HOUR = int(datetime(2026, 1, 1, 7, tzinfo=UTC).timestamp()) // 3600
PATH = "segments/date=2026-01-01/hour=07/windows-p00003-o000000000100-000000000199-1of2.parquet"
NAME = FlushedName("segments", 3, 100, 200, 1, 2)


def test_a_name_is_the_one_in_the_documentation_and_reads_back() -> None:
    assert NAME.path(HOUR) == PATH
    assert flushed_name(PATH) == NAME
    assert hour_of(PATH) == HOUR
    assert hour_folder(0) == "date=1970-01-01/hour=00"


def test_an_unfinished_file_says_whose_it_is() -> None:
    assert flushed_name(f"{PATH}.0a1b2c3d.part") == NAME


@pytest.mark.parametrize(
    "path",
    [
        "segments/date=2026-01-01/hour=07/compacted-0123456789abcdef.parquet",
        "segments/date=2026-01-01/hour=07/scores-p00003-o000000000100-000000000199-1of2.parquet",
        "segments/notes.txt",
        "somewhere/windows-p00003-o000000000100-000000000199-1of2.parquet",
    ],
)
def test_other_files_are_not_taken_for_flushed_ones(path: str) -> None:
    assert flushed_name(path) is None


@pytest.mark.parametrize("path", ["segments/x.parquet", "segments/date=2026-13-01/hour=07/x"])
def test_a_file_outside_of_an_hour_has_none(path: str) -> None:
    assert hour_of(path) is None
