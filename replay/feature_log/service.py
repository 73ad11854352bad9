"""`limelight log write`: windows, scores and engagement from Kafka into the log, for ever.

Where to go on is asked of the files. Kafka's committed offsets are only for those who watch it.
"""

import asyncio
import logging
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import CommitFailedError, IllegalStateError

from limelight.replay.feature_log.catalogue import Catalogue, catalogue, open_parquet
from limelight.replay.feature_log.errors import ForeignLog
from limelight.replay.feature_log.rows import READERS, Row
from limelight.replay.feature_log.schema import TOPICS, described
from limelight.replay.feature_log.writer import Key, LogWriter, check_topic
from limelight.replay.store import Store, StoreFailed
from limelight.streams import metrics
from limelight.streams.dead_letters import Origin, encode_dead_letter
from limelight.streams.kafka import create_topics, make_consumer, make_producer
from limelight.streams.log_ends import log_ends
from limelight.streams.records import MalformedRecord, header_map
from limelight.streams.settings import Settings
from limelight.streams.topics import Topics

logger = logging.getLogger(__name__)

MAX_RECORDS_A_FETCH = 500
# So long nothing is read after everything was.
MOST_PAUSE_S = 1.0
# A store that refuses is asked again after this long, doubling up to the most.
FIRST_RETRY_S, MOST_RETRY_S = 1.0, 60.0


async def run_log_writer(settings: Settings, root: str, ready_file: Path | None) -> None:
    """Write until SIGTERM or SIGINT, then flush what is open.

    Raises:
        BrokerUnavailable: Kafka does not answer.
        ForeignLog: the log's files continue other topics than these.
        ValueError: a root that is no folder or URL.
    """
    await create_topics(settings.kafka)
    task = asyncio.ensure_future(_Service(settings, Store(root)).run(ready_file))
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        logger.info("log writer stopped")


