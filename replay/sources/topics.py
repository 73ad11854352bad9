"""What lies in Kafka as a source: the raw input of a platform, by event time.

Kafka finds no event time, and what is late lies far from its own. So everything is read from the
earliest record that is retained, and what is before the interval is left out; reading ends where
the marks say that all of the interval has been. A record belongs to the interval by its place: its
event time, or for a late one the mark that it came behind (`topic_order`).
"""

import heapq
import logging
from collections.abc import AsyncGenerator, Collection

from aiokafka import AIOKafkaConsumer, TopicPartition

from limelight.replay.marks import mark_interval_ms
from limelight.replay.sources.source import Source
from limelight.replay.sources.topic_order import PartitionOrder, Placed
from limelight.replay.sources.topic_script import TopicScript
from limelight.streams.kafka import BrokerUnavailable, connect_admin, make_consumer
from limelight.streams.log_ends import log_ends
from limelight.streams.settings import KafkaSettings, Settings
from limelight.streams.topics import SOURCE_TOPICS, Topics

logger = logging.getLogger(__name__)

# How long a broker may take over records that should be there.
READ_TIMEOUT_S = 30.0
_RECORDS_AT_ONCE = 1_000


async def topics_source(
    origin: KafkaSettings,
    settings: Settings,
    *,
    speed: float,
    room_ids: Collection[str] = (),
    from_ms: int | None = None,
    to_ms: int | None = None,
    shift_ms: int = 0,
) -> Source:
    """The source topics under the origin's prefix, of `[from_ms, to_ms)` or as far as they go.

    Args:
        origin: where to read; `settings.kafka` is where it will be sent.
        shift_ms: how much later all event times are sent.

    Raises:
        BrokerUnavailable: of either Kafka.
        ValueError: the topics to read are those to be sent to, or there are none.
    """
    await _refuse_same(origin, settings.kafka)
    partitions = await _find_partitions(origin)
    reader = _TopicReader(origin, partitions, settings.assembler.max_ahead_ms, to_ms)
    script = TopicScript(
        origin_prefix=origin.topic_prefix,
        partitions=settings.kafka.partitions,
        segment_ms=settings.assembler.segment_ms,
        closing_delay_ms=settings.assembler.closing_delay_ms,
        mark_interval_ms=mark_interval_ms(speed),
        room_ids=frozenset(room_ids),
        from_ms=from_ms,
        to_ms=to_ms,
        shift_ms=shift_ms,
    )
    return Source(
        script.messages(reader.placed()),
        None if from_ms is None else from_ms + shift_ms,
        None if to_ms is None else to_ms + shift_ms,
        shift_ms,
    )


async def _refuse_same(origin: KafkaSettings, target: KafkaSettings) -> None:
    if origin.topic_prefix != target.topic_prefix:
        return
    if await _brokers(origin) & await _brokers(target):
        raise ValueError(
            f"replay: found {Topics(target.topic_prefix).name('frames')} and the others at"
            f" {target.bootstrap_servers} as source and as target, expected another prefix to send"
            " to (--prefix) or another Kafka"
        )


async def _brokers(settings: KafkaSettings) -> set[str]:
    """The addresses by which a cluster is known, its own and those that we were given."""
    admin = await connect_admin(settings)
    try:
        found = await admin.describe_cluster()
    finally:
        await admin.close()
    own = {f"{broker['host']}:{broker['port']}" for broker in found["brokers"]}
    return own | {server.strip() for server in settings.bootstrap_servers.split(",")}


async def _find_partitions(origin: KafkaSettings) -> list[TopicPartition]:
    names = [Topics(origin.topic_prefix).name(topic) for topic in SOURCE_TOPICS]
    admin = await connect_admin(origin)
    try:
        # Asked for by name, a topic that is missing might be created.
        present = set(await admin.list_topics())
        found = [name for name in names if name in present]
        if not found:
            raise ValueError(
                f"replay: found none of the topics {', '.join(names)} at"
                f" {origin.bootstrap_servers}, expected at least one"
            )
        described = await admin.describe_topics(found)
    finally:
        await admin.close()
    return sorted(
        TopicPartition(entry["topic"], each["partition"])
        for entry in described
        for each in entry["partitions"]
    )


class _TopicReader:
    """All records of some topic-partitions, from the earliest to `to_ms` or to their ends."""

    def __init__(
        self,
        origin: KafkaSettings,
        places: list[TopicPartition],
        max_ahead_ms: int,
        to_ms: int | None,
    ) -> None:
        self._origin = origin
        self._to_ms = to_ms
        plain = Topics(origin.topic_prefix).plain
        self._orders = {place: PartitionOrder(plain(place.topic), max_ahead_ms) for place in places}

    async def placed(self) -> AsyncGenerator[Placed, None]:
        """The records of all partitions by place."""
        consumer = make_consumer(self._origin, group_id=None)
        await consumer.start()
        try:
            places = list(self._orders)
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            ends = await log_ends(self._origin, await consumer.end_offsets(places))
            heads: list[tuple[int, TopicPartition, Placed]] = []
            waiting = set(places)
            while waiting or heads:
                if waiting:
                    await self._read(consumer, ends, waiting)
                    for place in list(waiting):
                        self._advance(place, heads, waiting)
                    continue
                _, place, placed = heapq.heappop(heads)
                yield placed
                waiting.add(place)
                self._advance(place, heads, waiting)
        finally:
            await consumer.stop()
        if unplaced := sum(order.unplaced for order in self._orders.values()):
            logger.warning(
                "left out records without a time at a topic's beginning",
                extra={"records": unplaced},
            )

    def _advance(
        self,
        place: TopicPartition,
        heads: list[tuple[int, TopicPartition, Placed]],
        waiting: set[TopicPartition],
    ) -> None:
        """Take a waiting partition's next record, if there is one, or let go of it at its end."""
        order = self._orders[place]
        placed = order.next()
        if placed is not None:
            heapq.heappush(heads, (placed.at_ms, place, placed))
        elif not order.is_over:
            return
        waiting.discard(place)

    async def _read(
        self,
        consumer: AIOKafkaConsumer,
        ends: dict[TopicPartition, int],
        waiting: set[TopicPartition],
    ) -> None:
        """Read on in the partitions waited for, and note which of them are at their end."""
        open_places = [place for place in waiting if not self._orders[place].is_over]
        behind = []
        for place in open_places:
            watermark_ms = self._orders[place].watermark_ms
            is_past = (
                self._to_ms is not None and watermark_ms is not None and watermark_ms >= self._to_ms
            )
            if is_past or await consumer.position(place) >= ends[place]:
                self._orders[place].finish()
            else:
                behind.append(place)
        if not behind or len(behind) < len(open_places):
            return
        batches = await consumer.getmany(
            *behind, timeout_ms=int(READ_TIMEOUT_S * 1000), max_records=_RECORDS_AT_ONCE
        )
        if not batches:
            place = min(behind)
            raise BrokerUnavailable(
                f"{place.topic} partition {place.partition}: found no record within"
                f" {READ_TIMEOUT_S:g} s, expected those before offset {ends[place]}"
            )
        for place, records in batches.items():
            for record in records:
                self._orders[place].take(record)
