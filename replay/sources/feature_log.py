"""A feature log as a source: what the worker made of a platform's input, to be scored again.

The assembler is left out, for it had run. There are no marks: windows and engagement carry none.
"""

import heapq
import logging
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import orjson
from aiokafka import TopicPartition

from limelight.models.datasets.labelled_room import COUNT_NAMES
from limelight.replay.event_time import shown_event_time
from limelight.replay.feature_log.arrow import pa
from limelight.replay.feature_log.catalogue import open_parquet
from limelight.replay.feature_log.errors import EmptyInterval
from limelight.replay.feature_log.files import LogFiles, overlaps
from limelight.replay.feature_log.rows import HOUR_MS
from limelight.replay.feature_log.schema import TOPICS, described
from limelight.replay.scripted_message import ScriptedMessage
from limelight.replay.sources.logged_windows import LoggedWindows
from limelight.replay.sources.source import Source, read_ahead
from limelight.replay.store import Store
from limelight.streams.kafka import connect_admin, make_consumer
from limelight.streams.log_ends import log_ends
from limelight.streams.settings import KafkaSettings, Settings
from limelight.streams.topics import Topics, partition_of

logger = logging.getLogger(__name__)

# So many rows at a time are more than references into Arrow's memory.
_ROWS_AT_ONCE = 256


async def feature_log_source(
    root: str,
    settings: Settings,
    *,
    room_ids: Collection[str] = (),
    from_ms: int | None = None,
    to_ms: int | None = None,
    shift_ms: int = 0,
) -> Source:
    """The log's windows and engagement that end in `[from_ms, to_ms)`.

    Args:
        shift_ms: how much later all event times are sent.

    Raises:
        MalformedLog, BrokerUnavailable.
        EmptyInterval: there is no segment in that time.
        ValueError: the log was written from the topics that are to be sent to.
    """
    files = LogFiles(Store(root))
    hours = files.found.hours("segments")
    if not hours:
        raise EmptyInterval(f"{root}: found no segments, expected a feature log")
    start_ms = hours[0] * HOUR_MS if from_ms is None else from_ms
    end_ms = (hours[-1] + 2) * HOUR_MS if to_ms is None else to_ms
    script = LogScript(
        files,
        window_length=settings.assembler.window_length,
        segment_ms=settings.assembler.segment_ms,
        partitions=settings.kafka.partitions,
        room_ids=frozenset(room_ids),
        start_ms=start_ms,
        end_ms=end_ms,
        shift_ms=shift_ms,
    )
    first_ms, last_ms = script.interval()
    await _refuse_same(files, settings.kafka)
    return Source(
        read_ahead(script.messages()),
        (first_ms if from_ms is None else from_ms) + shift_ms,
        last_ms + shift_ms,
        shift_ms,
    )


async def _refuse_same(files: LogFiles, target: KafkaSettings) -> None:
    """Raise ValueError where windows would go to the topic that they were logged from.

    That is one of its name which is as far as the log in every partition: one topic prefix may well
    stand for two installations, and a log does not say which Kafka it is from.
    """
    file = next(each for each in files.found.files if each.dataset == "segments" and each.pieces)
    with open_parquet(files.store, file.path) as opened:
        written_from = described(opened, files.store.full(file.path)).get("topic")
    name = Topics(target.topic_prefix).name(TOPICS["segments"])
    if written_from != name:
        return
    admin = await connect_admin(target)
    try:
        if name not in await admin.list_topics():
            return
    finally:
        await admin.close()
    written = {
        partition: offsets.end
        for (dataset, partition), offsets in files.found.written.items()
        if dataset == "segments"
    }
    consumer = make_consumer(target, group_id=None)
    await consumer.start()
    try:
        places = [TopicPartition(name, partition) for partition in written]
        ends = await log_ends(target, await consumer.end_offsets(places))
    finally:
        await consumer.stop()
    if all(ends[place] >= written[place.partition] for place in places):
        raise ValueError(
            f"{files.store.root}: found a log of {name}, and a {name} at"
            f" {target.bootstrap_servers} that is as far, expected another prefix to send to"
            " (--prefix) or another Kafka"
        )


