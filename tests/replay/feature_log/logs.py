"""Writing and reading small logs in tests."""

from collections.abc import Sequence

from aiokafka import ConsumerRecord

from limelight.replay.feature_log.catalogue import catalogue
from limelight.replay.feature_log.files import LogFiles
from limelight.replay.feature_log.rows import READERS
from limelight.replay.feature_log.writer import LogWriter
from limelight.replay.store import Store
from tests.replay.feature_log.records import MAX_BYTES

DATASET_OF = {"windows": "segments", "scores": "scores", "engagement": "engagement"}
ALWAYS = (-(2**62), 2**62)


def make_writer(store: Store, **limits: float) -> LogWriter:
    options = {"flush_rows": 10**9, "flush_bytes": 10**12, "flush_s": 1e9} | limits
    return LogWriter(store, **options)  # type: ignore[arg-type]


def write(root: str, records: Sequence[ConsumerRecord], *, flush_every: int = 10**9) -> None:
    """Go on with a log where it ends; records that it has are left out."""
    store = Store(root)
    writer = make_writer(store)
    by_key: dict[tuple[str, int], list[ConsumerRecord]] = {}
    for record in records:
        by_key.setdefault((DATASET_OF[record.topic], record.partition), []).append(record)
    starts = writer.begin(catalogue(store), list(by_key))
    for key, found in by_key.items():
        new = [record for record in found if record.offset >= starts[key]]
        for first in range(0, len(new), flush_every):
            some = new[first : first + flush_every]
            rows = [READERS[key[0]](record, MAX_BYTES) for record in some]
            writer.add(key, rows, some[-1].offset + 1)
            writer.flush(key)


def offsets_in(root: str | Store, dataset: str) -> list[tuple[int, int]]:
    """The partition and offset of every row that a reader gets, sorted."""
    files = LogFiles(root if isinstance(root, Store) else Store(root))
    return sorted(
        (row["partition"], row["offset"])
        for table in files.rows(dataset, *ALWAYS, ("partition", "offset"))
        for row in table.to_pylist()
    )
