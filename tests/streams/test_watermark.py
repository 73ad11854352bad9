from hypothesis import given
from hypothesis import strategies as st

from limelight.streams.watermark import SourceWatermark

HOUR_MS = 3_600_000


def test_the_docstrings_example_restarts_at_mark_a() -> None:
    acked: list[int] = []
    source = SourceWatermark(HOUR_MS)
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
    hold = SourceWatermark(HOUR_MS).hold(lambda: acked.append("message"))
    hold.retain()
    hold.release()
    assert acked == []
    hold.release()
    assert acked == ["message"]


def test_a_mark_far_ahead_is_believed_only_when_the_next_one_is_as_far() -> None:
    source = SourceWatermark(HOUR_MS)
    acked: list[str] = []
    source.advance(0, lambda: acked.append("first"))
    assert source.advance(3 * HOUR_MS, lambda: acked.append("wrong")) is None
    assert source.watermark_ms == 0
    refuted = source.advance(1_000, lambda: acked.append("true"))
    assert refuted is not None and refuted.mark_ms == 3 * HOUR_MS
    assert source.watermark_ms == 1_000
    assert acked == []
    refuted.hold.release()
    assert acked == ["wrong", "first"]
    source.advance(5 * HOUR_MS, lambda: acked.append("after a pause"))
    assert source.advance(5 * HOUR_MS + 1_000, lambda: acked.append("next")) is None
    assert source.watermark_ms == 5 * HOUR_MS + 1_000
    assert set(acked[2:]) == {"true", "after a pause"}


@given(st.lists(st.integers(0, 1000)))
def test_a_watermark_never_goes_back(marks: list[int]) -> None:
    source = SourceWatermark(HOUR_MS)
    highest = -1
    for mark in marks:
        source.advance(mark, lambda: None)
        highest = max(highest, mark)
        assert source.watermark_ms == highest


@given(st.lists(st.sampled_from(["mark", "glitch", "data", "release"]), max_size=60), st.randoms())
def test_reading_again_always_begins_at_a_mark(steps: list[str], random) -> None:
    """The first message that is not acknowledged is a mark, unless no mark came before it."""
    source = SourceWatermark(HOUR_MS)
    kinds: list[str] = []
    acked: set[int] = set()
    held = []
    for step in steps:
        offset = len(kinds)
        if step == "mark":
            source.advance(offset, lambda offset=offset: acked.add(offset))
            kinds.append("mark")
        elif step == "glitch":
            ack = lambda offset=offset: acked.add(offset)  # noqa: E731
            refuted = source.advance(offset + 10 * HOUR_MS, ack)
            if refuted is not None:
                held.append(refuted.hold)
            # Until a second one confirms it, it is held like data.
            believed = source.watermark_ms == offset + 10 * HOUR_MS
            kinds.append("mark" if believed else "data")
        elif step == "data":
            held.append(source.hold(lambda offset=offset: acked.add(offset)))
            kinds.append("data")
        elif held:
            held.pop(random.randrange(len(held))).release()
        unacked = [n for n in range(len(kinds)) if n not in acked]
        if unacked and "mark" in kinds[: unacked[0]]:
            assert kinds[unacked[0]] == "mark"
