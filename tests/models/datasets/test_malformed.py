from pathlib import Path

from limelight.models.datasets.malformed import MalformedDataset, Place, shown


def test_an_error_says_file_line_found_and_expected() -> None:
    error = Place(Path("some/folder/testing.csv"), 12).malformed_value("start", "x", "seconds")
    assert isinstance(error, ValueError)
    assert str(error) == "testing.csv, line 12: found start 'x', expected seconds"
    assert (error.line, error.expected) == (12, "seconds")


def test_an_error_of_the_whole_file_names_no_line() -> None:
    error = MalformedDataset(Path("testing.csv"), None, "an empty file", "a header line")
    assert str(error) == "testing.csv: found an empty file, expected a header line"


def test_long_values_are_cut_in_errors() -> None:
    assert shown("x" * 100) == f"{'x' * 80!r} and 20 more"
    assert shown([0.5] * 1_000) == "a list of 1,000"
    assert len(shown({"key": "x" * 1_000})) < 100
