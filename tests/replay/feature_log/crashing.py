"""Processes that write a log and are killed at one of their steps."""

from limelight.replay.feature_log.catalogue import catalogue
from limelight.replay.feature_log.compaction import compact, prune
from limelight.replay.feature_log.rows import HOUR_MS, engagement_row
from tests.replay.failing_store import FailingStore
from tests.replay.feature_log.logs import make_writer
from tests.replay.feature_log.records import MAX_BYTES, START_MS, engagement_record

KEY = ("engagement", 0)
RECORDS = 9


def write_all(root: str, fail_at: int | None) -> int:
    """Go on with the log to its end, three records a flush, in two or three hours each.

    Gives how many steps that took.
    """
    store = FailingStore(root, fail_at, "kill")
    writer = make_writer(store)
    first = writer.begin(catalogue(store), [KEY])[KEY]
    while first < RECORDS:
        end = min(first + 3, RECORDS)
        records = [engagement_record("room", 120 * (at % 3), at) for at in range(first, end)]
        writer.add(KEY, [engagement_row(record, MAX_BYTES) for record in records], end)
        writer.flush(KEY)
        first = end
    return store.steps


def tidy_all(root: str, fail_at: int | None) -> int:
    """Join the files of every hour, then delete the oldest hour; gives the number of steps."""
    store = FailingStore(root, fail_at, "kill")
    compact(store, settle_hours=-1)
    prune(store, older_than_ms=START_MS + HOUR_MS)
    return store.steps
