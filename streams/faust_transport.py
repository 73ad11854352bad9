"""Faust's Kafka transport, with two repairs that its settings do not offer.

*Commits.* Faust 0.15 looks for gaps among the acknowledged offsets from the first one that is
acknowledged, not from the one that is committed. When the first messages of a partition are held,
as ours are until their segment has been delivered, it commits past them, and a crash loses them.
Offsets are committed here only when everything that was read before them is acknowledged.

*Fetch wait.* Faust asks the broker to hold an empty fetch for 1.5 s. Kafka answers as soon as there
is data. The embedded broker looks again only now and then, so each hop took about 0.7 s.
"""

from collections import defaultdict
from typing import Any

import faust
from faust import App
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP

from limelight.streams.offset_ledger import OffsetLedger


class _ConsumerThread(AIOKafkaConsumerThread):  # type: ignore[misc]
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Read when the consumer starts, which is after this.
        consumer._fetch_max_wait_ms = transport.fetch_max_wait_ms
        return consumer


class _Consumer(Consumer):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ledgers: defaultdict[Any, OffsetLedger] = defaultdict(OffsetLedger)

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def note_read(self, tp: Any, offset: int) -> None:
        """A stream has taken a message: it is to be acknowledged before those behind it count."""
        self._ledgers[tp].read(offset)

    def _new_offset(self, tp: Any) -> int | None:
        self._acked[tp].clear()  # Faust's own list, which nothing else reads
        return self._ledgers[tp].committable(self._acked_index[tp])

    def committed_offset(self, topic: str, partition: int) -> int:
        """Where reading begins again after a crash, as far as this process knows."""
        return self._committed_offset.get(TP(topic, partition)) or 0

    def forget_offsets(self) -> None:
        """Partitions are being moved; each is read again from its committed offset."""
        self._ledgers.clear()


class _ReadOffsets(faust.Sensor):  # type: ignore[misc]
    """Tells the consumer which messages streams take.

    Faust means `Consumer.track_message` for that, but its streams do its work themselves and never
    call it; they do call the sensors there.
    """

    def __init__(self, app: faust.App) -> None:
        super().__init__()
        self._app = app

    def on_message_in(self, tp: Any, offset: int, message: Any) -> None:
        self._app.consumer.note_read(tp, offset)


class _Transport(Transport):  # type: ignore[misc]
    Consumer = _Consumer
    fetch_max_wait_ms: int


def use_transport(app: App, fetch_max_wait_ms: int) -> None:
    """Give the app this transport; its fetches are answered within `fetch_max_wait_ms`."""
    transport = _Transport(app.conf.broker_consumer, app)
    transport.fetch_max_wait_ms = fetch_max_wait_ms
    app.transport = transport
    app.sensors.add(_ReadOffsets(app))

    @app.on_partitions_revoked.connect  # type: ignore[untyped-decorator]
    async def forget(app: App, revoked: set[Any], **kwargs: Any) -> None:
        app.consumer.forget_offsets()
