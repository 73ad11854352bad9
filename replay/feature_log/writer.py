"""Rows into files, each exactly once: the part of the writer that knows no Kafka.

Rows wait in memory until their partition is flushed. A flush writes one file for each hour among
them; what the files are named says which offsets they hold, and nothing else does. So after a crash
writing goes on behind what the files hold, and what had not been written is read again.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from limelight.replay.feature_log.catalogue import Catalogue, Piece, describe_piece
from limelight.replay.feature_log.errors import ForeignLog
from limelight.replay.feature_log.intervals import Offsets
from limelight.replay.feature_log.names import FlushedName, flushed_name
from limelight.replay.feature_log.rows import Row, table_of
from limelight.replay.feature_log.schema import TOPICS, parquet_bytes
from limelight.replay.store import Store

logger = logging.getLogger(__name__)

Key = tuple[str, int]


@dataclass(slots=True)
class _Open:
    """What has been read of a partition and not been written: offsets `first` to before `end`."""

    first: int
    end: int
    rows: list[Row] = field(default_factory=list)
    size_bytes: int = 0
    since_s: float = 0.0


class LogWriter:
    """The open rows of the partitions that this process writes.

    Args:
        topic_prefix: the installation's; a log holds one installation's topics.
        flush_rows, flush_s: a partition is due with so many rows, or so long after its first.
        flush_bytes: with so much in all of them, all are due.
    """

    def __init__(
        self,
        store: Store,
        *,
        topic_prefix: str = "",
        flush_rows: int,
        flush_bytes: int,
        flush_s: float,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._prefix = topic_prefix
        self._flush_rows = flush_rows
        self._flush_bytes = flush_bytes
        self._flush_s = flush_s
        self._now_s = now_s
        self._open: dict[Key, _Open] = {}
        self.rows_written = self.files_written = 0

    def begin(self, found: Catalogue, keys: Sequence[Key]) -> dict[Key, int]:
        """Take partitions over; gives the offset at which each is to be read.

        What a writer before left unfinished of them is removed.

        Raises:
            StoreFailed: it cannot be removed.
        """
        wanted = set(keys)
        for path in found.leftovers:
            name = flushed_name(path)
            if name is not None and (name.dataset, name.partition) in wanted:
                logger.info("removing an unfinished file", extra={"file": path})
                self._store.delete(path)
        for key in keys:
            at = found.next_offset(*key)
            self._open[key] = _Open(at, at)
        return {key: self._open[key].first for key in keys}

    def drop(self) -> None:
        """Forget all partitions and what is open of them: whoever takes them reads it again."""
        self._open.clear()

    def owns(self, key: Key) -> bool:
        return key in self._open

    def expected(self, key: Key) -> int:
        """The offset that is to be read next."""
        return self._open[key].end

    def skip_to(self, key: Key, offset: int) -> None:
        """Go on at an offset because those before are gone from Kafka; the log has a hole there."""
        self.flush(key)
        self._open[key] = _Open(offset, offset)

    def add(self, key: Key, rows: Sequence[Row], end: int) -> None:
        """Take the rows of the offsets up to before `end`; not all of those need to have one."""
        now = self._open[key]
        if rows and not now.rows:
            now.since_s = self._now_s()
        now.rows += rows
        now.size_bytes += sum(row.size_bytes for row in rows)
        # Kafka may give again what was read before; that moves nothing back.
        now.end = max(now.end, end)

    def due(self) -> list[Key]:
        """The partitions that should be flushed now."""
        filled = {key: each for key, each in self._open.items() if each.rows}
        if sum(each.size_bytes for each in filled.values()) >= self._flush_bytes:
            return list(filled)
        oldest_s = self._now_s() - self._flush_s
        return [
            key
            for key, each in filled.items()
            if len(each.rows) >= self._flush_rows or each.since_s <= oldest_s
        ]

    def filled(self) -> list[Key]:
        """The partitions with rows that are not written."""
        return [key for key, each in self._open.items() if each.rows]

    def flush(self, key: Key) -> int | None:
        """Write a partition's open rows; gives the offset behind them, None if there were none.

        Fails without losing anything: the rows stay open, and the next flush writes the files anew.

        Raises:
            StoreFailed: names the file and what went wrong.
        """
        now = self._open[key]
        if not now.rows:
            return None
        dataset, partition = key
        hours: defaultdict[int, list[Row]] = defaultdict(list)
        for row in now.rows:
            hours[row.hour].append(row)
        for part, hour in enumerate(sorted(hours), 1):
            name = FlushedName(dataset, partition, now.first, now.end, part, len(hours))
            self._store.put(name.path(hour), self._file(name, hours[hour]))
            self.files_written += 1
        self.rows_written += len(now.rows)
        if self._open.get(key) is now:  # not taken away meanwhile, and perhaps given back
            self._open[key] = _Open(now.end, now.end)
        return now.end

    def _file(self, name: FlushedName, rows: list[Row]) -> object:
        piece = Piece(name.partition, Offsets.of([(name.first, name.end)]), (0, 1))
        description = {
            "topic": self._prefix + TOPICS[name.dataset],
            "pieces": [describe_piece(piece)],
            "part": name.part,
            "parts": name.parts,
        }
        return parquet_bytes(name.dataset, [table_of(name.dataset, rows)], description)


def check_topic(found: str, expected: str, place: str) -> None:
    """Raise ForeignLog for a file that was written from another installation's topic."""
    if found != expected:
        raise ForeignLog(
            f"{place}: found rows of topic {found}, expected {expected}: a log belongs to one"
            " installation (LIMELIGHT_KAFKA_TOPIC_PREFIX, LIMELIGHT_FEATURELOG_ROOT)"
        )
