"""Connecting to Kafka: client options from the settings, topics, and a clear error without one."""

import asyncio
import logging
import ssl
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAlreadyExistsError,
    UnsupportedSaslMechanismError,
    for_code,
)
from aiokafka.helpers import create_ssl_context

from limelight.engine.errors import LimelightError
from limelight.streams.forgiving_records import forgive_header_names
from limelight.streams.settings import KafkaSettings
from limelight.streams.topics import Topics

logger = logging.getLogger(__name__)

_TLS_FILES = ("ssl_ca_file", "ssl_cert_file", "ssl_key_file")
# What no waiting mends: the wrong certificate, user or mechanism.
_REFUSALS = (
    ssl.SSLCertVerificationError,
    AuthenticationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)


class BrokerUnavailable(LimelightError):
    """Kafka does not answer, or a needed port is taken."""


def ssl_context(settings: KafkaSettings) -> ssl.SSLContext | None:
    """The TLS context, None for a protocol without TLS.

    Raises:
        ValueError: a file is missing, or holds no PEM of its kind.
    """
    if "SSL" not in settings.security_protocol:
        return None
    files = {name: getattr(settings, name) for name in _TLS_FILES}
    for name, file in files.items():
        if file and not Path(file).is_file():
            raise ValueError(f"kafka.{name}: found no file {file}, expected a PEM file")
    if settings.ssl_key_file and not settings.ssl_cert_file:
        raise ValueError("kafka.ssl_cert_file: found '', needed by kafka.ssl_key_file")
    try:
        context: ssl.SSLContext = create_ssl_context(
            cafile=settings.ssl_ca_file or None,
            certfile=settings.ssl_cert_file or None,
            keyfile=settings.ssl_key_file or None,
            # An encrypted key is refused; without this OpenSSL would ask on the terminal, for ever.
            password="",
        )
    except ssl.SSLError as error:
        given = ", ".join(f"{name} {file}" for name, file in files.items() if file)
        raise ValueError(
            f"kafka: found TLS files that OpenSSL refuses ({given}: {error.reason or error}),"
            " expected PEM, the key unencrypted and of the certificate"
        ) from error
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


def max_batch_bytes(settings: KafkaSettings) -> int:
    """How much a producer sends to a partition at once, well below what brokers take.

    Of a partition one batch is under way at a time, so small ones bound how much is sent a second.
    """
    return settings.max_message_bytes // 2


def make_producer(settings: KafkaSettings) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        **connection_options(settings),
        acks="all",
        linger_ms=5,
        max_batch_size=max_batch_bytes(settings),
        max_request_size=settings.max_message_bytes,
    )


def make_consumer(settings: KafkaSettings, *topics: str, group_id: str | None) -> AIOKafkaConsumer:
    """A consumer that starts at the earliest record and commits only when told to."""
    forgive_header_names()
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
        BrokerUnavailable: names the servers that were asked, and why none let us in.
        ValueError: settings that no client can use.
    """
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + settings.connect_timeout_s
    options = connection_options(settings)
    while True:
        try:
            await _knock(settings, options)
            admin = AIOKafkaAdminClient(**options, request_timeout_ms=5_000)
            try:
                await asyncio.wait_for(admin.start(), settings.connect_timeout_s)
            except BaseException:
                await admin.close()
                raise
            return admin
        except _REFUSALS as error:
            raise BrokerUnavailable(
                f"Kafka at {settings.bootstrap_servers}: found {settings.security_protocol} refused"
                f" ({error}), expected certificates and a user that fit (LIMELIGHT_KAFKA_SSL_*,"
                " LIMELIGHT_KAFKA_SASL_*)"
            ) from error
        except (KafkaError, OSError, TimeoutError) as error:
            if loop.time() > deadline_s:
                raise BrokerUnavailable(
                    f"Kafka at {settings.bootstrap_servers}: found no broker within"
                    f" {settings.connect_timeout_s:g} s ({_reason(error, settings)}), expected one"
                    " there (LIMELIGHT_KAFKA_BOOTSTRAP_SERVERS; `limelight broker` starts one)"
                ) from error
            await asyncio.sleep(0.2)


def _reason(error: Exception, settings: KafkaSettings) -> str:
    text = str(error) or type(error).__name__
    if isinstance(error, KafkaConnectionError | ssl.SSLError | TimeoutError):
        # How a TLS listener answers plain text, and the other way round.
        text += f"; does it speak {settings.security_protocol}? LIMELIGHT_KAFKA_SECURITY_PROTOCOL"
    return text


async def _knock(settings: KafkaSettings, options: dict[str, Any]) -> None:
    """Connect once, TLS and SASL included, to the first server that lets us in.

    The clients swallow the reason of a failure and log each try.

    Raises:
        KafkaError, OSError: why the last server did not.
        ValueError: servers that are not host:port.
    """
    single = {name: value for name, value in options.items() if name != "bootstrap_servers"}
    timeout_ms = int(1_000 * min(5.0, settings.connect_timeout_s))
    for server in settings.bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        if not host or not port.isdigit():
            raise ValueError(
                f"kafka.bootstrap_servers: found {server!r}, expected host:port[,host:port...]"
            )
        try:
            connection = await create_conn(
                host.strip("[]"), int(port), request_timeout_ms=timeout_ms, **single
            )
        except (KafkaError, OSError) as error:
            refused: Exception = error
        except (KeyError, ValueError) as error:
            if not settings.security_protocol.startswith("SASL"):
                raise
            # How aiokafka's SCRAM meets a server that ends the exchange with an error.
            refused = AuthenticationFailedError(
                f"user {settings.sasl_username!r} was refused by {settings.sasl_mechanism}"
            )
            refused.__cause__ = error
        else:
            connection.close()
            return
    raise refused
