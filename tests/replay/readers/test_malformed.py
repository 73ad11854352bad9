from pathlib import Path

from limelight.engine.errors import LimelightError
from limelight.replay.readers.malformed import MalformedRecording, Place, shown


def test_the_error_reads_as_one_sentence() -> None:
    error = Place(Path("a/comments.xml"), "line 12").malformed("this", "that")
    assert isinstance(error, LimelightError)
    assert str(error) == "comments.xml, line 12: found this, expected that"
    assert (error.path, error.where) == (Path("a/comments.xml"), "line 12")


def test_without_a_place_the_file_alone_is_named() -> None:
    error = MalformedRecording(Path("x.mp4"), None, "an empty file", "a video")
    assert str(error) == "x.mp4: found an empty file, expected a video"


def test_a_long_value_is_cut() -> None:
    assert shown("a" * 100) == repr("a" * 80) + " and 20 more"
    assert len(shown(["b" * 500])) < 100
