"""The assembler agent: source topics in, `windows`, `late` and `dlq` out."""

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Awaitable
from functools import partial
from typing import Any

import faust
import orjson

from limelight.streams import metrics
from limelight.streams.assembly import Emission, PartitionAssembly
from limelight.streams.deliveries import Deliveries
from limelight.streams.faust_app import RoomTable, batched_topic, raw_topic, room_table
from limelight.streams.faust_transport import MessageBatch
from limelight.streams.records import Watermark, header_map
from limelight.streams.settings import Settings
from limelight.streams.source_messages import SourceMessage
from limelight.streams.topics import MARKED_SOURCE_TOPICS, MODALITY_TOPICS, Topics

logger = logging.getLogger(__name__)


# Sources are looked after once a second; after a longer pause their silence says nothing.
_STALL_S = 5.0
# A warning that stays true is repeated, but not every second.
_WARN_AGAIN_S = 60.0


class Assembler:
    """Feeds each partition's assembly and delivers what comes out."""

    def __init__(self, app: faust.App, settings: Settings) -> None:
        self.topics = Topics(settings.kafka.topic_prefix)
        self._app = app
        self._settings = settings
        self._table: RoomTable = room_table(
            app, "assembler-segments", settings.kafka.partitions, order=_segment_index
        )
        self.deliveries = Deliveries(self._send, self._table)
        self._partitions: dict[int, PartitionAssembly] = {}
        self._marked_s: dict[tuple[int, str], float] = {}
        self._warned_s: dict[int, float] = {}
        self._looked_s = time.monotonic()
        self._out = {
            name: raw_topic(app, self.topics.name(name)) for name in ("windows", "late", "dlq")
        }

    async def process(self, batch: MessageBatch) -> None:
        """Feed a batch's records to their partition's assembly, in order."""
        partition, topic = batch.partition, self.topics.plain(batch.topic)
        assembly = self._assembly(partition)
        acknowledge = self._app.consumer.acknowledge
        for record in batch.records:
            headers = header_map(record.headers)
            if headers.get("kind") == "watermark" and "for_silent_source" not in headers:
                self._marked_s[partition, topic] = time.monotonic()
            emissions = assembly.process(
                SourceMessage(
                    topic=topic,
                    partition=partition,
                    offset=record.offset,
                    value=record.value,
                    headers=headers,
                    ack=partial(acknowledge, batch.tp, record.offset),
                )
            )
            if emissions:
                await self.deliveries.submit(emissions, partition)
                if self._partitions.get(partition) is not assembly:
                    return  # partitions were moved meanwhile: what is left is read again

    def _assembly(self, partition: int) -> PartitionAssembly:
        assembly = self._partitions.get(partition)
        if assembly is None:
            assembly = self._partitions[partition] = PartitionAssembly(
                partition,
                self._settings.assembler,
                max_message_bytes=self._settings.kafka.max_message_bytes,
                wall_ms=lambda: int(time.time() * 1000),
                committed=lambda topic: self._app.consumer.committed_offset(
                    self.topics.name(topic), partition
                ),
            )
            assembly.restore(self._table.items())
            now_s = time.monotonic()
            for topic in MODALITY_TOPICS:
                self._marked_s[partition, topic] = now_s
        return assembly

    async def _send(self, emission: Emission, partition: int) -> Awaitable[Any]:
        sent: Awaitable[Any] = await self._out[emission.topic or ""].send(
            key=emission.key,
            value=emission.value,
            headers=emission.headers,
            partition=partition,
        )
        return sent

    def forget_partitions(self) -> None:
        """Partitions are being moved. What is in memory is in the log too, and is read again."""
        for topic, count in self._open_entries().items():
            metrics.handed_back_total.labels(topic).inc(count)
        self._partitions.clear()
        self._marked_s.clear()
        self.deliveries.forget()

    async def mark_silent_sources(self) -> None:
        """Put a mark into each topic-partition whose source has been silent past the deadline.

        The mark goes through the log, like any other: whoever reads it again closes the same
        segments, and what the source still sends for them is late.
        """
        deadline_s = self._settings.assembler.silent_source_deadline_s
        now_s = time.monotonic()
        stalled = now_s - self._looked_s > _STALL_S
        self._looked_s = now_s
        if stalled:
            # It was us who did not listen: suspended, or cut off from Kafka.
            self._marked_s = dict.fromkeys(self._marked_s, now_s)
            return
        marks: list[tuple[str, int, Watermark]] = []
        for partition, assembly in self._partitions.items():
            silent = {
                topic
                for topic in MODALITY_TOPICS
                if now_s - self._marked_s[partition, topic] > deadline_s
            }
            heard = [
                source.watermark_ms
                for topic, source in assembly.sources.items()
                if topic not in silent and source.watermark_ms is not None
            ]
            if len(silent) == len(MODALITY_TOPICS) and assembly.rooms:
                self._warn_unmarked(partition, deadline_s)
            if not silent or not heard:
                continue
            for topic in sorted(silent):
                own_ms = assembly.sources[topic].watermark_ms
                if own_ms is None or own_ms < min(heard):
                    logger.warning(
                        "source silent, closing without it",
                        extra={"topic": topic, "partition": partition},
                    )
                    marks.append((topic, partition, Watermark(min(heard), for_silent_source=True)))
        # Sent after all have been found: partitions may be moved at each await.
        for topic, partition, mark in marks:
            await self._send_mark(topic, partition, mark)

    def _warn_unmarked(self, partition: int, deadline_s: float) -> None:
        """All sources silent: they may be down, or never send marks; nothing is closed.

        A mark of ours would have to guess a time, and what was only delayed would be late.
        """
        now_s = time.monotonic()
        if now_s - self._warned_s.get(partition, -math.inf) > max(deadline_s, _WARN_AGAIN_S):
            self._warned_s[partition] = now_s
            logger.warning(
                "no source sends watermark marks, no segment can close",
                extra={"partition": partition, "topics": list(MODALITY_TOPICS)},
            )

    def _open_entries(self) -> Counter[str]:
        return sum((each.open_entries for each in self._partitions.values()), Counter())

    def take_stock(self) -> None:
        """Set the gauges: rooms, entries that wait, and how far behind the clock sources are."""
        metrics.rooms_active.set(sum(len(each.rooms) for each in self._partitions.values()))
        open_entries = self._open_entries()
        now_ms = time.time() * 1000
        for topic in MODALITY_TOPICS:
            metrics.entries_open.labels(topic).set(open_entries[topic])
            marks_ms = [
                assembly.sources[topic].watermark_ms for assembly in self._partitions.values()
            ]
            known_ms = [mark_ms for mark_ms in marks_ms if mark_ms is not None]
            if known_ms:
                behind_s = (now_ms - min(known_ms)) / 1000
                metrics.watermark_behind_seconds.labels(topic).set(behind_s)

    async def tick(self) -> None:
        """Marks by the wall clock, for a platform whose gateway sends none."""
        mark_ms = int(time.time() * 1000) - self._settings.assembler.ticker_delay_ms
        for partition in self._assigned():
            for topic in MARKED_SOURCE_TOPICS:
                await self._send_mark(topic, partition, Watermark(mark_ms))

    def _assigned(self) -> list[int]:
        comments = self.topics.name("comments")
        return [tp.partition for tp in self._app.consumer.assignment() if tp.topic == comments]

    async def _send_mark(self, topic: str, partition: int, mark: Watermark) -> None:
        await self._app.producer.send(
            self.topics.name(topic),
            key=None,
            value=b"",
            partition=partition,
            timestamp=None,
            headers=mark.encode(),
        )


