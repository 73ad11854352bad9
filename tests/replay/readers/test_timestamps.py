from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limelight.replay.readers.malformed import MalformedRecording, Place
from limelight.replay.readers.timestamps import MAX_OFFSET_MS, clock_ms, seconds_ms, whole_ms

PLACE = Place(Path("part"), "line 7")


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("0:00:00.00", 0),
        ("0:59:45.32", 3_585_320),
        ("00:00:01,280", 1_280),
        ("08:16.090", 496_090),
        ("1:04.0", 64_000),
        ("12:34:56.7894", 45_296_789),
        ("00:00:59.9996", 60_000),
    ],
)
def test_a_clock_is_read_to_the_ms(text: str, expected_ms: int) -> None:
    assert clock_ms(PLACE, text) == expected_ms


@given(st.integers(0, MAX_OFFSET_MS), st.sampled_from(".,"))
def test_a_written_clock_reads_back(time_ms: int, point: str) -> None:
    seconds, ms = divmod(time_ms, 1_000)
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{ms:03}"
    assert clock_ms(PLACE, text) == time_ms


@given(st.integers(0, MAX_OFFSET_MS))
def test_seconds_read_back_from_text_and_from_a_number(time_ms: int) -> None:
    assert seconds_ms(PLACE, f"{time_ms // 1000}.{time_ms % 1000:03}") == time_ms
    assert seconds_ms(PLACE, time_ms / 1000) == time_ms
    assert whole_ms(PLACE, str(time_ms)) == time_ms


@pytest.mark.parametrize("text", ["", "12", "0:60:00.00", "0:00:61.00", "-0:00:01.00", "0:0１:00"])
def test_a_broken_clock_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(MalformedRecording, match=r"^part, line 7: found .*, expected a time"):
        clock_ms(PLACE, text)


@pytest.mark.parametrize(
    "value", [-0.5, "-0.5", "nan", "inf", "1e3", "", None, True, [], float(10**12)]
)
def test_seconds_that_are_no_time_are_refused(value: object) -> None:
    with pytest.raises(MalformedRecording, match="line 7"):
        seconds_ms(PLACE, value)


def test_a_time_beyond_a_year_is_taken_for_a_wrong_unit() -> None:
    with pytest.raises(MalformedRecording, match="within a year"):
        whole_ms(PLACE, "1700000000000000"[:15])
