"""Every record becomes one row, whatever fails and whenever the writer ends."""

from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limelight.replay.feature_log.catalogue import catalogue, open_parquet
from limelight.replay.feature_log.compaction import compact
from limelight.replay.feature_log.errors import ForeignLog
from limelight.replay.feature_log.rows import engagement_row
from limelight.replay.feature_log.schema import described
from limelight.replay.feature_log.writer import check_topic
from limelight.replay.store import Store, StoreFailed
from tests.replay.failing_store import FailingStore, PowerCut
from tests.replay.feature_log.logs import make_writer, offsets_in, write
from tests.replay.feature_log.records import MAX_BYTES, engagement_record

KEY = ("engagement", 0)
AN_HOUR = 120  # segments


def rows_of(first: int, end: int, hours: int = 3) -> list:
    return [
        engagement_row(engagement_record("room", AN_HOUR * (at % hours), at), MAX_BYTES)
        for at in range(first, end)
    ]


def test_a_flush_makes_a_file_for_each_hour_that_says_what_it_holds(tmp_path: Path) -> None:
    store = Store(tmp_path)
    writer = make_writer(store)
    writer.begin(catalogue(store), [KEY])
    writer.add(KEY, rows_of(0, 4, hours=2), 7)  # what gave no row counts as well
    assert writer.flush(KEY) == 7
    assert writer.flush(KEY) is None
    found = catalogue(store)
    assert [file.path.rpartition("/")[2] for file in found.files] == [
        f"engagement-p00000-o000000000000-000000000006-{part}of2.parquet" for part in (1, 2)
    ]
    assert found.next_offset(*KEY) == 7
    with open_parquet(store, found.files[0].path) as file:
        assert file.metadata.num_rows == 2
        about = described(file, "")
    assert about["pieces"] == [{"partition": 0, "offsets": [[0, 7]], "row_groups": [0, 1]}]
    assert (about["topic"], about["schema_version"]) == ("engagement", 1)


def test_a_partition_is_due_by_rows_bytes_or_age(tmp_path: Path) -> None:
    now_s = [100.0]
    other = ("engagement", 1)

    def writer_with(**limits: float):
        writer = make_writer(Store(tmp_path), now_s=lambda: now_s[0], **limits)
        writer.begin(catalogue(Store(tmp_path)), [KEY, other])
        return writer

    by_rows = writer_with(flush_rows=3)
    by_rows.add(KEY, rows_of(0, 2), 2)
    assert by_rows.due() == []
    by_rows.add(KEY, rows_of(2, 3), 3)
    assert by_rows.due() == [KEY]
    by_bytes = writer_with(flush_bytes=1_500)
    by_bytes.add(KEY, rows_of(0, 2), 2)
    assert by_bytes.due() == []
    by_bytes.add(other, rows_of(0, 2), 2)
    assert by_bytes.due() == [KEY, other]
    by_age = writer_with(flush_s=10)
    by_age.add(KEY, [], 4)
    now_s[0] += 100  # without a row nothing grows old
    by_age.add(KEY, rows_of(4, 5), 5)
    now_s[0] += 9
    assert by_age.due() == []
    now_s[0] += 1
    assert by_age.due() == [KEY]


def test_offsets_that_gave_no_row_are_read_again_until_one_does(tmp_path: Path) -> None:
    store = Store(tmp_path)
    writer = make_writer(store)
    writer.begin(catalogue(store), [KEY])
    writer.add(KEY, [], 5)
    assert writer.flush(KEY) is None
    assert make_writer(store).begin(catalogue(store), [KEY]) == {KEY: 0}
    writer.add(KEY, rows_of(5, 6), 6)
    writer.flush(KEY)
    assert make_writer(store).begin(catalogue(store), [KEY]) == {KEY: 6}


def test_what_kafka_gives_again_moves_nothing_back(tmp_path: Path) -> None:
    """A consumer that stands before what the files hold reads up to there once more."""
    store = Store(tmp_path)
    writer = make_writer(store)
    writer.begin(catalogue(store), [KEY])
    writer.add(KEY, rows_of(0, 6), 6)
    writer.flush(KEY)
    writer.add(KEY, [], 3)
    assert writer.expected(KEY) == 6