def install_assembler(app: faust.App, settings: Settings) -> Assembler:
    """Add the assembler's agent, timers and rebalance handling to the app."""
    assembler = Assembler(app, settings)
    topics = assembler.topics
    sources = batched_topic(app, *(topics.name(topic) for topic in MODALITY_TOPICS))

    @app.agent(sources, name="assembler")  # type: ignore[untyped-decorator]
    async def assemble(batches: faust.StreamT[bytes]) -> None:
        # Acknowledged record by record, when what a record belongs to has been delivered.
        async for event in batches.noack().events():
            try:
                await assembler.process(event.message)
            except asyncio.CancelledError:
                raise
            except Exception:
                # An exception here would acknowledge and lose the batch. Ours, not a message's
                # fault: stop, so that the log is read again by a worker that can.
                logger.exception("assembler failed", extra={"offset": event.message.offset})
                await app.crash(RuntimeError("assembler failed, see the log"))
                raise

    @app.task()  # type: ignore[untyped-decorator]
    async def settle_deliveries() -> None:
        try:
            await assembler.deliveries.run()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            logger.exception("delivery failed")
            await app.crash(error)

    @app.timer(interval=1.0)  # type: ignore[untyped-decorator]
    async def keep_time() -> None:
        assembler.take_stock()
        await assembler.mark_silent_sources()
        if settings.assembler.ticker:
            await assembler.tick()

    @app.on_partitions_revoked.connect  # type: ignore[untyped-decorator]
    async def forget(app: faust.App, revoked: set[Any], **kwargs: Any) -> None:
        assembler.forget_partitions()

    return assembler


def _segment_index(value: bytes) -> int:
    """A slot's newer segment is the one with the higher index."""
    return int(orjson.loads(value)["index"])
