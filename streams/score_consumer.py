"""`windows` in, `scores` out: a plain batch consumer around the scorer.

It is no Faust agent because it batches across rooms, and a rebalance of the workers must not stop
the device.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Mapping, Sequence
from functools import partial

from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener

from limelight.engine.score import Rejected, Score
from limelight.engine.scorer import Scorer
from limelight.engine.window import Window
from limelight.streams import metrics
from limelight.streams.dead_letters import Origin, encode_dead_letter
from limelight.streams.frame_consumer import commit_batches
from limelight.streams.kafka import make_consumer, make_producer
from limelight.streams.records import TIME_LIMIT_MS, MalformedRecord, header_map
from limelight.streams.score_pipeline import Answers, Place, ScorePipeline
from limelight.streams.score_records import encode_score
from limelight.streams.settings import Settings
from limelight.streams.topics import Topics
from limelight.streams.window_records import decode_window

logger = logging.getLogger(__name__)

MAX_WINDOWS_A_FETCH = 512
# Above this nothing is fetched: a window of 1,024 features and its texts takes about 100 kB.
MAX_WAITING = 2_048
# Kafka takes a consumer that does not poll for dead, even a busy one.
_POLL_EVERY_S = 0.05
# While windows wait, others need not join them at once, and a few large reads cost less than many
# small ones.
_READ_EVERY_S = 0.02


class ScoreConsumer:
    """The consumer of `windows` and the pipeline that it feeds; `run` it once."""

    def __init__(self, settings: Settings, scorer: Scorer) -> None:
        self._settings = settings
        self._topics = Topics(settings.kafka.topic_prefix)
        self._consumer = make_consumer(
            settings.kafka, group_id=self._topics.name("limelight-scores")
        )
        self._producer = make_producer(settings.kafka)
        self._reading = asyncio.Lock()
        metrics.windows_waiting.set_function(lambda: len(self.pipeline))
        engine = settings.engine
        self._scorer = _Counting(scorer)
        self.pipeline = ScorePipeline(
            self._scorer,
            partial(_send_all, self._producer, self._topics, engine.deadline_ms),
            partial(commit_batches, self._consumer),
            max_rooms=min(engine.max_rooms_per_batch, engine.cache_slots),
            max_wait_s=engine.max_wait_ms / 1000,
            deadline_s=engine.deadline_ms / 1000,
        )

    async def run(self, started: asyncio.Event) -> None:
        """Score for ever; a window's offset is committed once its score is delivered."""
        listener = _FinishFirst(
            self.pipeline, self._reading, self._settings.kafka.session_timeout_s / 2
        )
        self._consumer.subscribe([self._topics.name("windows")], listener=listener)
        await self._producer.start()
        try:
            await self._consumer.start()
            started.set()
            async with asyncio.TaskGroup() as group:
                group.create_task(self.pipeline.run())
                group.create_task(self._read_all())
        except BaseExceptionGroup as errors:
            raise _first(errors) from errors
        finally:
            # How a group has shared the rooms.
            logger.info("scoring ended", extra={"windows_scored": self._scorer.scored})
            await self._consumer.stop()
            await self._producer.stop()

    async def _read_all(self) -> None:
        nobodys = TopicPartition(self._topics.name("windows"), -1)
        while True:
            if len(self.pipeline) > MAX_WAITING:
                await self._consumer.getmany(nobodys)
                await asyncio.sleep(_POLL_EVERY_S)
                continue
            if len(self.pipeline):
                await asyncio.sleep(_READ_EVERY_S)
            batches = await self._consumer.getmany(timeout_ms=100, max_records=MAX_WINDOWS_A_FETCH)
            # Nothing is awaited before the lock: a rebalance must find these windows in the queue.
            async with self._reading:
                records = [record for records in batches.values() for record in records]
                if records:
                    self.pipeline.add(await self._read(records))

    async def _read(self, records: Sequence[ConsumerRecord]) -> list[tuple[Place, Window | None]]:
        read = await asyncio.to_thread(self._decode, records)
        refused = [(place, found) for place, found in read if isinstance(found, MalformedRecord)]
        for place, error in refused:
            await _reject(self._producer, self._topics, place.record, str(error))
        if refused:
            await self._producer.flush()
        return [(place, found if isinstance(found, Window) else None) for place, found in read]

    def _decode(
        self, records: Sequence[ConsumerRecord]
    ) -> list[tuple[Place, Window | MalformedRecord]]:
        now_ms = int(time.time() * 1000)
        max_bytes = self._settings.kafka.max_message_bytes
        read: list[tuple[Place, Window | MalformedRecord]] = []
        for record in records:
            place = Place(
                TopicPartition(record.topic, record.partition),
                record.offset,
                closed_at(header_map(record.headers), now_ms),
                record,
            )
            try:
                read.append((place, decode_window(record.value or b"", max_bytes=max_bytes)))
            except MalformedRecord as error:
                read.append((place, error))
        return read


