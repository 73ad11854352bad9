import pytest
from hypothesis import given
from hypothesis import strategies as st

from limelight.replay.event_time import parse_event_time, shown_event_time


@pytest.mark.parametrize(
    "text",
    ["2023-11-14T22:13:20", "2023-11-14 22:13:20Z", "2023-11-15T06:13:20.000+08:00"],
)
def test_times_are_utc_unless_they_say_otherwise(text: str) -> None:
    assert parse_event_time(text) == 1_700_000_000_000


@given(st.integers(0, 7_258_118_399_999))
def test_what_is_shown_is_read_as_the_same_millisecond(time_ms: int) -> None:
    assert parse_event_time(shown_event_time(time_ms)) == time_ms


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="time: found 'noon', expected one like 2026-"):
        parse_event_time("noon")
