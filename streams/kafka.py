"""Connecting to Kafka: client options from the settings, topics, and a clear error without one."""

import asyncio
import logging
import ssl
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from aiokafka.helpers import create_ssl_context

from limelight.engine.errors import LimelightError
from limelight.streams.settings import KafkaSettings
from limelight.streams.topics import Topics

logger = logging.getLogger(__name__)


class BrokerUnavailable(LimelightError):
    """Kafka does not answer, or a needed port is taken."""


def ssl_context(settings: KafkaSettings) -> ssl.SSLContext | None:
    """The TLS context, None for a protocol without TLS."""
    if "SSL" not in settings.security_protocol:
        return None
    context: ssl.SSLContext = create_ssl_context(
        cafile=settings.ssl_ca_file or None,
        certfile=settings.ssl_cert_file or None,
        keyfile=settings.ssl_key_file or None,
    )
    return context


def connection_options(settings: KafkaSettings) -> dict[str, Any]:
    """Keyword arguments that every aiokafka client takes."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers.split(","),
        "security_protocol": settings.security_protocol,
        "ssl_context": ssl_context(settings),
    }
    if settings.security_protocol.startswith("SASL"):
        options |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_username,
            "sasl_plain_password": settings.sasl_password.get_secret_value(),
        }
    return options


def make_producer(settings: KafkaSettings) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        **connection_options(settings),
        acks="all",
        linger_ms=5,
        max_request_size=settings.max_message_bytes,
    )


def make_consumer(settings: KafkaSettings, *topics: str, group_id: str | None) -> AIOKafkaConsumer:
    """A consumer that starts at the earliest record and commits only when told to."""
    return AIOKafkaConsumer(
        *topics,
        **connection_options(settings),
        group_id=group_id,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=settings.fetch_max_wait_ms,
        session_timeout_ms=int(settings.session_timeout_s * 1000),
        heartbeat_interval_ms=int(settings.session_timeout_s * 1000 / 5),
    )


async def create_topics(settings: KafkaSettings) -> None:
    """Create what is missing; topics that are there must have the expected partition count.

    Raises:
        BrokerUnavailable: no broker answers within `connect_timeout_s`.
        ValueError: a topic has another number of partitions.
    """
    topics = Topics(settings.topic_prefix)
    wanted = [
        NewTopic(name, settings.partitions, settings.replication_factor)
        for name in topics.all_keyed_by_room
    ]
    compacted = {"cleanup.policy": "compact"}
    wanted.append(NewTopic(topics.models, 1, settings.replication_factor, topic_configs=compacted))
    admin = await connect_admin(settings)
    try:
        present = set(await admin.list_topics())
        missing = [topic for topic in wanted if topic.name not in present]
        if missing:
            response = await admin.create_topics(missing)
            for name, code, *_ in response.topic_errors:
                if code and not issubclass(for_code(code), TopicAlreadyExistsError):
                    raise BrokerUnavailable(f"topic {name}: {for_code(code).__name__}")
        described = await admin.describe_topics([topic.name for topic in wanted])
    finally:
        await admin.close()
    for entry in described:
        name, found = entry["topic"], len(entry["partitions"])
        expected = 1 if name == topics.models else settings.partitions
        if found != expected:
            raise ValueError(
                f"topic {name}: found {found} partitions, expected {expected}"
                " (all topics share one count: LIMELIGHT_KAFKA_PARTITIONS)"
            )


async def connect_admin(settings: KafkaSettings) -> AIOKafkaAdminClient:
    """A started admin client.

    Raises:
        BrokerUnavailable: names the servers that were asked.
    """
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + settings.connect_timeout_s
    while True:
        try:
            await _knock(settings.bootstrap_servers)
            admin = AIOKafkaAdminClient(**connection_options(settings), request_timeout_ms=5_000)
            try:
                await asyncio.wait_for(admin.start(), settings.connect_timeout_s)
            except BaseException:
                await admin.close()
                raise
            return admin
        except (KafkaError, OSError, TimeoutError) as error:
            if loop.time() > deadline_s:
                raise BrokerUnavailable(
                    f"Kafka at {settings.bootstrap_servers}: found no broker within"
                    f" {settings.connect_timeout_s:g} s ({error}), expected one there"
                    " (LIMELIGHT_KAFKA_BOOTSTRAP_SERVERS; `limelight broker` starts one)"
                ) from error
            await asyncio.sleep(0.2)


async def _knock(bootstrap_servers: str) -> None:
    """Raise OSError unless one of the servers takes connections; clients would log each try."""
    for server in bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        if not host or not port.isdigit():
            raise ValueError(
                f"kafka.bootstrap_servers: found {server!r}, expected host:port[,host:port...]"
            )
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except OSError as error:
            refused = error
        else:
            writer.close()
            return
    raise refused
