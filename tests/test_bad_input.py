"""Bad input to the running system: it says what and where, and everything else goes on."""

import asyncio
import base64
import struct
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c
from pydantic import SecretStr

from limelight.engine.settings import EngineSettings
from limelight.replay.demo_state import DemoState
from limelight.replay.observer import observe
from limelight.replay.system import running_system
from limelight.streams.broker import free_port
from limelight.streams.kafka import make_producer
from limelight.streams.receiver import Receiver
from limelight.streams.records import Comment, FrameHeaders, RoomEnd, Watermark, to_json
from limelight.streams.settings import PushSettings, Settings
from limelight.streams.topics import MARKED_SOURCE_TOPICS, partition_of

SECRET = "whsec_" + base64.b64encode(b"a secret of 24 bytes ...").decode()
STARTED_MS = 1_700_000_000_000
SEGMENTS = 9
BURST_SEGMENT = 6
# One for each kind of consumer: both of the engine's, and two agents of the worker.
UNREADABLE_NAMES = ("frames", "windows", "comments", "scores")


class FlakyReceiver:
    """Answers 500 to the first delivery of every event, and 204 from then on."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.refusals: set[str] = set()
        self.receiver = Receiver(SECRET, self.events.append, self._answer)

    def _answer(self, event: dict[str, Any]) -> int:
        if event["id"] in self.refusals:
            return 204
        self.refusals.add(event["id"])
        return 500


def comments_of(segment: int) -> bytes:
    count = 60 if segment == BURST_SEGMENT else 6
    return b"[%s]" % b",".join(
        to_json(
            Comment(
                room_id="room",
                room_started_ms=STARTED_MS,
                event_time_ms=STARTED_MS + segment * 30_000 + 100 * k,
                text=f"comment {k}",
                user=f"user {k}",
            )
        )
        for k in range(count)
    )


async def send_with_unreadable_header(
    producer: AIOKafkaProducer, topic: str, partition: int
) -> None:
    """An empty message whose header's name is no UTF-8, which aiokafka itself would not write."""
    batch = producer.create_batch()
    batch.append(key=None, value=b"", timestamp=None, headers=[("name", b"")])
    batch.close()
    data = bytearray(batch._build()).replace(b"name", b"\xff\xfe\xfd\xfc")
    data[17:21] = struct.pack(">I", calc_crc32c(data[21:]))
    batch._buffer = data
    await (await producer.send_batch(batch, topic, partition=partition))


async def send_all(settings: Settings) -> None:
    """A good room among bad messages on every topic, all on the room's own partition."""
    partitions = settings.kafka.partitions
    home = partition_of("room", partitions)
    producer = make_producer(settings.kafka)
    await producer.start()

    async def send(topic: str, value: bytes, headers=(), partition: int = home) -> None:
        await producer.send_and_wait(topic, value, partition=partition, headers=list(headers))

    await send("comments", b"{not json")
    await send("asr", b'{"room_id": "room", "start_ms": 9, "end_ms": 3, "text": "backward"}')
    await send("comments", orjson.dumps({"room_id": "room", "event_time_ms": -1, "text": "t"}))
    await send("comments", orjson.dumps({"room_id": "r", "event_time_ms": 1, "text": "x" * 5_000}))
    picture = FrameHeaders("room", "s", STARTED_MS, STARTED_MS).encode()
    await send("frames", b"no picture at all", picture)
    await send("frame-features", b"[]")
    await send("windows", b"\xff\xfe")
    await send("scores", b'{"id": 1}')
    await send("highlights", b"null")
    for topic in UNREADABLE_NAMES:
        await send_with_unreadable_header(producer, topic, home)
    for segment in range(SEGMENTS):
        await send("comments", comments_of(segment))
    end = RoomEnd("room", STARTED_MS + SEGMENTS * 30_000, STARTED_MS)
    await send("comments", b"", end.encode())
    mark = Watermark(STARTED_MS + 3_600_000).encode()
    for topic in MARKED_SOURCE_TOPICS:
        for partition in range(partitions):
            await send(topic, b"", mark, partition)
    await producer.stop()


async def play(logs: Path) -> tuple[DemoState, FlakyReceiver]:
    state = DemoState({})
    flaky = FlakyReceiver()
    runner, port = await flaky.receiver.start("127.0.0.1", 0)
    push = PushSettings(
        endpoint=f"http://127.0.0.1:{port}/",
        secret=SecretStr(SECRET),
        allow_private_addresses=True,
    )
    # Energy decides, so that the burst of comments is a highlight whatever a network thinks of it.
    settings = Settings(engine=EngineSettings(model="tiny-untrained"))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        system = await stack.enter_async_context(running_system(settings, push, logs))
        settings = system.settings
        observing = asyncio.create_task(observe(settings.kafka, state))
        stack.callback(observing.cancel)
        await send_all(settings)
        deadline_s = time.monotonic() + 60
        while time.monotonic() < deadline_s:
            finished = "room" in state.rooms and state.rooms["room"].finished
            if (
                finished
                and len(flaky.events) >= 2
                and len(state.dead_letters) >= 9 + len(UNREADABLE_NAMES)
            ):
                break
            await asyncio.sleep(0.1)
    return state, flaky


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[DemoState, FlakyReceiver]:
    return asyncio.run(play(tmp_path_factory.mktemp("bad")))


