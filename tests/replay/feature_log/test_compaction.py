"""Joined and forgotten hours."""

from pathlib import Path

import pytest

from limelight.replay.feature_log.catalogue import catalogue
from limelight.replay.feature_log.compaction import compact, prune
from limelight.replay.feature_log.files import LogFiles
from limelight.replay.feature_log.rows import HOUR_MS
from limelight.replay.store import Store
from tests.replay.feature_log.logs import ALWAYS, make_writer, offsets_in, write
from tests.replay.feature_log.records import START_MS, engagement_record, window_record

KEY = ("engagement", 0)


def spread(first: int, end: int, partition: int = 0) -> list:
    """Records of three hours, taking turns."""
    return [
        engagement_record(f"room {partition}", 120 * (at % 3) + at, at, partition=partition)
        for at in range(first, end)
    ]


def rows_in(root: Path) -> list[dict[str, object]]:
    tables = LogFiles(Store(root)).rows("engagement", *ALWAYS)
    return [row for table in tables for row in table.to_pylist()]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(str(tmp_path), [*spread(0, 30), *spread(0, 20, 5)], flush_every=4)
    return tmp_path


def test_closed_hours_become_one_file_with_the_same_rows(root: Path) -> None:
    before, store = rows_in(root), Store(root)
    seen: list[tuple[int, int]] = []
    tidied = compact(store, settle_hours=0, on_progress=lambda *each: seen.append(each))
    assert (tidied.hours, tidied.files_after) == (2, 2)
    assert seen == [(0, 2), (1, 2), (2, 2)]
    assert rows_in(root) == before
    found = catalogue(store)
    by_hour = {
        hour: [f.kind for f in found.files if f.hour == hour] for hour in found.hours(KEY[0])
    }
    first, second, newest = by_hour.values()
    assert first == second == ["compacted"]
    assert len(newest) > 1
    assert (found.next_offset(*KEY), found.next_offset("engagement", 5)) == (30, 20)
    assert compact(store, settle_hours=0).hours == 0


def test_what_comes_for_an_hour_that_was_joined_is_joined_again(root: Path) -> None:
    store = Store(root)
    compact(store, settle_hours=-1)
    write(str(root), spread(30, 40), flush_every=4)
    expected = rows_in(root)
    assert len(expected) == 40 + 20
    compact(store, settle_hours=-1)
    assert rows_in(root) == expected
    assert len(catalogue(store).files) == 3


def test_the_newest_hours_are_left_alone(root: Path) -> None:
    assert compact(Store(root), settle_hours=2).hours == 0
    assert compact(Store(root), settle_hours=1).hours == 1


@pytest.mark.parametrize("compacted", [False, True])
def test_old_hours_go_and_writing_goes_on_behind_them(root: Path, compacted: bool) -> None:
    store = Store(root)
    if compacted:
        compact(store, settle_hours=-1)
    assert prune(store, older_than_ms=START_MS + HOUR_MS - 1).hours == 0
    assert prune(store, older_than_ms=START_MS + HOUR_MS).hours == 1
    assert [offset % 3 for _, offset in offsets_in(store, "engagement")].count(0) == 0
    assert prune(store, older_than_ms=START_MS + 9 * HOUR_MS).hours == 2
    assert offsets_in(store, "engagement") == []
    assert [file.kind for file in catalogue(store).files] == ["pruned"]
    assert not any((root / "engagement").glob("date=*"))
    starts = make_writer(store).begin(catalogue(store), [KEY, ("engagement", 5)])
    assert starts == {KEY: 30, ("engagement", 5): 20}
    assert prune(store, older_than_ms=START_MS + 9 * HOUR_MS).hours == 0


def test_half_of_a_range_may_go_and_the_rest_stays_written(tmp_path: Path) -> None:
    # One flush over three hours, the last of the log: without its first part it is whole still.
    write(str(tmp_path), spread(0, 9))
    prune(Store(tmp_path), older_than_ms=START_MS + HOUR_MS)
    assert offsets_in(str(tmp_path), "engagement") == [(0, at) for at in range(9) if at % 3]
    assert catalogue(Store(tmp_path)).leftovers == ()


def test_a_log_on_an_object_store_is_tidied_alike(tmp_path: Path) -> None:
    root = f"memory://{tmp_path}"
    write(root, [window_record("room", at, at) for at in range(240)], flush_every=50)
    store = Store(root)
    compact(store, settle_hours=-1)
    assert offsets_in(store, "segments") == [(0, at) for at in range(240)]
    prune(store, older_than_ms=START_MS + HOUR_MS)
    assert offsets_in(store, "segments") == [(0, at) for at in range(120, 240)]
    assert catalogue(store).next_offset("segments", 0) == 240
