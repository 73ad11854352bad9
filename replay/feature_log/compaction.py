"""Joining the many small files of an hour, and forgetting old hours; a crash anywhere is harmless.

A compacted file names the offsets of those it replaces, and readers take these from it as soon as
it is there. Only then the others are deleted. What is left of them after a crash is passed over by
readers and deleted by the next compaction.

Before old hours are deleted, a file without rows keeps their offsets, for writing must go on behind
them.
"""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from limelight.replay.feature_log.catalogue import (
    LogFile,
    Piece,
    catalogue,
    describe_piece,
    open_parquet,
)
from limelight.replay.feature_log.errors import MalformedLog
from limelight.replay.feature_log.files import LogFiles
from limelight.replay.feature_log.intervals import Offsets
from limelight.replay.feature_log.names import COMPACTED, PRUNED, hour_folder
from limelight.replay.feature_log.rows import HOUR_MS
from limelight.replay.feature_log.schema import SCHEMAS, described, parquet_bytes
from limelight.replay.store import Store

logger = logging.getLogger(__name__)

DAY_MS = 24 * HOUR_MS

# Called with what is done and what there is to do.
Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Tidied:
    """What a compaction or pruning did."""

    hours: int = 0
    files_before: int = 0
    files_after: int = 0


def compact(
    store: Store, *, settle_hours: int = 1, on_progress: Progress = lambda done, total: None
) -> Tidied:
    """Join the files of each hour that is closed: the newest and `settle_hours` before it are not.

    One hour of one dataset is in memory at a time.

    Raises:
        MalformedLog: a file cannot be read; its hour stays as it is.
        StoreFailed: a file cannot be written; nothing is lost.
    """
    files = LogFiles(store)
    tidied = Tidied()
    work: list[tuple[str, int]] = []
    for dataset in SCHEMAS:
        hours = files.found.hours(dataset)
        closed = [hour for hour in hours if hour < hours[-1] - settle_hours]
        work += [(dataset, hour) for hour in closed if len(_of(files, dataset, hour)) > 1]
    for done, (dataset, hour) in enumerate(work):
        on_progress(done, len(work))
        try:
            _compact_hour(files, dataset, hour, tidied)
        except FileNotFoundError:
            # Another compaction was here, or a pruning; what it left is for the next one.
            logger.info("an hour changed meanwhile", extra={"dataset": dataset, "hour": hour})
    on_progress(len(work), len(work))
    return tidied


def _of(files: LogFiles, dataset: str, hour: int) -> list[LogFile]:
    return [file for file in files.found.files if (file.dataset, file.hour) == (dataset, hour)]


def _compact_hour(files: LogFiles, dataset: str, hour: int, tidied: Tidied) -> None:
    sources = _of(files, dataset, hour)
    plan = files.found.plan(dataset, hour)
    used = {file.path for each in plan.values() for file, _, _ in each}
    keep = used
    if len(used) > 1:
        tables: list[Any] = []
        pieces: list[Piece] = []
        for partition, each in sorted(plan.items()):
            offsets = Offsets.of(
                interval for _, piece, _ in each for interval in piece.offsets.intervals
            )
            pieces.append(Piece(partition, offsets, (len(tables), 1)))
            tables.append(files.joined(dataset, each))
        path = f"{dataset}/{hour_folder(hour)}/{_name(COMPACTED, sources)}"
        description = _description(files.store, sources, pieces)
        files.store.put(path, parquet_bytes(dataset, tables, description))
        keep = {path}
    for file in sources:
        if file.path not in keep:
            files.store.delete(file.path)
    tidied.hours += 1
    tidied.files_before += len(sources)
    tidied.files_after += len(keep)


def prune(
    store: Store,
    *,
    older_than_ms: int,
    on_progress: Progress = lambda done, total: None,
) -> Tidied:
    """Delete the hours that ended by then, by event time.

    Raises:
        MalformedLog: no file of a dataset can be read.
        StoreFailed: a file cannot be written or deleted.
    """
    found = catalogue(store)
    tidied = Tidied()
    old: defaultdict[str, list[LogFile]] = defaultdict(list)
    for file in found.files:
        if file.hour is not None and (file.hour + 1) * HOUR_MS <= older_than_ms:
            old[file.dataset].append(file)
    total, done = sum(map(len, old.values())), 0
    for dataset, files in old.items():
        markers = [file for file in found.files if file.dataset == dataset and file.kind == PRUNED]
        offsets: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        for file in (*files, *markers):
            for piece in file.pieces:
                offsets[piece.partition] += piece.offsets.intervals
        pieces = [
            Piece(partition, Offsets.of(each), (0, 0))
            for partition, each in sorted(offsets.items())
        ]
        path = f"{dataset}/{_name(PRUNED, [*files, *markers])}"
        description = _description(store, [*files, *markers], pieces)
        store.put(path, parquet_bytes(dataset, [], description))
        for file in files:
            on_progress(done, total)
            store.delete(file.path)
            done += 1
        for file in markers:
            if file.path != path:
                store.delete(file.path)
        hours = {file.hour for file in files if file.hour is not None}
        for hour in hours:
            store.remove_empty_folders(f"{dataset}/{hour_folder(hour)}")
        tidied.hours += len(hours)
        tidied.files_before += len(files) + len(markers)
        tidied.files_after += 1
    on_progress(total, total)
    return tidied


def _name(kind: str, sources: Sequence[LogFile]) -> str:
    """A name that depends on what is replaced alone, so that doing it again does nothing else."""
    paths = "\n".join(sorted(file.path for file in sources))
    return f"{kind}-{hashlib.sha256(paths.encode()).hexdigest()[:16]}.parquet"


def _description(
    store: Store, sources: Sequence[LogFile], pieces: Sequence[Piece]
) -> dict[str, Any]:
    """What a file in place of others says of itself: their topic, and the pieces."""
    problem: MalformedLog | None = None
    for source in sources:
        try:
            with open_parquet(store, source.path) as opened:
                topic = described(opened, store.full(source.path)).get("topic")
        except MalformedLog as error:
            problem = error
        else:
            return {"topic": topic, "pieces": [describe_piece(each) for each in pieces]}
    raise problem or ValueError("sources: found none, expected at least one")
