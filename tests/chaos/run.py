"""One run: the world goes through real processes while the schedule's faults happen to them."""

import asyncio
import base64
import contextlib
import os
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from pydantic import SecretStr

from limelight.engine.settings import EngineSettings
from limelight.replay.accounting import Accounts
from limelight.replay.direct import pass_directly
from limelight.replay.live_run import running_task
from limelight.replay.observer import observe
from limelight.replay.outcome import Outcome
from limelight.replay.script import ScriptedMessage
from limelight.replay.system import LiveSystem, running_system
from limelight.streams.broker import embedded_broker, free_port
from limelight.streams.child import Child, child_process
from limelight.streams.engine_process import load_networks
from limelight.streams.highlight_records import encode_highlight
from limelight.streams.kafka import make_producer
from limelight.streams.settings import KafkaSettings, PushSettings, Settings
from limelight.streams.topics import MODALITY_TOPICS
from tests.chaos.faults import FAULTS, Schedule, Stage, set_mode
from tests.chaos.proxy import Proxy, running_proxy
from tests.chaos.world import BASE_MS, END_MS, INTERVAL_MS, in_order, marks, world

SECRET = "whsec_" + base64.b64encode(b"a secret of 24 bytes ...").decode()
# Energy decides: a known burst is then a highlight, whatever a network thinks of it.
SETTINGS = Settings(engine=EngineSettings(model="tiny-untrained", torch_threads=1))
# Ten minutes of event time in twenty seconds.
SPEED = 30.0
QUIET_S = 3.0
# Longer than any pause that ends by itself: a rebalance after a lost session.
STUCK_S = 60.0


@dataclass(slots=True)
class Ran:
    """What came of a run."""

    outcome: Outcome = field(default_factory=Outcome)
    accounts: Accounts = field(default_factory=Accounts)
    delivered: list[str] = field(default_factory=list)
    delivered_again: int = 0
    new_scores_s: list[float] = field(default_factory=list)
    faults: list[tuple[str, float]] = field(default_factory=list)
    ended_by_themselves: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def see(self, topic: str, record: Any) -> None:
        self.accounts.see(topic, record)
        scores = len(self.outcome.scores)
        self.outcome.see(topic, record)
        if len(self.outcome.scores) > scores:
            self.new_scores_s.append(time.monotonic())

    def progress(self) -> tuple[int, ...]:
        events = sum(len(events) for events in self.outcome.highlights.values())
        windows, scores = len(self.outcome.windows), len(self.outcome.scores)
        return windows, scores, events, len(self.delivered)

    def pauses(self) -> list[tuple[str, float]]:
        """For each fault, the longest time without a new score from its beginning on, in s.

        Until the next fault; faults after the last score are left out.
        """
        found = []
        times = self.new_scores_s
        for number, (name, at_s) in enumerate(self.faults):
            end_s = self.faults[number + 1][1] if number + 1 < len(self.faults) else times[-1]
            gaps = [
                after - max(before, at_s)
                for before, after in zip([at_s, *times], times, strict=False)
                if after > at_s and before < end_s
            ]
            if gaps:
                found.append((name, max(gaps)))
        return found


def undisturbed() -> Outcome:
    """What the world comes to without processes, broker or faults: a pass in this process."""
    direct = pass_directly(in_order(1), SETTINGS, *load_networks(SETTINGS.engine))
    outcome = Outcome()
    for window in direct.windows.values():
        outcome.see_window(window)
    for score in direct.scores:
        outcome.see_score(score)
    for event in direct.highlights:
        outcome.see_highlight(encode_highlight(event, {}))
    return outcome


async def run(schedule: Schedule, seed: int, folder: Path) -> Ran:
    """Play the world under the schedule and wait until nothing changes any more."""
    folder.mkdir(parents=True, exist_ok=True)
    ran, rng, started_s = Ran(), random.Random(f"run {seed}"), time.monotonic()
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(_receiver(folder / "receiver"))
        push = PushSettings(
            endpoint=receiver.url,
            secret=SecretStr(SECRET),
            allow_private_addresses=True,
            timeout_s=5.0,
            max_attempts=40,
            first_backoff_s=0.2,
            max_backoff_s=2.0,
        )
        broker = _ProxiedBroker()
        system = await stack.enter_async_context(
            running_system(
                SETTINGS, push, folder / "logs", workers=schedule.workers, broker=broker.start
            )
        )
        kafka = system.settings.kafka
        stage = Stage(
            system, broker.proxy, receiver.folder, receiver.restart, kafka.session_timeout_s
        )
        async with (
            running_task(observe(kafka, ran)) as observing,
            running_task(_play(kafka, schedule.restless, rng)) as playing,
            running_task(_happen(schedule, stage, rng, ran)) as happening,
            running_task(_supervise(system, ran)) as supervising,
        ):
            await _until_quiet(ran, receiver, (observing, supervising), (playing, happening))
    ran.seconds = time.monotonic() - started_s
    return ran


