"""Faust's Kafka transport, with four repairs and one addition that its settings do not offer.

*Commits.* Faust 0.15 looks for gaps among the acknowledged offsets from the first one that is
acknowledged, not from the one that is committed. When the first messages of a partition are held,
as ours are until their segment has been delivered, it commits past them, and a crash loses them.
Offsets are committed here only when everything that was read before them is acknowledged.

*Fetch wait.* Faust asks the broker to hold an empty fetch for 1.5 s. Kafka answers as soon as there
is data. The embedded broker looks again only now and then, so each hop took about 0.7 s.

*Rebalances.* Before a rebalance is over, when tables have been recovered and partitions sought to
what is committed, Faust lets the partitions' messages in, and then clears the queues that they wait
in: they are neither processed nor read again. Nothing but table logs is fetched before its end
here, and what was fetched for a former assignment is dropped.

*Ends of logs.* A table is recovered up to where its log ends; see `log_ends`.

*Batches.* On its way to an agent a message passes several tasks, queues and sensors, which costs
more than all that the assembler does with it. Topics that ask for it are read in batches: up to 250
consecutive messages of a topic-partition pass as one.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import faust
from faust import App
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from limelight.streams.log_ends import log_ends
from limelight.streams.offset_ledger import OffsetLedger
from limelight.streams.settings import KafkaSettings

# Processed without a pause: at 50 us each, about 12 ms.
MAX_BATCH = 250


class MessageBatch(ConsumerMessage):  # type: ignore[misc]
    """Consecutive records of one topic-partition; its own offset is that of the last.

    Each record is acknowledged by itself, with `Consumer.acknowledge`, and the batch never.
    """

    records: list[Any]


class _ConsumerThread(AIOKafkaConsumerThread):  # type: ignore[misc]
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Read when the consumer starts, which is after this.
        consumer._fetch_max_wait_ms = transport.kafka.fetch_max_wait_ms
        return consumer

    async def _highwaters(self, partitions: Any) -> Any:
        return await log_ends(self.transport.kafka, await super()._highwaters(partitions))

    async def seek_to_committed(self) -> Any:
        return await self.call_thread(self._seek_to_committed)

    async def _seek_to_committed(self) -> Any:
        """Like aiokafka's, but what has no committed offset is read from its beginning again."""
        consumer = self._ensure_consumer()
        committed = await consumer.seek_to_committed()
        for tp, offset in committed.items():
            if not offset and not self.consumer.is_changelog(tp):
                consumer.seek(tp, 0)  # where that is gone, the fetch goes on at the earliest
        return committed


class _Consumer(Consumer):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ledgers: defaultdict[Any, OffsetLedger] = defaultdict(OffsetLedger)

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def is_changelog(self, tp: Any) -> bool:
        return bool(self._is_changelog_tp(TP(tp.topic, tp.partition)))

    async def _getmany(self, active_partitions: Any, timeout: float) -> dict[Any, list[Any]]:
        app = self.app
        if app.rebalancing:
            active_partitions = set(filter(self._is_changelog_tp, active_partitions or ()))
            if not active_partitions:
                await asyncio.sleep(0.05)
                return {}
        rebalances = app.rebalancing_count
        fetched = await super()._getmany(active_partitions, timeout)
        if app.rebalancing_count != rebalances:
            # Of a former assignment; by now it may be somebody else's, and is read again.
            fetched = {tp: records for tp, records in fetched.items() if self._is_changelog_tp(tp)}
            if not app.rebalancing:
                await self.perform_seek()
        batched = self.transport.batched_topics
        return {
            tp: _batches(records) if tp.topic in batched else records
            for tp, records in fetched.items()
        }

    def _to_message(self, tp: Any, record: Any) -> Any:
        if not isinstance(record, list):
            return super()._to_message(tp, record)
        last = record[-1]
        batch = MessageBatch(
            last.topic,
            last.partition,
            last.offset,
            last.timestamp / 1000,
            last.timestamp_type,
            headers=None,
            key=None,
            value=b"",
            checksum=None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )
        batch.records = record
        return batch

    async def _add_gap(self, tp: Any, offset_from: int, offset_to: int) -> None:
        """Faust's own list of offsets that do not exist; the ledger needs none."""

    def note_read(self, message: Any) -> None:
        """A stream has taken a message: it is to be acknowledged before those behind it count."""
        ledger = self._ledgers[message.tp]
        if isinstance(message, MessageBatch):
            for record in message.records:
                ledger.read(record.offset)
        else:
            ledger.read(message.offset)

    def acknowledge(self, tp: Any, offset: int) -> None:
        """A record of a batch is done with."""
        committed = self._committed_offset[tp]
        if committed is None or offset >= committed:
            self._acked_index[tp].add(offset)

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterable[Any]:
        return [tp for tp in self._ledgers if topics is None or tp in topics or tp.topic in topics]

    def _new_offset(self, tp: Any) -> int | None:
        self._acked[tp].clear()  # Faust's own list, which nothing else reads
        return self._ledgers[tp].committable(self._acked_index[tp])

    def committed_offset(self, topic: str, partition: int) -> int:
        """Where reading begins again after a crash, as far as this process knows."""
        return self._committed_offset.get(TP(topic, partition)) or 0

    def forget_offsets(self) -> None:
        """Partitions are being moved; each is read again from its committed offset."""
        self._ledgers.clear()


def _batches(records: list[Any]) -> list[list[Any]]:
    return [records[first : first + MAX_BATCH] for first in range(0, len(records), MAX_BATCH)]


class _ReadOffsets(faust.Sensor):  # type: ignore[misc]
    """Tells the consumer which messages streams take.

    Faust means `Consumer.track_message` for that, but its streams do its work themselves and never
    call it; they do call the sensors there.
    """

    def __init__(self, app: faust.App) -> None:
        super().__init__()
        self._app = app

    def on_message_in(self, tp: Any, offset: int, message: Any) -> None:
        self._app.consumer.note_read(message)


class _Transport(Transport):  # type: ignore[misc]
    Consumer = _Consumer
    kafka: KafkaSettings
    batched_topics: frozenset[str] = frozenset()


def use_transport(app: App, kafka: KafkaSettings) -> None:
    """Give the app this transport."""
    transport = _Transport(app.conf.broker_consumer, app)
    transport.kafka = kafka
    app.transport = transport
    app.sensors.add(_ReadOffsets(app))

    @app.on_partitions_revoked.connect  # type: ignore[untyped-decorator]
    async def forget(app: App, revoked: set[Any], **kwargs: Any) -> None:
        app.consumer.forget_offsets()
