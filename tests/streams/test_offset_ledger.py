from hypothesis import given
from hypothesis import strategies as st

from limelight.streams.offset_ledger import OffsetLedger


def make_ledger(*offsets: int) -> OffsetLedger:
    ledger = OffsetLedger()
    for offset in offsets:
        ledger.read(offset)
    return ledger


def test_the_docstrings_example() -> None:
    ledger, acknowledged = make_ledger(5, 6, 7, 9), {5, 6, 9}
    assert ledger.committable(acknowledged) == 7
    assert ledger.committable(acknowledged) is None
    acknowledged.add(7)
    assert ledger.committable(acknowledged) == 10
    assert acknowledged == set()


def test_a_held_first_message_keeps_all_behind_it() -> None:
    assert make_ledger(100, 101).committable({101}) is None
    assert make_ledger(0, 1, 2, 3).committable({3}) is None


def test_a_second_reading_forgets_the_first() -> None:
    ledger = make_ledger(5, 6, 7, 6)
    assert ledger.committable({5, 7}) is None
    ledger.read(7)
    assert ledger.committable({6, 7}) == 8


def test_late_acknowledgements_of_a_first_reading_commit_nothing_before_the_second_is_there() -> (
    None
):
    # 0 is a mark, acknowledged when 5, the next mark, had been read: 1 would be no mark.
    ledger, acknowledged = make_ledger(0, 1, 2, 3, 4, 5, 0), {0, 1, 2, 3, 4}
    assert ledger.committable(acknowledged) is None
    for offset in (1, 2, 3, 4):
        ledger.read(offset)
    assert ledger.committable(acknowledged) == 5


@given(st.sets(st.integers(0, 50), min_size=1), st.data())
def test_everything_before_a_commit_is_acknowledged(offsets: set[int], data) -> None:
    read = sorted(offsets)
    acknowledged = data.draw(st.sets(st.sampled_from(read)))
    found = make_ledger(*read).committable(set(acknowledged))
    done = [offset for offset in read if found is not None and offset < found]
    assert set(done) <= acknowledged
    first_open = next((offset for offset in read if offset not in acknowledged), None)
    assert done == [offset for offset in read if first_open is None or offset < first_open]
