"""Which files a log has, which offsets they hold, and where writing goes on: all from the files.

A range of offsets is written once all of its parts are there. The parts of one range are written
one after the other, and a later range only after all of them, so a range is only in doubt while it
is the last of its partition. What is in doubt counts as not written: readers pass it over, and the
writer that goes on there removes it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from limelight.replay.feature_log.arrow import pa, pq
from limelight.replay.feature_log.errors import MalformedLog
from limelight.replay.feature_log.intervals import Offsets
from limelight.replay.feature_log.names import (
    COMPACTED,
    PRUNED,
    FlushedName,
    flushed_name,
    hour_of,
)
from limelight.replay.feature_log.schema import SCHEMAS, described
from limelight.replay.store import UNFINISHED, Store

_FOOTERS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Piece:
    """A partition's rows in a file: all those of the file's hour that `offsets` gave.

    `row_groups` are the first and the number of them.
    """

    partition: int
    offsets: Offsets
    row_groups: tuple[int, int]


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file, its hour since 1970 (None for one that has only offsets), and what it holds."""

    path: str
    dataset: str
    hour: int | None
    size_bytes: int
    kind: str
    pieces: tuple[Piece, ...]
    name: FlushedName | None = None


@dataclass(frozen=True)
class Catalogue:
    """The files of a log, `files` those that count, `leftovers` those of an interrupted write."""

    files: tuple[LogFile, ...]
    leftovers: tuple[str, ...]

    @cached_property
    def written(self) -> dict[tuple[str, int], Offsets]:
        """All offsets that have been written, by dataset and partition."""
        found: defaultdict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
        for file in self.files:
            for piece in file.pieces:
                found[file.dataset, piece.partition] += piece.offsets.intervals
        return {key: Offsets.of(intervals) for key, intervals in found.items()}

    def next_offset(self, dataset: str, partition: int) -> int:
        """Where writing goes on; 0 where nothing has been written."""
        return self.written.get((dataset, partition), Offsets()).end

    def hours(self, dataset: str) -> list[int]:
        return sorted(
            {file.hour for file in self.files if file.dataset == dataset and file.hour is not None}
        )

    def plan(self, dataset: str, hour: int) -> dict[int, list[tuple[LogFile, Piece, Offsets]]]:
        """What to read for an hour, by partition: each file with the offsets to take from it.

        No offset is taken twice. What a compacted file holds is taken from it.
        """
        files = [file for file in self.files if (file.dataset, file.hour) == (dataset, hour)]
        files.sort(key=lambda file: (file.kind != COMPACTED, file.path))
        taken: defaultdict[int, Offsets] = defaultdict(Offsets)
        plans: defaultdict[int, list[tuple[LogFile, Piece, Offsets]]] = defaultdict(list)
        for file in files:
            for piece in file.pieces:
                if new := piece.offsets.minus(taken[piece.partition]):
                    plans[piece.partition].append((file, piece, new))
                    taken[piece.partition] = taken[piece.partition].union(piece.offsets)
        return dict(plans)


@contextmanager
def open_parquet(store: Store, path: str) -> Iterator[Any]:
    """A Parquet file, open for the length of a block.

    Raises:
        MalformedLog: it is truncated, or no Parquet at all.
        OSError: it cannot be read.
    """
    with store.open(path) as source:
        try:
            file = pq.ParquetFile(source)
        except (pa.ArrowException, OSError) as error:
            raise MalformedLog(
                f"{store.full(path)}: found {error}, expected a whole Parquet file"
            ) from error
        yield file


def catalogue(store: Store, datasets: Iterable[str] = tuple(SCHEMAS)) -> Catalogue:
    """What there is at this moment.

    Raises:
        MalformedLog: a compacted file cannot be read. Those that a flush wrote are known by name.
        OSError: the folder cannot be listed.
    """
    flushed: list[LogFile] = []
    others: list[tuple[str, str, int]] = []
    leftovers: list[str] = []
    for dataset in datasets:
        for path, size_bytes in store.files(dataset).items():
            name = flushed_name(path)
            if path.endswith(UNFINISHED):
                leftovers.append(path)
            elif name is not None and hour_of(path) is not None:
                piece = Piece(name.partition, Offsets.of([(name.first, name.end)]), (0, 1))
                flushed.append(
                    LogFile(path, dataset, hour_of(path), size_bytes, "flushed", (piece,), name)
                )
            elif path.rpartition("/")[2].startswith((f"{COMPACTED}-", f"{PRUNED}-")):
                others.append((path, dataset, size_bytes))
    with ThreadPoolExecutor(_FOOTERS_AT_ONCE, "footers") as pool:
        footers = list(pool.map(lambda each: _from_footer(store, *each), others))
    files, half = _complete(flushed, footers)
    return Catalogue((*footers, *files), (*leftovers, *(file.path for file in half)))


def _from_footer(store: Store, path: str, dataset: str, size_bytes: int) -> LogFile:
    with open_parquet(store, path) as file:
        about = described(file, store.full(path))
    kind = COMPACTED if path.rpartition("/")[2].startswith(COMPACTED) else PRUNED
    return LogFile(
        path, dataset, hour_of(path), size_bytes, kind, pieces_of(about, store.full(path))
    )


def pieces_of(about: dict[str, Any], place: str) -> tuple[Piece, ...]:
    """The pieces that a file's description names.

    Raises:
        MalformedLog: it does not.
    """
    try:
        return tuple(
            Piece(
                int(each["partition"]),
                Offsets.of((int(first), int(end)) for first, end in each["offsets"]),
                (int(each["row_groups"][0]), int(each["row_groups"][1])),
            )
            for each in about["pieces"]
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise MalformedLog(
            f"{place}: found pieces {about.get('pieces')!r:.80}, expected partition, offsets and"
            " row_groups of each"
        ) from error


def describe_piece(piece: Piece) -> dict[str, Any]:
    return {
        "partition": piece.partition,
        "offsets": [list(interval) for interval in piece.offsets],
        "row_groups": list(piece.row_groups),
    }


def _complete(flushed: list[LogFile], others: list[LogFile]) -> tuple[list[LogFile], list[LogFile]]:
    """The flushed files of ranges that were written to their end, and those of the others."""
    sealed: defaultdict[tuple[str, int], Offsets] = defaultdict(Offsets)
    for file in others:
        for piece in file.pieces:
            key = file.dataset, piece.partition
            sealed[key] = sealed[key].union(piece.offsets)
    ranges: defaultdict[tuple[str, int], defaultdict[tuple[int, int, int], list[LogFile]]]
    ranges = defaultdict(lambda: defaultdict(list))
    for file in flushed:
        name = file.name
        assert name is not None
        ranges[file.dataset, name.partition][name.first, name.end, name.parts].append(file)
    whole: list[LogFile] = []
    half: list[LogFile] = []
    for key, found in ranges.items():
        latest = max([*(first for first, _, _ in found), sealed[key].end - 1])
        for (first, end, parts), files in found.items():
            has_all = len({file.name.part for file in files if file.name}) == parts
            is_sure = has_all or end <= latest or sealed[key].covers(first, end)
            (whole if is_sure else half).extend(files)
    return whole, half
