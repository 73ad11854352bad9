"""Reading the rows of a log, no row twice, whichever files hold them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from limelight.replay.feature_log.arrow import pa
from limelight.replay.feature_log.catalogue import (
    Catalogue,
    LogFile,
    Piece,
    catalogue,
    open_parquet,
)
from limelight.replay.feature_log.errors import MalformedLog
from limelight.replay.feature_log.intervals import Offsets
from limelight.replay.feature_log.schema import SCHEMA_VERSION, SCHEMAS, current, described
from limelight.replay.store import Store

# A compaction may delete files while they are read; what replaces them is looked for so often.
_LOOKS = 3


class LogFiles:
    """The rows of a store. `found` is what it held when it was last looked at."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.found: Catalogue = catalogue(store)

    def hour(
        self, dataset: str, hour: int, partition: int, columns: Sequence[str] | None = None
    ) -> Any:
        """The rows of an hour and partition by offset, as a table of this version's columns.

        Raises:
            MalformedLog: a file cannot be read.
        """
        for look in range(_LOOKS):
            plan = self.found.plan(dataset, hour).get(partition, [])
            try:
                return self.joined(dataset, plan, columns)
            except FileNotFoundError:
                if look == _LOOKS - 1:
                    raise
                self.found = catalogue(self.store)
        raise AssertionError("unreachable")

    def partitions(self, dataset: str) -> list[int]:
        return sorted(partition for name, partition in self.found.written if name == dataset)

    def read(
        self, file: LogFile, piece: Piece, wanted: Offsets, columns: Sequence[str] | None = None
    ) -> Any:
        """The rows of a piece that have the wanted offsets.

        Raises:
            MalformedLog: the file is truncated, or not what this version reads.
            FileNotFoundError: it has gone.
        """
        place = self.store.full(file.path)
        names = list(columns or SCHEMAS[file.dataset].names)
        needed = list(dict.fromkeys(["offset", *names]))
        try:
            with open_parquet(self.store, file.path) as opened:
                version = described(opened, place)["schema_version"]
                first, count = piece.row_groups
                groups = list(range(first, min(first + count, opened.num_row_groups)))
                old = version != SCHEMA_VERSION
                table = opened.read_row_groups(groups, columns=None if old else needed)
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise MalformedLog(f"{place}: found {error}, expected a whole Parquet file") from error
        table = current(file.dataset, version, table, place, needed)
        if wanted != piece.offsets:
            table = table.filter(pa.array(wanted.mask(table["offset"].to_numpy())))
        return table.select(names)

    def joined(
        self,
        dataset: str,
        plan: Sequence[tuple[LogFile, Piece, Offsets]],
        columns: Sequence[str] | None = None,
    ) -> Any:
        """The rows of a partition's part of a `Catalogue.plan`, by offset."""
        names = list(columns or SCHEMAS[dataset].names)
        needed = list(dict.fromkeys(["offset", *names]))
        tables = [self.read(*each, needed) for each in plan]
        if not tables:
            return SCHEMAS[dataset].empty_table().select(names)
        table = pa.concat_tables(tables)
        order = np.argsort(table["offset"].to_numpy(), kind="stable")
        return (table if (np.diff(order) == 1).all() else table.take(order)).select(names)

    def rows(
        self, dataset: str, start_ms: int, end_ms: int, columns: Sequence[str] | None = None
    ) -> Iterator[Any]:
        """Tables of the rows that start in `[start_ms, end_ms)`, by hour and partition."""
        names = list(columns or SCHEMAS[dataset].names)
        needed = list(dict.fromkeys(["start_ms", *names]))
        for hour in self.found.hours(dataset):
            if not overlaps(hour, start_ms, end_ms):
                continue
            for partition in sorted(self.found.plan(dataset, hour)):
                table = between(self.hour(dataset, hour, partition, needed), start_ms, end_ms)
                if len(table):
                    yield table.select(names)


def overlaps(hour: int, start_ms: int, end_ms: int) -> bool:
    """Whether the hour has a part of `[start_ms, end_ms)`."""
    return hour * 3_600_000 < end_ms and (hour + 1) * 3_600_000 > start_ms


def between(table: Any, start_ms: int, end_ms: int) -> Any:
    """The rows that start in `[start_ms, end_ms)`."""
    starts = table["start_ms"].to_numpy()
    inside = (starts >= start_ms) & (starts < end_ms)
    return table if inside.all() else table.filter(pa.array(inside))
