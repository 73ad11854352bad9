"""`windows` in, `scores` out: a plain batch consumer around the scorer.

It is no Faust agent because it batches across rooms, and a rebalance of the workers must not stop
the device.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Mapping

from aiokafka import AIOKafkaProducer, ConsumerRecord

from limelight.engine.score import Rejected, Score
from limelight.engine.scorer import Scorer
from limelight.engine.window import Window
from limelight.streams import metrics
from limelight.streams.dead_letters import Origin, encode_dead_letter
from limelight.streams.frame_consumer import commit_batches
from limelight.streams.kafka import make_consumer, make_producer
from limelight.streams.records import TIME_LIMIT_MS, MalformedRecord, header_map
from limelight.streams.score_records import encode_score
from limelight.streams.settings import Settings
from limelight.streams.topics import Topics
from limelight.streams.window_records import decode_window

logger = logging.getLogger(__name__)

MAX_WINDOWS_A_BATCH = 512


async def run_score_consumer(settings: Settings, scorer: Scorer, started: asyncio.Event) -> None:
    """Score for ever; a batch's offsets are committed once its scores are delivered."""
    topics = Topics(settings.kafka.topic_prefix)
    group_id = topics.name("limelight-scores")
    consumer = make_consumer(settings.kafka, topics.name("windows"), group_id=group_id)
    producer = make_producer(settings.kafka)
    await producer.start()
    try:
        await consumer.start()
        started.set()
        while True:
            batches = await consumer.getmany(timeout_ms=100, max_records=MAX_WINDOWS_A_BATCH)
            records = [record for records in batches.values() for record in records]
            if not records:
                continue
            sent = []
            windows: list[Window] = []
            origins: dict[_Place, ConsumerRecord] = {}
            for record in records:
                try:
                    window = decode_window(
                        record.value or b"", max_bytes=settings.kafka.max_message_bytes
                    )
                except MalformedRecord as error:
                    sent.append(await _reject(producer, topics, record, str(error)))
                else:
                    windows.append(window)
                    origins[_place(window)] = record
            metrics.engine_batch_windows.observe(len(windows))
            for result in await asyncio.to_thread(scorer.score, windows):
                if isinstance(result, Rejected):
                    record = origins[_place(result.window)]
                    sent.append(await _reject(producer, topics, record, result.reason))
                else:
                    sent.append(await _send(producer, topics, origins[_place(result)], result))
            await asyncio.gather(*sent)
            await commit_batches(consumer, {tp: recs[-1].offset for tp, recs in batches.items()})
    finally:
        await consumer.stop()
        await producer.stop()


_Place = tuple[str, int | None, int]


def _place(of: Window | Score) -> _Place:
    return of.room_id, of.room_started_ms, of.segment_index


def closed_at(headers: Mapping[str, str], now_ms: int) -> int:
    """When the window closed, by its header; `now_ms` where that is no time."""
    text = headers.get("closed_at_ms", "")
    is_number = text.isascii() and text.isdigit() and len(text) <= 13
    return int(text) if is_number and int(text) < TIME_LIMIT_MS else now_ms


async def _send(
    producer: AIOKafkaProducer, topics: Topics, record: ConsumerRecord, score: Score
) -> Awaitable[object]:
    now_ms = int(time.time() * 1000)
    closed_at_ms = closed_at(header_map(record.headers), now_ms)
    metrics.scores_total.labels(score.decided_by).inc()
    metrics.score_latency_seconds.observe((now_ms - closed_at_ms) / 1000)
    if score.comment_lag_ms is not None:
        metrics.comment_lag_seconds.observe(score.comment_lag_ms / 1000)
    timings = {"closed_at_ms": closed_at_ms, "scored_at_ms": now_ms}
    sent: Awaitable[object] = await producer.send(
        topics.name("scores"),
        key=score.room_id.encode(),
        value=encode_score(score, timings),
        partition=record.partition,
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