class _Counting:
    """The scorer, with its counts passed on to the metrics; `scored` windows in all."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self.scored = 0

    def score(self, windows: Sequence[Window]) -> list[Score | Rejected]:
        before = self._counts()
        results = self._scorer.score(windows)
        repeated, evicted, prefills = (
            now - then for now, then in zip(self._counts(), before, strict=True)
        )
        metrics.repeated_total.labels("windows").inc(repeated)
        metrics.evicted_total.inc(evicted)
        metrics.prefills_total.inc(prefills)
        self.scored += len(results)
        return results

    def catch_up(self) -> bool:
        return self._scorer.catch_up()

    def cost(self, window: Window) -> int:
        return self._scorer.cost(window)

    def _counts(self) -> tuple[int, int, int]:
        return self._scorer.repeated, self._scorer.evicted, self._scorer.prefills


class _FinishFirst(ConsumerRebalanceListener):  # type: ignore[misc]
    """Before partitions go, what is under way is finished and the rest forgotten."""

    def __init__(self, pipeline: ScorePipeline, reading: asyncio.Lock, timeout_s: float) -> None:
        self._pipeline = pipeline
        self._reading = reading
        self._timeout_s = timeout_s

    async def on_partitions_revoked(self, revoked: object) -> None:
        async with self._reading:
            await self._pipeline.forget_partitions(self._timeout_s)

    async def on_partitions_assigned(self, assigned: object) -> None:
        pass


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """What came first; the others are what it brought about."""
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


async def _send_all(
    producer: AIOKafkaProducer,
    topics: Topics,
    deadline_ms: int,
    answers: Answers,
) -> Awaitable[object]:
    metrics.engine_batch_windows.observe(len(answers))
    sent = []
    for place, result in answers:
        if isinstance(result, Rejected):
            sent.append(await _reject(producer, topics, place.record, result.reason))
        else:
            sent.append(await _send(producer, topics, place, result, deadline_ms))
    return asyncio.gather(*sent)


def closed_at(headers: Mapping[str, str], now_ms: int) -> int:
    """When the window closed, by its header; `now_ms` where that is no time."""
    text = headers.get("closed_at_ms", "")
    is_number = text.isascii() and text.isdigit() and len(text) <= 13
    return int(text) if is_number and int(text) < TIME_LIMIT_MS else now_ms


async def _send(
    producer: AIOKafkaProducer, topics: Topics, place: Place, score: Score, deadline_ms: int
) -> Awaitable[object]:
    now_ms = int(time.time() * 1000)
    if now_ms - place.closed_at_ms > deadline_ms:
        metrics.deadlines_missed_total.inc()
    metrics.scores_total.labels(score.decided_by).inc()
    metrics.score_latency_seconds.observe((now_ms - place.closed_at_ms) / 1000)
    if score.comment_lag_ms is not None:
        metrics.comment_lag_seconds.observe(score.comment_lag_ms / 1000)
    timings = {"closed_at_ms": place.closed_at_ms, "scored_at_ms": now_ms}
    sent: Awaitable[object] = await producer.send(
        topics.name("scores"),
        key=score.room_id.encode(),
        value=encode_score(score, timings),
        partition=place.partition.partition,
    )
    return sent


async def _reject(
    producer: AIOKafkaProducer, topics: Topics, record: ConsumerRecord, reason: str
) -> Awaitable[object]:
    metrics.dead_letters_total.labels("windows").inc()
    origin = Origin("windows", record.partition, record.offset)
    letter = encode_dead_letter(origin, reason, record.value, header_map(record.headers))
    sent: Awaitable[object] = await producer.send(
        topics.name("dlq"), key=str(origin).encode(), value=letter, partition=record.partition
    )
    return sent