class _ProxiedBroker:
    """The embedded broker behind a proxy, at the address that clients know."""

    proxy: Proxy

    @asynccontextmanager
    async def start(self, kafka: KafkaSettings, log_file: Path) -> AsyncIterator[Child]:
        hidden, known = free_port(), int(kafka.bootstrap_servers.rpartition(":")[2])
        async with (
            running_proxy(known, hidden) as self.proxy,
            embedded_broker(kafka, log_file, listen=f"127.0.0.1:{hidden}") as child,
        ):
            yield child


class _ReceiverProcess:
    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}/"
        self._child: Child | None = None

    async def start(self) -> None:
        command = [sys.executable, "-m", "tests.chaos.receiver", str(self._port), str(self.folder)]
        environment = {"CHAOS_SECRET": SECRET, "PYTHONPATH": os.pathsep.join(sys.path)}
        self._child = await self._stack.enter_async_context(
            child_process("receiver", command, self.folder / "receiver.log", environment)
        )

    async def restart(self, after_s: float) -> None:
        if self._child is not None:
            self._child.process.kill()
            await self._child.process.wait()
        await asyncio.sleep(after_s)
        await self.start()

    def taken(self) -> list[str]:
        journal = self.folder / "journal.txt"
        return journal.read_text().split("\n")[:-1] if journal.exists() else []


@asynccontextmanager
async def _receiver(folder: Path) -> AsyncIterator[_ReceiverProcess]:
    folder.mkdir(parents=True, exist_ok=True)
    set_mode(folder, fail=0.0, delay_s=0.0)
    async with AsyncExitStack() as stack:
        receiver = _ReceiverProcess(folder, stack)
        await receiver.start()
        yield receiver


async def _play(kafka: KafkaSettings, restless: bool, rng: random.Random) -> None:
    """Send the world, interval by interval; a mark follows when all before it has arrived."""
    messages = world(kafka.partitions)
    loop = asyncio.get_running_loop()
    producer = make_producer(kafka)
    await producer.start()
    try:
        started_s, place = loop.time(), 0
        for mark_ms in range(BASE_MS, END_MS + INTERVAL_MS, INTERVAL_MS):
            interval: list[ScriptedMessage] = []
            while place < len(messages) and messages[place].at_ms < mark_ms:
                interval.append(messages[place])
                place += 1
            if restless:
                interval += [each for each in interval if rng.random() < 0.3]
                rng.shuffle(interval)
            await asyncio.sleep(started_s + (mark_ms - BASE_MS) / 1000 / SPEED - loop.time())
            await _send(producer, interval)
            await _send(producer, list(marks(mark_ms, kafka.partitions)))
    finally:
        with contextlib.suppress(KafkaError):
            await producer.stop()


async def _send(producer: AIOKafkaProducer, messages: list[ScriptedMessage]) -> None:
    """Until the broker has all; what it may not have is sent again, as a gateway would."""
    while messages:
        sent = [
            await producer.send(
                each.topic, each.value, partition=each.partition, headers=each.headers
            )
            for each in messages
        ]
        results = await asyncio.gather(*sent, return_exceptions=True)
        messages = [
            each
            for each, result in zip(messages, results, strict=True)
            if isinstance(result, BaseException)
        ]


async def _happen(schedule: Schedule, stage: Stage, rng: random.Random, ran: Ran) -> None:
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    for planned in schedule.faults:
        await asyncio.sleep(started_s + planned.at_s - loop.time())
        stage.struck_s = time.monotonic()
        await FAULTS[planned.name](stage, rng)
        ran.faults.append((planned.name, stage.struck_s))


async def _supervise(system: LiveSystem, ran: Ran) -> None:
    """Start again what ends by itself, as systemd, Compose or Kubernetes would."""
    while True:
        await asyncio.sleep(0.2)
        for name, child in list(system.running.items()):
            if child.process.returncode is not None and name != "broker" and name != "worker-more":
                ran.ended_by_themselves.append(name)
                del system.running[name]
                await system.start(name)


async def _until_quiet(
    ran: Ran,
    receiver: _ReceiverProcess,
    endless: tuple[asyncio.Task[None], ...],
    ending: tuple[asyncio.Task[None], ...],
) -> None:
    """Until everything is sent, all faults are over, every event has come and nothing changes."""
    before, changed_s = ran.progress(), time.monotonic()
    while True:
        await asyncio.sleep(0.1)
        for task in (*endless, *ending):
            if task.done():
                task.result()
        ran.delivered = receiver.taken()
        if ran.progress() != before:
            before, changed_s = ran.progress(), time.monotonic()
        if not all(task.done() for task in ending):
            changed_s = time.monotonic()
        quiet_s = time.monotonic() - changed_s
        windows, scores, events, delivered = before
        entered = ran.accounts.lines()
        complete = (
            all(entered[topic].missing == 0 for topic in MODALITY_TOPICS)
            and windows == scores
            and delivered == events
        )
        if quiet_s > (QUIET_S if complete else STUCK_S):
            asked = receiver.folder / "asked.txt"
            lines = asked.read_text().splitlines() if asked.exists() else []
            ran.delivered_again = len(lines) - len(ran.delivered)
            return