class _Service(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._topics = Topics(settings.kafka.topic_prefix)
        self._datasets = {self._topics.name(topic): name for name, topic in TOPICS.items()}
        options = settings.featurelog
        self._writer = LogWriter(
            store,
            topic_prefix=settings.kafka.topic_prefix,
            flush_rows=options.flush_rows,
            flush_bytes=options.flush_bytes,
            flush_s=options.flush_s,
        )
        self._consumer: AIOKafkaConsumer = make_consumer(
            settings.kafka, group_id=self._topics.name("limelight-log")
        )
        self._producer = make_producer(settings.kafka)
        # Between a fetch and its rows' arrival in the writer no partition may go, or come back.
        self._busy = asyncio.Lock()
        self._assigned = asyncio.Event()
        self._failure: BaseException | None = None
        self._pause_s = min(MOST_PAUSE_S, options.flush_s / 2)
        self._next_read_s = 0.0
        # Where each partition was read again because offsets were missing.
        self._looked_again: dict[Key, int] = {}

    async def run(self, ready_file: Path | None) -> None:
        self._consumer.subscribe(list(self._datasets), listener=self)
        await self._producer.start()
        try:
            await self._consumer.start()
            await self._read_all(ready_file)
        finally:
            await self._leave()
            await self._consumer.stop()
            await self._producer.stop()

    async def _read_all(self, ready_file: Path | None) -> None:
        retry_s = 0.0
        while True:
            if self._failure is not None:
                raise self._failure
            if ready_file is not None and self._assigned.is_set():
                logger.info("log writer ready")
                ready_file.touch()
                ready_file = None
            try:
                if retry_s:
                    # Kafka takes a consumer that does not poll for dead, even one that waits.
                    await self._consumer.getmany(TopicPartition(next(iter(self._datasets)), -1))
                    await asyncio.sleep(retry_s)
                else:
                    await asyncio.sleep(max(0.0, self._next_read_s - time.monotonic()))
                    await self._read()
                async with self._busy:
                    await self._flush(self._writer.due())
                retry_s = 0.0
            except StoreFailed as error:
                retry_s = min(2 * retry_s or FIRST_RETRY_S, MOST_RETRY_S)
                metrics.log_failures_total.inc()
                logger.error(
                    "the log cannot be written, its rows are kept: %s",
                    error,
                    extra={"retry_s": retry_s},
                )

    async def _read(self) -> None:
        batches = await self._consumer.getmany(timeout_ms=500, max_records=MAX_RECORDS_A_FETCH)
        if sum(map(len, batches.values())) < MAX_RECORDS_A_FETCH:
            # Nothing more is there. A fetch costs more than a record, and nobody waits for a row.
            self._next_read_s = time.monotonic() + self._pause_s
        # Nothing is awaited before the lock: what was fetched is of the partitions held now.
        async with self._busy:
            for partition, records in batches.items():
                await self._take(partition, records)

    async def _take(self, partition: TopicPartition, records: Sequence[ConsumerRecord]) -> None:
        key: Key = (self._datasets[partition.topic], partition.partition)
        if not self._writer.owns(key):
            return
        expected = self._writer.expected(key)
        if records[0].offset > expected:
            # Offsets without a record are usual; those that the broker has deleted are a loss.
            (begin,) = (await self._consumer.beginning_offsets([partition])).values()
            if begin > expected:
                await self._skip(key, begin)
            elif self._looked_again.get(key) != expected:
                # Or the consumer stood elsewhere: only what is not there twice is not there.
                self._looked_again[key] = expected
                self._consumer.seek(partition, expected)
                return
        rows: list[Row] = []
        for record in records:
            if record.offset < expected:
                continue
            try:
                rows.append(READERS[key[0]](record, self._settings.kafka.max_message_bytes))
            except MalformedRecord as error:
                await self._reject(key, record, str(error))
        self._writer.add(key, rows, records[-1].offset + 1)

    async def _skip(self, key: Key, offset: int) -> None:
        logger.error(
            "records were deleted from Kafka before they were logged",
            extra={
                "topic": TOPICS[key[0]],
                "partition": key[1],
                "lost": offset - self._writer.expected(key),
            },
        )
        await asyncio.to_thread(self._writer.skip_to, key, offset)

    async def _reject(self, key: Key, record: ConsumerRecord, reason: str) -> None:
        metrics.log_rejected_total.labels(key[0]).inc()
        if key[0] != "engagement":
            return  # engine and worker have written a dead letter about it
        origin = Origin(TOPICS[key[0]], record.partition, record.offset)
        letter = encode_dead_letter(origin, reason, record.value, header_map(record.headers))
        await self._producer.send_and_wait(
            self._topics.name("dlq"),
            key=str(origin).encode(),
            value=letter,
            partition=record.partition,
        )

    async def _flush(self, keys: Sequence[Key]) -> None:
        """Write what is open of some partitions, then tell Kafka how far they are."""
        before = self._writer.rows_written
        ends = {}
        try:
            for key in keys:
                end = await asyncio.to_thread(self._writer.flush, key)
                if end is not None:
                    ends[TopicPartition(self._topics.name(TOPICS[key[0]]), key[1])] = end
        finally:
            metrics.log_rows_total.inc(self._writer.rows_written - before)
            if ends:
                await self._tell_kafka(ends)

    async def _tell_kafka(self, ends: dict[TopicPartition, int]) -> None:
        try:
            await self._consumer.commit(ends)
        except (CommitFailedError, IllegalStateError):
            logger.warning("partitions moved before their commit", extra={"partitions": len(ends)})

    async def on_partitions_revoked(self, revoked: object) -> None:
        await self._leave()

    async def _leave(self) -> None:
        """Write what is open while there is time, and forget all partitions."""
        async with self._busy:
            try:
                async with asyncio.timeout(self._settings.kafka.session_timeout_s / 2):
                    await self._flush(self._writer.filled())
            except (TimeoutError, StoreFailed) as error:
                logger.warning("left rows to be read again", extra={"reason": str(error)})
            self._writer.drop()

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        # aiokafka logs what a listener raises and goes on; it is raised where the records are read.
        try:
            async with self._busy:
                await self._begin(assigned)
        except Exception as error:
            self._failure = error

    async def _begin(self, assigned: Sequence[TopicPartition]) -> None:
        self._writer.drop()
        found = await asyncio.to_thread(catalogue, self._store)
        await asyncio.to_thread(self._check_topics, found)
        places = {
            (self._datasets[each.topic], each.partition): each
            for each in assigned
            if each.topic in self._datasets
        }
        starts = await asyncio.to_thread(self._writer.begin, found, list(places))
        written = {places[key]: start for key, start in starts.items() if start}
        await self._check_ends(written)
        begins = await self._consumer.beginning_offsets(list(places.values())) if places else {}
        for key, place in places.items():
            if begins[place] > starts[key]:
                if place in written:
                    await self._skip(key, begins[place])
                else:
                    self._writer.skip_to(key, begins[place])
            self._consumer.seek(place, self._writer.expected(key))
        self._assigned.set()

    async def _check_ends(self, written: dict[TopicPartition, int]) -> None:
        """Raise ForeignLog where the log is further than its topic."""
        if not written:
            return
        ends = await self._consumer.end_offsets(list(written))
        short: dict[Any, int] = {each: ends[each] for each in written if ends[each] < written[each]}
        # Only a broker that says too little is asked again; see `log_ends`.
        for place, end in (await log_ends(self._settings.kafka, short)).items() if short else ():
            if end < written[place]:
                raise ForeignLog(
                    f"{self._store.root}: found offsets up to {written[place] - 1} of {place.topic}"
                    f" partition {place.partition}, expected at most {end - 1}, its last: the topic"
                    " is another than the one that this log was written from"
                )

    def _check_topics(self, found: Catalogue) -> None:
        for dataset, topic in TOPICS.items():
            file = next((each for each in found.files if each.dataset == dataset), None)
            if file is not None:
                with open_parquet(self._store, file.path) as opened:
                    about = described(opened, self._store.full(file.path))
                place = self._store.full(file.path)
                check_topic(str(about.get("topic")), self._topics.name(topic), place)