class LogScript:
    """What a replay of a log sends, in the order in which windows closed and intervals ended.

    One hour of the log is in memory at a time.
    """

    def __init__(
        self,
        files: LogFiles,
        *,
        window_length: int,
        segment_ms: int,
        partitions: int,
        start_ms: int,
        end_ms: int,
        room_ids: frozenset[str] = frozenset(),
        shift_ms: int = 0,
    ) -> None:
        self._files = files
        self._partitions = partitions
        self._room_ids = room_ids
        self._start_ms = start_ms
        self._end_ms = end_ms
        self._shift_ms = shift_ms
        self._windows = LoggedWindows(window_length, shift_ms)
        # A window that ends in the interval began so long before.
        self._lead_ms = window_length * max([segment_ms, *self._segment_lengths()])

    def interval(self) -> tuple[int, int]:
        """The first and the last segment's end among those that are sent.

        Raises:
            EmptyInterval: there are none.
        """
        first_ms = last_ms = None
        names = ("room_id", "start_ms", "segment_ms")
        for table in self._files.rows(
            "segments", self._start_ms - self._lead_ms, self._end_ms, names
        ):
            ends = self._ends(table, "segments")[self._is_wanted(table)]
            ends = ends[(ends >= self._start_ms) & (ends < self._end_ms)]
            if len(ends):
                first_ms = min(ends[0] if first_ms is None else first_ms, ends.min())
                last_ms = max(ends[0] if last_ms is None else last_ms, ends.max())
        if first_ms is None or last_ms is None:
            raise EmptyInterval(
                f"{self._files.store.root}: found no segments that end from"
                f" {shown_event_time(self._start_ms)} to {shown_event_time(self._end_ms)}"
                + (f" in {len(self._room_ids)} rooms" if self._room_ids else "")
                + ", expected a time and rooms of the log"
            )
        return int(first_ms), int(last_ms)

    def messages(self) -> Iterator[ScriptedMessage]:
        """The windows and the engagement, by the time at which each ends.

        Raises:
            MalformedLog: a file cannot be read.
        """
        yield from heapq.merge(
            self._window_messages(), self._engagement(), key=lambda message: message.at_ms
        )
        if self._windows.incomplete:
            logger.warning(
                "windows lack segments that the log does not have",
                extra={"windows": self._windows.incomplete},
            )

    def _window_messages(self) -> Iterator[ScriptedMessage]:
        for row, end_ms in self._rows("segments", self._start_ms - self._lead_ms):
            window = self._windows.window(row)
            if window is not None and end_ms >= self._start_ms:
                yield self._message(end_ms, "windows", row["room_id"], window)

    def _engagement(self) -> Iterator[ScriptedMessage]:
        for row, end_ms in self._rows("engagement", self._start_ms):
            times = ("room_started_ms", "start_ms", "end_ms")
            fields = {"room_id": row["room_id"], "streamer_id": row["streamer_id"]}
            fields |= {name: row[name] + self._shift_ms for name in times if row[name] is not None}
            fields |= {name: row[name] for name in COUNT_NAMES if row[name] is not None}
            if row["paid"]:
                fields["paid"] = dict(row["paid"])
            yield self._message(end_ms, "engagement", row["room_id"], orjson.dumps(fields))

    def _message(self, end_ms: int, topic: str, room_id: str, value: bytes) -> ScriptedMessage:
        # Without `closed_at_ms` the engine takes the moment at which it reads a window.
        partition = partition_of(room_id, self._partitions)
        return ScriptedMessage(
            end_ms + self._shift_ms, topic, partition, room_id.encode(), value, []
        )

    def _rows(self, dataset: str, start_ms: int) -> Iterator[tuple[dict[str, Any], int]]:
        """Rows and their ends in `[start_ms, end)`, by the end and then in Kafka's order.

        A row lies in the hour of its start, so those of an hour wait until the next one is read.
        """
        waiting: Any = None
        hours = [
            hour
            for hour in self._files.found.hours(dataset)
            if overlaps(hour, start_ms - HOUR_MS, self._end_ms)
        ]
        for number, hour in enumerate(hours):
            tables = [
                self._wanted(self._files.hour(dataset, hour, partition), dataset, start_ms)
                for partition in sorted(self._files.found.plan(dataset, hour))
            ]
            table = pa.concat_tables([*([] if waiting is None else [waiting]), *tables])
            is_last = number == len(hours) - 1
            # What begins in a later hour also ends after that hour's beginning.
            due_ms = None if is_last else hours[number + 1] * HOUR_MS
            ends = self._ends(table, dataset)
            order = np.lexsort((table["offset"].to_numpy(), table["partition"].to_numpy(), ends))
            due = order if due_ms is None else order[ends[order] <= due_ms]
            for first in range(0, len(due), _ROWS_AT_ONCE):
                some = due[first : first + _ROWS_AT_ONCE]
                for row, end_ms in zip(table.take(some).to_pylist(), ends[some], strict=True):
                    yield row, int(end_ms)
            waiting = table.take(order[len(due) :])
            self._windows.forget_before(hour * HOUR_MS)

    def _wanted(self, table: Any, dataset: str, start_ms: int) -> Any:
        ends = self._ends(table, dataset)
        wanted = self._is_wanted(table) & (ends >= start_ms) & (ends < self._end_ms)
        return table if wanted.all() else table.filter(pa.array(wanted))

    def _is_wanted(self, table: Any) -> Any:
        if not self._room_ids:
            return np.ones(len(table), np.bool_)
        return np.array([room in self._room_ids for room in table["room_id"].to_pylist()], np.bool_)

    @staticmethod
    def _ends(table: Any, dataset: str) -> Any:
        if dataset == "engagement":
            return table["end_ms"].to_numpy()
        return table["start_ms"].to_numpy() + table["segment_ms"].to_numpy()

    def _segment_lengths(self) -> Sequence[int]:
        lengths: set[int] = set()
        for table in self._files.rows("segments", self._start_ms, self._end_ms, ("segment_ms",)):
            lengths |= set(np.unique(table["segment_ms"].to_numpy()).tolist())
        return sorted(lengths)