def test_records_that_kafka_has_deleted_are_a_gap(tmp_path: Path) -> None:
    store = Store(tmp_path)
    writer = make_writer(store)
    writer.begin(catalogue(store), [KEY])
    writer.add(KEY, rows_of(0, 3), 3)
    writer.skip_to(KEY, 10)
    writer.add(KEY, rows_of(10, 12), 12)
    writer.flush(KEY)
    assert list(catalogue(store).written[KEY].holes()) == [(3, 10)]
    assert [offset for _, offset in offsets_in(store, "engagement")] == [0, 1, 2, 10, 11]


def test_a_full_disk_loses_nothing_and_the_next_flush_goes_on(tmp_path: Path) -> None:
    for fail_at in range(4):
        store = FailingStore(str(tmp_path / str(fail_at)), fail_at)
        writer = make_writer(store)
        writer.begin(catalogue(store), [KEY])
        writer.add(KEY, rows_of(0, 6, hours=2), 6)
        with pytest.raises(StoreFailed, match="No space left"):
            writer.flush(KEY)
        assert offsets_in(store, "engagement") == []
        writer.flush(KEY)
        assert offsets_in(store, "engagement") == [(0, offset) for offset in range(6)]


def test_two_writers_of_one_partition_double_nothing(tmp_path: Path) -> None:
    # One was taken for dead and writes on what it had; the other began where that had begun.
    store = Store(tmp_path)
    slow, quick = make_writer(store), make_writer(store)
    slow.begin(catalogue(store), [KEY])
    slow.add(KEY, rows_of(0, 8), 8)
    quick.begin(catalogue(store), [KEY])
    quick.add(KEY, rows_of(0, 5), 5)
    quick.flush(KEY)
    slow.flush(KEY)
    quick.add(KEY, rows_of(5, 12), 12)
    quick.flush(KEY)
    expected = [(0, offset) for offset in range(12)]
    assert offsets_in(store, "engagement") == expected
    compact(store, settle_hours=-1)
    assert offsets_in(store, "engagement") == expected
    assert make_writer(store).begin(catalogue(store), [KEY]) == {KEY: 12}


def test_a_log_of_another_installation_is_refused() -> None:
    check_topic("a.windows", "a.windows", "file")
    with pytest.raises(ForeignLog, match=r"file: found rows of topic a\.windows, expected windows"):
        check_topic("a.windows", "windows", "file")


steps = st.one_of(
    st.tuples(st.just("read"), st.integers(1, 6)),
    st.tuples(st.just("flush"), st.one_of(st.none(), st.integers(0, 12))),
    st.tuples(st.just("cut"), st.integers(0, 12)),
    st.tuples(st.just("compact"), st.integers(0, 12)),
    st.tuples(st.just("restart"), st.none()),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, max_size=14), st.booleans())
def test_any_failures_and_crashes_lose_no_row_and_double_none(run: list, is_local: bool) -> None:
    with TemporaryDirectory() as folder:
        store = FailingStore(folder if is_local else f"memory://{uuid4()}")
        writer, at = make_writer(store), 0
        writer.begin(catalogue(store), [KEY])
        for what, detail in run:
            store.steps, store.fail_at = 0, None
            if what == "read":
                writer.add(KEY, rows_of(at, at + detail), at + detail)
                at += detail
            elif what == "restart":
                writer = make_writer(store)
                at = writer.begin(catalogue(store), [KEY])[KEY]
            else:
                store.fail_at, store.how = detail, "full" if what == "flush" else "cut"
                try:
                    if what == "compact":
                        compact(store, settle_hours=-1)
                    else:
                        writer.flush(KEY)
                except StoreFailed:
                    pass
                except PowerCut:
                    store.fail_at = None
                    writer = make_writer(store)
                    at = writer.begin(catalogue(store), [KEY])[KEY]
            written = catalogue(store).next_offset(*KEY)
            assert offsets_in(store, "engagement") == [(0, each) for each in range(written)]
        store.fail_at = None
        writer.flush(KEY)
        assert offsets_in(store, "engagement") == [(0, each) for each in range(at)]


def test_partitions_and_datasets_go_on_by_themselves(tmp_path: Path) -> None:
    records = [
        engagement_record(f"room {partition}", at, at, partition=partition)
        for partition in (0, 3)
        for at in range(4 + partition)
    ]
    write(str(tmp_path), records[:6], flush_every=3)
    write(str(tmp_path), records, flush_every=2)
    found: defaultdict[int, list[int]] = defaultdict(list)
    for partition, offset in offsets_in(str(tmp_path), "engagement"):
        found[partition].append(offset)
    assert found == {0: list(range(4)), 3: list(range(7))}
