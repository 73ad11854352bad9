from pathlib import Path

import pytest

from limelight.replay.readers.lines import MAX_TEXT_CHARS, comment_line, speech_line
from limelight.replay.readers.malformed import MalformedRecording, Place

PLACE = Place(Path("part"), "line 1")


def test_a_text_of_the_longest_length_passes_and_one_more_does_not() -> None:
    assert comment_line(PLACE, 0, "u", "a" * MAX_TEXT_CHARS) is not None
    with pytest.raises(MalformedRecording, match="at most 10,000"):
        comment_line(PLACE, 0, "u", "a" * (MAX_TEXT_CHARS + 1))


def test_nothing_said_gives_no_line() -> None:
    assert comment_line(PLACE, 0, "u", " \n\t") is None
    assert speech_line(PLACE, 0, 0, "") is None
