"""The Faust app of a worker: connection, buffers, and a table keyed by room."""

import asyncio
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import faust
from faust.tables.table import Table

from limelight.streams.faust_transport import use_transport
from limelight.streams.kafka import max_batch_bytes, ssl_context
from limelight.streams.settings import KafkaSettings

# Batches that wait for their agent; when it has so many, Faust reads no more of the partition.
_MAX_WAITING_BATCHES = 16


def make_app(settings: KafkaSettings, data_dir: Path) -> faust.App:
    """A Faust app on the settings' cluster.

    The values that differ from Faust's defaults were measured or cost somebody an outage:
    `stream_wait_empty` would wait 30 s at each stop for messages that are held on purpose, the
    producer's default buffer of 100 messages stalls a worker, its batches of 16 kB hold one window
    each, which makes 60 a second, and without a leader topic there is one topic fewer to keep
    alive.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    app = faust.App(
        f"{settings.topic_prefix}limelight-worker",
        broker=[f"kafka://{server}" for server in settings.bootstrap_servers.split(",")],
        broker_credentials=_credentials(settings),
        broker_commit_interval=1.0,
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.session_timeout_s / 5,
        broker_max_poll_interval=300.0,
        consumer_auto_offset_reset="earliest",
        datadir=str(data_dir),
        processing_guarantee="at_least_once",
        producer_linger=0.02,
        producer_max_batch_size=max_batch_bytes(settings),
        producer_acks=-1,
        producer_max_request_size=settings.max_message_bytes,
        store="memory://",
        stream_wait_empty=False,
        table_standby_replicas=0,
        topic_allow_declare=True,
        topic_disable_leader=True,
        topic_partitions=settings.partitions,
        topic_replication_factor=settings.replication_factor,
        web_enabled=False,
    )
    use_transport(app, settings)
    return app


def raise_producer_buffer(app: faust.App) -> None:
    app.producer.buffer.max_messages = 20_000


def _credentials(settings: KafkaSettings) -> Any:
    context: ssl.SSLContext | None = ssl_context(settings)
    if settings.security_protocol == "PLAINTEXT":
        return None
    if settings.security_protocol == "SSL":
        return faust.SSLCredentials(context=context)
    return faust.SASLCredentials(
        username=settings.sasl_username,
        password=settings.sasl_password.get_secret_value(),
        mechanism=settings.sasl_mechanism,
        ssl_context=context,
    )


class RoomTable(Table):  # type: ignore[misc]
    """A table of bytes whose writes name their partition.

    Faust takes the partition from the event being processed; ours are written when a delivery has
    been confirmed, which is outside of any event.

    `order` gives of a value what tells a newer one from an older. A worker that was suspended and
    has lost its partitions may still write once when it wakes; recovery keeps the newer of the two.
    """

    _partition: int | None = None
    _logged: asyncio.Future[Any] | None = None
    order: Callable[[bytes], Any]

    def put(self, partition: int, key: bytes, value: bytes | None) -> asyncio.Future[Any] | None:
        """Set the key, or delete it for None, with the change logged to `partition`.

        Gives what resolves when the broker has the change; None if there is none.
        """
        self._partition, self._logged = partition, None
        try:
            if value is not None:
                self[key] = value
            elif key in self:
                del self[key]
            return self._logged
        finally:
            self._partition = self._logged = None

    def apply_changelog_batch(self, batch: Iterable[Any]) -> None:
        """Recover entries from the changelog."""
        newest: dict[bytes, Any] = {}
        kept = []
        for event in batch:
            value = event.value
            known = newest.get(event.key, self.data.get(event.key))
            if value and known and self.order(value) < self.order(known):
                continue
            newest[event.key] = value
            kept.append(event)
        super().apply_changelog_batch(kept)

    def send_changelog(self, *args: Any, **kwargs: Any) -> Any:
        self._logged = super().send_changelog(*args, **kwargs)
        return self._logged

    def partition_for_key(self, key: Any) -> int | None:
        if self._partition is None:
            raise TypeError("RoomTable: found a plain assignment, expected put(partition, ...)")
        return self._partition


def room_table(
    app: faust.App, name: str, partitions: int, order: Callable[[bytes], Any]
) -> RoomTable:
    # Types of bytes make Faust log and recover the entries raw; a Schema would read them as JSON.
    table = RoomTable(
        app,
        name=name,
        partitions=partitions,
        key_type=bytes,
        value_type=bytes,
        beacon=app.beacon,
    )
    table.order = order
    app.tables.add(table)
    return table


def raw_topic(app: faust.App, *names: str, maxsize: int | None = None) -> Any:
    """Topics whose keys and values stay bytes; all reading is ours."""
    return app.topic(
        *names,
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        maxsize=maxsize,
    )


def batched_topic(app: faust.App, *names: str) -> Any:
    """Topics whose agent gets one event for each `MessageBatch`, instead of for each message."""
    app.transport.batched_topics |= set(names)
    return raw_topic(app, *names, maxsize=_MAX_WAITING_BATCHES)
