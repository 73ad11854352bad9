from hypothesis import given
from hypothesis import strategies as st

from limelight.streams.segments import SegmentClock


def test_a_rooms_start_begins_a_segment() -> None:
    clock = SegmentClock.of_room("room", 1_000_010_000, 30_000)
    assert clock.phase_ms == 20_000
    assert clock.index_of(1_000_015_000) == 33_333
    assert clock.start_ms(33_333) == 1_000_010_000


def test_rooms_without_a_start_do_not_all_close_at_once() -> None:
    phases = {SegmentClock.of_room(f"room-{n}", None, 30_000).phase_ms for n in range(100)}
    assert len(phases) > 90


@given(st.integers(0, 10**13), st.text(min_size=1), st.none() | st.integers(0, 10**13))
def test_every_moment_lies_in_exactly_its_segment(
    time_ms: int, room_id: str, started_ms: int | None
) -> None:
    clock = SegmentClock.of_room(room_id, started_ms, 30_000)
    index = clock.index_of(time_ms)
    assert clock.start_ms(index) <= time_ms < clock.end_ms(index)
    assert clock.end_ms(index) == clock.start_ms(index + 1)
