"""`limelight dlq` on a running system: a broken comment is found, repaired and put back."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from limelight.streams import dead_letter_log
from limelight.streams.broker import embedded_broker, embedded_kafka, free_port
from limelight.streams.child import child_process
from limelight.streams.dead_letter_log import DeadLetterLog, LetterGone
from limelight.streams.dead_letters import MAX_CARRIED_BYTES, Origin, encode_dead_letter
from limelight.streams.kafka import make_consumer, make_producer
from limelight.streams.records import Headers, Watermark
from limelight.streams.settings import Settings, settings_environment
from limelight.streams.topics import MODALITY_TOPICS, partition_of

STARTED_MS = 1_700_000_000_000
GOOD = {"room_id": "room", "room_started_ms": STARTED_MS, "user": "u1", "text": "good"}
BROKEN = {"room_id": "room", "room_started_ms": STARTED_MS, "user": "u2", "text": 5}
# Far more comments than a message may hold, and more bytes than a letter carries.
TOO_LONG = orjson.dumps([GOOD | {"event_time_ms": STARTED_MS + 2, "text": "x" * 200}] * 1_200)
HOME = partition_of("room", 4)


@dataclass
class Running:
    """Broker and worker; `send` writes to the room's partition."""

    settings: Settings
    send: Callable[..., object]

    async def dlq(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        def call() -> subprocess.CompletedProcess[bytes]:
            return subprocess.run(
                [sys.executable, "-m", "limelight.streams.cli", "dlq", *arguments],
                capture_output=True,
                timeout=60,
                env={**os.environ, **settings_environment(self.settings)},
            )

        return await asyncio.to_thread(call)

    async def listed(self, *options: str) -> list[dict[str, object]]:
        done = await self.dlq("list", "--json", *options)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    async def windows(self, count: int) -> list[dict[str, object]]:
        consumer = make_consumer(self.settings.kafka, "windows", group_id=None)
        await consumer.start()
        try:
            async with asyncio.timeout(30):
                return [orjson.loads((await consumer.getone()).value) for _ in range(count)]
        finally:
            await consumer.stop()


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Running]:
    settings = Settings(kafka=embedded_kafka(free_port()))
    ready = folder / "worker.ready"
    command = [sys.executable, "-m", "limelight.streams.cli", "worker"]
    command += ["--data-dir", str(folder / "worker"), "--ready-file", str(ready)]
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(embedded_broker(settings.kafka, folder / "broker.log"))
        worker = await stack.enter_async_context(
            child_process("worker", command, folder / "worker.log", settings_environment(settings))
        )
        await worker.wait_until(asyncio.create_task(_until_exists(ready)))
        producer = make_producer(settings.kafka)
        await producer.start()
        stack.push_async_callback(producer.stop)

        async def send(topic: str, value: bytes, headers: Headers | None = None) -> None:
            await producer.send_and_wait(topic, value, partition=HOME, headers=headers or [])

        yield Running(settings, send)


async def _until_exists(file: Path) -> None:
    async with asyncio.timeout(60):
        while not file.exists():
            await asyncio.sleep(0.05)


@pytest.mark.broker
async def test_a_broken_comment_is_listed_shown_repaired_and_counted_once(tmp_path: Path) -> None:
    async with running(tmp_path) as system:
        at = STARTED_MS + 1_000
        await system.send("comments", orjson.dumps(GOOD | {"event_time_ms": at}))
        pair = [GOOD | {"event_time_ms": at + 1, "text": "beside"}, BROKEN | {"event_time_ms": at}]
        await system.send("comments", orjson.dumps(pair))
        await system.send("comments", TOO_LONG)
        broken, too_long = f"comments/{HOME}@1#1", f"comments/{HOME}@2"

        async with asyncio.timeout(30):
            while len(listed := await system.listed()) < 2:
                pass
        assert [letter["id"] for letter in listed] == [broken, too_long]
        assert listed[0]["room_id"] == "room"
        assert "text: found 5, expected" in str(listed[0]["reason"])
        chosen, shown, shown_long, refused = await asyncio.gather(
            system.listed("--reason", "1200 COMMENTS"),
            system.dlq("show", broken, "--value"),
            system.dlq("show", too_long, "--value"),
            system.dlq("replay", broken),
        )
        assert [letter["id"] for letter in chosen] == [too_long]
        assert json.loads(shown.stdout) == pair[1]
        # Longer than what a letter carries: read again from where it came from.
        assert len(TOO_LONG) > MAX_CARRIED_BYTES
        assert shown_long.stdout == TOO_LONG
        assert refused.returncode == 1
        assert b"not sent, text: found 5, expected" in refused.stdout

        repaired = tmp_path / "repaired.json"
        fixed = json.loads(shown.stdout) | {"text": "repaired"}
        repaired.write_bytes(orjson.dumps(fixed))
        sent = await system.dlq("replay", broken, "--value", str(repaired))
        assert (sent.returncode, sent.stderr) == (0, b"")
        assert "is in `late`" in sent.stdout.decode()
        assert f"{broken}: sent" in sent.stdout.decode()

        again, everything, rest, hidden = await asyncio.gather(
            system.dlq("replay", broken, "--value", str(repaired)),
            system.dlq("replay", "--all", "--reason", "text: found"),
            system.listed(),
            system.listed("--replayed"),
        )
        assert again.returncode == 1
        assert b"replayed before" in again.stdout
        assert everything.stdout.startswith(b"0 sent, 0 refused.")
        assert [letter["id"] for letter in rest] == [too_long]
        assert [letter["replayed"] for letter in hidden] == [True, False]

        for topic in MODALITY_TOPICS:
            await system.send(topic, b"", Watermark(STARTED_MS + 32_000).encode())
        (window,) = await system.windows(1)
        (segment,) = window["segments"]  # type: ignore[misc]
        assert sorted(segment["comments"]) == ["beside", "good", "repaired"]
        assert (segment["comment_count"], segment["user_count"]) == (3, 2)


@pytest.mark.broker
async def test_a_long_message_that_is_gone_from_its_topic_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letter_log, "READ_TIMEOUT_S", 1.0)
    kafka = embedded_kafka(free_port())
    async with embedded_broker(kafka, tmp_path / "broker.log"):
        value = encode_dead_letter(Origin("comments", 0, 99), "why", b"x" * 300_000, {})
        producer = make_producer(kafka)
        await producer.start()
        # Twice, as after a crash, and beside something that is no letter.
        for record in (value, value, b"junk"):
            await producer.send_and_wait("dlq", record, partition=1)
        await producer.stop()
        async with DeadLetterLog(kafka) as log:
            (letter,) = await log.letters()
            assert log.unreadable == 1
            with pytest.raises(LetterGone, match="found 256000 of 300000 bytes"):
                await log.whole_letter(letter)


def test_a_replay_of_everything_and_of_one_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "limelight.streams.cli", "dlq", "replay", "--all", "comments/0@1"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "found both or neither of ID and --all" in done.stderr
