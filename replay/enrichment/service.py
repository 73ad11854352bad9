"""`limelight enricher`: closed highlights in, enriched ones out, behind the detector's back.

A process and a consumer group of its own: however long a clip takes to cut, the plain events are
not behind it. A record is committed when what it led to has been delivered.
"""

import asyncio
import logging
import signal
import time
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import MessageSizeTooLargeError

from limelight.replay.enrichment.clip_models import load_clip_models
from limelight.replay.enrichment.enrich import Enricher
from limelight.replay.enrichment.sources import MediaSources, load_sources
from limelight.streams import metrics
from limelight.streams.frame_consumer import commit_batches
from limelight.streams.highlight_records import (
    CONTENT_TYPE,
    decode_highlight,
    encode_enriched,
)
from limelight.streams.kafka import create_topics, make_consumer, make_producer
from limelight.streams.records import MalformedRecord
from limelight.streams.settings import Settings
from limelight.streams.topics import Topics

logger = logging.getLogger(__name__)

# One, so that a rebalance in the middle of it leaves nothing behind that is another's by now.
_MAX_RECORDS = 1
# Kafka takes a consumer that has not polled for five minutes for dead; a clip may take longer.
_POLL_EVERY_S = 10.0
# Most records are no closed highlights; a commit for each would cost more than reading them.
_MOST_SKIPPED = 500

ResultT = TypeVar("ResultT")


async def run_enricher(settings: Settings, ready_file: Path | None) -> None:
    """Enrich until SIGTERM or SIGINT.

    Raises:
        BrokerUnavailable: Kafka does not answer.
        ValueError, OSError: sources or encoders that cannot be read.
    """
    if not settings.engine.torch_threads:
        # Beside an engine: one highlight a second needs no more, and the engine all there are.
        torch.set_num_threads(1)
    await create_topics(settings.kafka)
    own = settings.enrichment
    sources = MediaSources({})
    if own.sources:
        sources = load_sources(Path(own.sources), timeout_s=own.open_timeout_s)
    models = await asyncio.to_thread(load_clip_models, own, settings.engine)
    service = EnrichmentService(settings, Enricher(own, sources, models))
    task = asyncio.create_task(service.run(ready_file))
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        logger.info("enricher stopped")


class EnrichmentService:
    """The consumer of `highlights` that writes there, too; `run` it once.

    A closed highlight's record is committed when its enriched event is delivered, others together.
    """

    def __init__(self, settings: Settings, enricher: Enricher) -> None:
        self._settings = settings
        self._enricher = enricher
        self._topics = Topics(settings.kafka.topic_prefix)
        self._consumer = make_consumer(
            settings.kafka,
            self._topics.name("highlights"),
            group_id=self._topics.name("limelight-enricher"),
        )
        self._producer: AIOKafkaProducer = make_producer(settings.kafka)
        # The newest record of each partition that is done with and not committed, and how many.
        self._done: dict[TopicPartition, int] = {}
        self._skipped = 0

    async def run(self, ready_file: Path | None = None) -> None:
        """Read, enrich and publish for ever, one highlight after the other."""
        await self._producer.start()
        try:
            await self._consumer.start()
            if ready_file is not None:
                ready_file.touch()
            logger.info("enricher ready")
            while True:
                batches = await self._consumer.getmany(timeout_ms=500, max_records=_MAX_RECORDS)
                if not batches:
                    await self._commit()
                for partition, records in batches.items():
                    for record in records:
                        worked = await self._take(record)
                        self._done[partition] = record.offset
                        self._skipped += 1
                        if worked or self._skipped >= _MOST_SKIPPED:
                            await self._commit()
        finally:
            # A cut is not waited for; asyncio would, until its thread has ended.
            self._enricher.give_up()
            await self._consumer.stop()
            await self._producer.stop()

    async def _commit(self) -> None:
        """Commit what is done of the partitions that are still ours."""
        own = self._consumer.assignment()
        done = {partition: at for partition, at in self._done.items() if partition in own}
        self._done, self._skipped = {}, 0
        if done:
            await commit_batches(self._consumer, done)

    async def _take(self, record: ConsumerRecord) -> bool:
        """Enrich and publish a closed highlight; False for any other record."""
        try:
            event = decode_highlight(record.value, max_bytes=self._settings.kafka.max_message_bytes)
        except MalformedRecord:
            # The pusher reads the same record, and puts it into `dlq` once.
            metrics.enrichments_total.labels("malformed").inc()
            return False
        if event["data"].get("kind") != "closed":
            return False
        await self._polling(asyncio.sleep(self._wait_s(event["data"])))
        started_s = time.monotonic()
        enrichment = await self._polling(asyncio.to_thread(self._enricher.enrich, event["data"]))
        took_s = time.monotonic() - started_s
        value = encode_enriched(event, enrichment)
        try:
            await self._producer.send_and_wait(
                self._topics.name("highlights"),
                key=record.key,
                value=value,
                headers=[("content-type", CONTENT_TYPE.encode())],
                partition=record.partition,
            )
        except MessageSizeTooLargeError:
            # Only of a closed event near the limit itself. Retried, it would hold up all behind it.
            metrics.enrichments_total.labels("too_large").inc()
            logger.error("enriched event too large", extra={"id": event["id"], "bytes": len(value)})
            return True
        metrics.enrichment_seconds.observe(took_s)
        missing = sorted(enrichment["missing"])
        metrics.enrichments_total.labels("partial" if missing else "whole").inc()
        logger.info(
            "highlight enriched",
            extra={"id": event.get("subject"), "seconds": round(took_s, 2), "missing": missing},
        )
        return True

    async def _polling(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """The work's result, however long it takes, without being taken for dead meanwhile."""
        task = asyncio.create_task(work)
        try:
            while not (await asyncio.wait([task], timeout=_POLL_EVERY_S))[0]:
                # A poll of a partition that nobody has: it counts, and takes nothing.
                await self._consumer.getmany(TopicPartition(self._topics.name("highlights"), -1))
            return task.result()
        finally:
            task.cancel()

    def _wait_s(self, highlight: Mapping[str, Any]) -> float:
        """How long the recorder may still need for the highlight's end."""
        passed_s = time.time() - int(highlight["timings"].get("closed_at_ms", 0)) / 1_000
        return max(0.0, self._settings.enrichment.recording_delay_s - max(0.0, passed_s))
