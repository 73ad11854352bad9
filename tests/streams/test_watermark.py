from hypothesis import given
from hypothesis import strategies as st

from limelight.streams.watermark import SourceWatermark


def test_the_docstrings_example_restarts_at_mark_a() -> None:
    acked: list[int] = []
    source = SourceWatermark()
    source.advance(10, lambda: acked.append(0))
    first = source.hold(lambda: acked.append(1))
    source.hold(lambda: acked.append(2))
    source.advance(20, lambda: acked.append(3))
    fourth = source.hold(lambda: acked.append(4))
    source.advance(30, lambda: acked.append(5))
    first.release()
    fourth.release()
    assert sorted(acked) == [1, 3, 4]


def test_a_hold_with_two_users_waits_for_both() -> None:
    acked: list[str] = []
    hold = SourceWatermark().hold(lambda: acked.append("message"))
    hold.retain()
    hold.release()
    assert acked == []
    hold.release()
    assert acked == ["message"]


@given(st.lists(st.integers(0, 1000)))
def test_a_watermark_never_goes_back(marks: list[int]) -> None:
    source = SourceWatermark()
    highest = -1
    for mark in marks:
        moved = source.advance(mark, lambda: None)
        assert moved == (mark > highest)
        highest = max(highest, mark)
        assert source.watermark_ms == highest


@given(st.lists(st.sampled_from(["mark", "data", "release"]), max_size=60), st.randoms())
def test_reading_again_always_begins_at_a_mark(steps: list[str], random) -> None:
    """The first message that is not acknowledged is a mark, unless no mark came before it."""
    source = SourceWatermark()
    kinds: list[str] = []
    acked: set[int] = set()
    held = []
    for step in steps:
        offset = len(kinds)
        if step == "mark":
            source.advance(offset, lambda offset=offset: acked.add(offset))
            kinds.append("mark")
        elif step == "data":
            held.append(source.hold(lambda offset=offset: acked.add(offset)))
            kinds.append("data")
        elif held:
            held.pop(random.randrange(len(held))).release()
        unacked = [n for n in range(len(kinds)) if n not in acked]
        if unacked and "mark" in kinds[: unacked[0]]:
            assert kinds[unacked[0]] == "mark"
