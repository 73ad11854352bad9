"""A receiver that fails for good: its events are in `dlq` with the reason, other rooms go on."""

import asyncio
import base64
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from pydantic import SecretStr

from limelight.replay.demo_state import DemoState
from limelight.replay.observer import observe
from limelight.streams.broker import embedded_broker, embedded_kafka, free_port
from limelight.streams.child import child_process
from limelight.streams.detection import HighlightEvent, Kind
from limelight.streams.highlight_records import encode_highlight
from limelight.streams.kafka import make_producer
from limelight.streams.receiver import Receiver
from limelight.streams.settings import PushSettings, Settings, settings_environment
from limelight.streams.topics import partition_of

pytestmark = pytest.mark.broker

SECRET = "whsec_" + base64.b64encode(b"a secret of 24 bytes ...").decode()
STARTED_MS = 1_700_000_000_000
ANSWERS = {"broken": 500, "over": 410}  # every other room's events are taken


def make_event(room_id: str, kind: Kind) -> bytes:
    event = HighlightEvent(
        kind=kind,
        event_id=f"{room_id}/{kind}",
        highlight_id=f"{room_id}/1",
        room_id=room_id,
        streamer_id="s",
        segment_index=1,
        segment_end_ms=STARTED_MS + 60_000,
        start_ms=STARTED_MS + 30_000,
        end_ms=STARTED_MS + 60_000,
        baseline=0.5,
        peak={"value": 0.9, "comment_count": 60, "strongest_comments": ["wow"]},
        decided_by="energy",
        model_version="energy",
    )
    return encode_highlight(event, {"closed_at_ms": 1})


@dataclass
class Played:
    """What was sent where, what the receiver was asked, and what became of it."""

    state: DemoState = field(default_factory=lambda: DemoState({}))
    asked: list[str] = field(default_factory=list)
    delivered: list[str] = field(default_factory=list)
    sent: dict[str, tuple[bytes, int, int]] = field(
        default_factory=dict
    )  # value, partition, offset

    def answer(self, event: dict[str, Any]) -> int:
        self.asked.append(event["id"])
        return ANSWERS.get(event["data"]["room_id"], 204)

    async def send(self, producer: AIOKafkaProducer, room_id: str, *kinds: Kind) -> None:
        for kind in kinds:
            value, partition = make_event(room_id, kind), partition_of(room_id, 4)
            record = await producer.send_and_wait("highlights", value, partition=partition)
            self.sent[f"{room_id}/{kind}"] = value, partition, record.offset

    async def until(self, delivered: int, dead_letters: int) -> None:
        def has_come() -> bool:
            letters = self.state.dead_letters
            return len(self.delivered) >= delivered and len(letters) >= dead_letters

        await wait_until(has_come, f"{delivered} delivered and {dead_letters} dead letters")

    def reasons(self) -> dict[str, str]:
        """Why each event is in `dlq`, by its id."""
        return {
            orjson.loads(base64.b64decode(letter["value_base64"]))["id"]: letter["reason"]
            for letter in self.state.dead_letters
        }


async def wait_until(has_come: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + 30
    while not has_come():
        assert time.monotonic() < deadline_s, f"waited too long for {what}"
        await asyncio.sleep(0.05)


@asynccontextmanager
async def running_worker(push: PushSettings, logs: Path) -> AsyncIterator[Settings]:
    """A broker and a worker without an engine, for nothing is scored here."""
    settings = Settings(kafka=embedded_kafka(free_port()), push=push)
    ready_file = logs / "worker.ready"
    command = [sys.executable, "-m", "limelight.streams.cli", "worker"]
    command += ["--data-dir", str(logs / "worker"), "--ready-file", str(ready_file)]
    environment = settings_environment(settings)
    async with (
        embedded_broker(settings.kafka, logs / "broker.log"),
        child_process("worker", command, logs / "worker.log", environment) as worker,
    ):
        ready = wait_until(ready_file.exists, "the worker")
        await worker.wait_until(asyncio.create_task(ready))
        yield settings


async def play(logs: Path) -> Played:
    played = Played()
    receiver = Receiver(SECRET, lambda event: played.delivered.append(event["id"]), played.answer)
    runner, port = await receiver.start("127.0.0.1", 0)
    push = PushSettings(
        endpoint=f"http://127.0.0.1:{port}/",
        secret=SecretStr(SECRET),
        allow_private_addresses=True,
        max_attempts=2,
        first_backoff_s=0.05,
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        settings = await stack.enter_async_context(running_worker(push, logs))
        observing = asyncio.create_task(observe(settings.kafka, played.state))
        stack.push_async_callback(asyncio.wait, [observing])
        stack.callback(observing.cancel)
        producer = make_producer(settings.kafka)
        await producer.start()
        stack.push_async_callback(producer.stop)
        await played.send(producer, "broken", "opened", "closed")
        await played.send(producer, "fine", "opened")
        await played.until(delivered=1, dead_letters=2)
        await runner.cleanup()
        await played.send(producer, "unheard", "opened")
        await played.until(delivered=1, dead_letters=3)
        runner, _ = await receiver.start("127.0.0.1", port)
        stack.push_async_callback(runner.cleanup)
        await played.send(producer, "fine", "updated")
        await played.until(delivered=2, dead_letters=3)
        await played.send(producer, "over", "opened")
        await played.until(delivered=2, dead_letters=4)
        await played.send(producer, "fine", "closed")
        await played.until(delivered=2, dead_letters=5)
    return played


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return asyncio.run(play(tmp_path_factory.mktemp("down")))


def test_every_event_that_was_not_delivered_is_in_dlq_with_why(played: Played) -> None:
    gave_up = "gave up after 2 attempts: 127.0.0.1"
    expected = {
        "broken/opened": f"{gave_up} answered 500 'told to fail', expected 2xx",
        "broken/closed": f"{gave_up} answered 500 'told to fail', expected 2xx",
        "unheard/opened": f"{gave_up} could not be reached: ",
        "over/opened": "endpoint switched off: 127.0.0.1 answered 410",
        "fine/closed": "endpoint switched off: 127.0.0.1 answered 410",
    }
    reasons = played.reasons()
    assert reasons.keys() == expected.keys()
    assert len(played.state.dead_letters) == len(expected)
    for event_id, reason in expected.items():
        assert reasons[event_id].startswith(reason)


def test_a_dead_letter_carries_the_event_and_its_place(played: Played) -> None:
    found = {
        orjson.loads(base64.b64decode(letter["value_base64"]))["id"]: letter
        for letter in played.state.dead_letters
    }
    for event_id, letter in found.items():
        value, partition, offset = played.sent[event_id]
        assert base64.b64decode(letter["value_base64"]) == value
        assert (letter["topic"], letter["partition"], letter["offset"]) == (
            "highlights",
            partition,
            offset,
        )


def test_a_room_is_tried_in_order_and_what_can_be_delivered_is_delivered_once(
    played: Played,
) -> None:
    broken = [event_id for event_id in played.asked if event_id.startswith("broken/")]
    assert broken == ["broken/opened"] * 2 + ["broken/closed"] * 2
    assert played.delivered == ["fine/opened", "fine/updated"]


def test_after_410_the_receiver_is_asked_no_more(played: Played) -> None:
    assert played.asked[-1] == "over/opened"
    assert played.asked.count("over/opened") == 1