@pytest.mark.broker
def test_every_bad_message_is_in_dlq_with_its_topic_place_and_reason(played) -> None:
    state, _ = played
    home = partition_of("room", 4)
    expected = {
        ("comments", 0): "value: found b'{not json', expected JSON",
        ("comments", 1): "event_time_ms: found -1, expected",
        ("comments", 2): "text: found 5000 characters, expected at most 1000",
        ("asr", 0): "end_ms: found 3, expected at least start_ms 9",
        ("frames", 0): "expected one of JPEG, PNG, WEBP",
        ("frame-features", 0): "found a list, expected one JSON object",
        ("windows", 0): "window: found b'\\xff\\xfe', expected JSON",
        ("scores", 0): "score: room_id: found no such field, expected one",
        ("highlights", 0): "expected a CloudEvent",
        # Behind those above; their headers' names are nothing that anybody looks for.
        ("frames", 1): "header room_id: found ''",
        ("windows", 1): "window: found b'', expected JSON",
        ("comments", 3): "value: found nothing, expected JSON",
        ("scores", 1): "score: found 0 bytes",
    }
    found = {(letter["topic"], letter["offset"]): letter for letter in state.dead_letters}
    assert found.keys() == expected.keys()
    for place, reason in expected.items():
        assert reason in found[place]["reason"]
        assert found[place]["partition"] == home


@pytest.mark.broker
def test_every_entry_is_in_a_window_late_or_in_dlq(played) -> None:
    state, _ = played
    lines = state.accounts.lines()
    assert {topic: line.missing for topic, line in lines.items()} == dict.fromkeys(lines, 0)
    counts = {topic: (line.entered, line.passed_on, line.dead) for topic, line in lines.items()}
    comments = 60 + 6 * (SEGMENTS - 1)
    assert counts == {
        "frames": (2, 0, 2),
        "frame-features": (1, 0, 1),
        "asr": (1, 0, 1),
        "comments": (comments + 4, comments, 4),
        "windows": (SEGMENTS + 2, SEGMENTS, 2),
    }


@pytest.mark.broker
def test_the_room_among_them_is_scored_as_if_nothing_had_been(played) -> None:
    state, _ = played
    scores = state.rooms["room"].scores
    counts = [scores[index].reasons.comment_count for index in sorted(scores)]
    assert counts == [60 if k == BURST_SEGMENT else 6 for k in range(SEGMENTS)]
    assert [scores[index].final for index in sorted(scores)][-1]


@pytest.mark.broker
def test_a_receiver_that_fails_at_first_gets_each_event_once_and_in_order(played) -> None:
    _, flaky = played
    assert [event["data"]["kind"] for event in flaky.events] == ["opened", "closed"]
    assert len(flaky.refusals) == 2
    assert flaky.receiver.repeated == 0


def run_cli(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, "-m", "limelight.streams.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("command", [["worker"], ["engine"], ["replay", "RECORDING"]])
def test_without_a_broker_the_error_names_where_it_was_sought(command, tmp_path) -> None:
    from limelight.replay.demo import bundled_recordings

    recording = str(bundled_recordings()[0])
    arguments = [recording if word == "RECORDING" else word for word in command]
    port = free_port()
    done = run_cli(
        *arguments,
        LIMELIGHT_KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{port}",
        LIMELIGHT_KAFKA_CONNECT_TIMEOUT_S="0.5",
    )
    assert done.returncode == 1
    assert f"Kafka at 127.0.0.1:{port}: found no broker within 0.5 s" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["broker", "listen"])
def test_a_port_in_use_is_named(command, tmp_path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        extra = ["--log-file", str(tmp_path / "log")] if command == "broker" else []
        done = run_cli(command, "--port", port, *extra, LIMELIGHT_PUSH_SECRET=SECRET)
    assert done.returncode == 1
    assert f"found port {port} on 127.0.0.1 taken" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_metrics_port_is_named() -> None:
    import socket

    from limelight.streams import metrics
    from limelight.streams.settings import MetricsSettings

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"metrics.port {port}: found it taken"):
            metrics.serve(MetricsSettings(port=port))


def test_a_setting_that_cannot_be_is_named_without_a_traceback() -> None:
    done = run_cli("engine", LIMELIGHT_KAFKA_PARTITIONS="none")
    assert done.returncode == 2
    assert "Settings kafka.partitions" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_recording_that_is_none_is_named_before_anything_starts(tmp_path) -> None:
    done = run_cli("demo", "--recording", str(tmp_path), "--out", str(tmp_path / "out"))
    assert done.returncode == 1
    assert "recording.toml" in done.stderr
    assert "Traceback" not in done.stderr
