"""A worker under pressure: the broker stands still, the receiver hangs, a room or a user floods.

The worker is a process of its own on the embedded broker; no engine runs, for it would share the
processors. Load is that of `limelight load`, features, speech and comments, in real time.
"""

import asyncio
import base64
import math
import os
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import orjson
from aiohttp import web
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from limelight.replay.live_run import running_task
from limelight.replay.load import MARK_INTERVAL_MS, SLICE_MS, LoadOptions, LoadRooms
from limelight.replay.script import ScriptedMessage
from limelight.replay.system import LiveSystem
from limelight.streams.broker import embedded_broker, embedded_kafka, free_port
from limelight.streams.kafka import make_consumer
from limelight.streams.settings import (
    AssemblerSettings,
    KafkaSettings,
    MetricsSettings,
    PushSettings,
    Settings,
)
from limelight.streams.topics import partition_of
from tests.bench.result import Result
from tests.chaos.proxy import Proxy, running_proxy

ROOMS = 200
FLOOD_A_SECOND = 2_000
FLOODED_ROOM = "flooded"
SEGMENT_MS = 10_000
# How far marks of lists stay behind; see `LoadRooms.marks`.
LISTS_BEHIND_MS = 5_000
WARM_UP_S, FAULT_S, AFTER_S = 40, 60, 60
HIGHLIGHTS_A_SECOND, HIGHLIGHT_ROOMS = 100, 50
# Each phase is measured from when what the phase before left open has closed.
PHASE_S, SETTLING_S, ROUNDS = 40, 18, 3
MIB = 1 << 20


def run() -> Result:
    rows: list[tuple[str | float, ...]] = []
    with TemporaryDirectory() as folder:
        for name, scenario in (("stall", _broker_stalls), ("hang", _receiver_hangs)):
            rows.append(asyncio.run(scenario(Path(folder) / name)))
        rows += asyncio.run(_floods(Path(folder) / "floods"))
    settings = Settings()
    return Result(
        title="A worker under pressure",
        columns=(
            "what",
            "RSS before MB",
            "most during MB",
            "most after MB",
            "close to window p50 ms",
            "p99 ms",
            "CPU %",
            "told",
        ),
        rows=tuple(rows),
        note=(
            f"{ROOMS} rooms in real time, comments in lists, segments of {SEGMENT_MS // 1000} s, 4"
            " partitions, embedded broker, one worker, no engine. Close to window: from sending the"
            " mark that closes a segment until its window is read from Kafka, of all rooms but the"
            f" flooded one. The broker stands still for {FAULT_S} s: a proxy holds every byte of"
            " every client, the load included, which catches up afterwards; the latencies are of"
            f" before. The receiver accepts and does not answer for {FAULT_S} s while"
            f" {HIGHLIGHTS_A_SECOND} highlights a second of {HIGHLIGHT_ROOMS} rooms come, with"
            f" push.max_events_in_flight {settings.push.max_events_in_flight}; the latencies are"
            f" of that time. Floods: {FLOOD_A_SECOND:,} comments a second in one more room, by as"
            f" many users or by one, {ROUNDS} rounds of {PHASE_S - SETTLING_S} s in one process"
            " taking turns with a calm time: minimum / median of the rounds. The machine was"
            " shared, with other measurements and the load itself."
        ),
    )


@dataclass
class Watch:
    """What a system does while it is watched."""

    pid: int
    sent_s: dict[int, float] = field(default_factory=dict)
    # When each window was read, its latency in ms; the flooded room's apart.
    latencies: list[tuple[float, float]] = field(default_factory=list)
    flooded_windows: int = 0
    memory: list[tuple[float, float]] = field(default_factory=list)
    cpu: list[tuple[float, float]] = field(default_factory=list)

    async def sample(self) -> None:
        """Resident memory in bytes and processor time in s, twice a second, for ever."""
        page, tick = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")
        while True:
            pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
            ticks = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
            self.memory.append((time.monotonic(), int(pages) * page))
            self.cpu.append((time.monotonic(), sum(map(int, ticks)) / tick))
            await asyncio.sleep(0.5)

    async def read_windows(self, kafka: KafkaSettings) -> None:
        consumer = make_consumer(kafka, "windows", group_id=None)
        await consumer.start()
        try:
            async for record in consumer:
                window = orjson.loads(record.value)
                if window["room_id"] == FLOODED_ROOM:
                    self.flooded_windows += 1
                    continue
                end_ms = window["segments"][-1]["start_ms"] + SEGMENT_MS
                closing_ms = end_ms + AssemblerSettings().allowed_lateness_ms + LISTS_BEHIND_MS
                mark_ms = math.ceil(closing_ms / MARK_INTERVAL_MS) * MARK_INTERVAL_MS
                if mark_ms in self.sent_s:
                    now_s = time.monotonic()
                    self.latencies.append((now_s, (now_s - self.sent_s[mark_ms]) * 1000))
        finally:
            await consumer.stop()

    def most_mb(self, begin_s: float, end_s: float) -> float:
        return round(max(value for at, value in self.memory if begin_s <= at < end_s) / MIB, 1)

    def percentile_ms(self, percent: float, begin_s: float, end_s: float) -> float:
        found = [value for at, value in self.latencies if begin_s <= at < end_s]
        return round(float(np.percentile(found, percent)), 1) if found else math.nan

    def cpu_percent(self, begin_s: float, end_s: float) -> float:
        inside = [(at, used) for at, used in self.cpu if begin_s <= at < end_s]
        (first_s, first), (last_s, last) = inside[0], inside[-1]
        return round(100 * (last - first) / (last_s - first_s), 1)


@dataclass
class Load:
    """The rooms of a load in real time, and a further room that floods while `flood` is set."""

    kafka: KafkaSettings
    watch: Watch
    flood: str = ""
    behind_s: float = 0.0

    async def send(self) -> None:
        base_ms = int(time.time()) * 1000
        options = LoadOptions(rooms=ROOMS, seconds=1, base_ms=base_ms)
        rooms = LoadRooms(options, segment_ms=SEGMENT_MS, partitions=self.kafka.partitions)
        producer = AIOKafkaProducer(
            bootstrap_servers=self.kafka.bootstrap_servers,
            linger_ms=5,
            max_batch_size=500_000,
            # It outlasts a broker that stands still, as a gateway's should.
            request_timeout_ms=300_000,
        )
        await producer.start()
        started_s, at_ms = time.monotonic(), base_ms
        try:
            while True:
                wait_s = started_s + (at_ms - base_ms) / 1000 - time.monotonic()
                self.behind_s = max(0.0, -wait_s)
                await asyncio.sleep(max(0.0, wait_s))
                marks = rooms.marks(at_ms) if at_ms % MARK_INTERVAL_MS == 0 else []
                for each in [*marks, *rooms.slice(at_ms), *self._flood(at_ms, base_ms)]:
                    await producer.send(
                        each.topic,
                        each.value,
                        key=each.key,
                        partition=each.partition,
                        headers=each.headers,
                    )
                if marks:
                    self.watch.sent_s[at_ms] = time.monotonic()
                at_ms += SLICE_MS
        finally:
            await producer.stop()

    def _flood(self, at_ms: int, base_ms: int) -> Iterator[ScriptedMessage]:
        if not self.flood:
            return
        count = FLOOD_A_SECOND * SLICE_MS // 1000
        comments = [
            b'{"room_id":"%s","room_started_ms":%d,"event_time_ms":%d,"text":"%d","user":"%s"}'
            % (
                FLOODED_ROOM.encode(),
                base_ms,
                at_ms,
                at_ms + number,
                b"one" if self.flood == "user" else b"%d-%d" % (at_ms, number),
            )
            for number in range(count)
        ]
        partition = partition_of(FLOODED_ROOM, self.kafka.partitions)
        value = b"[" + b",".join(comments) + b"]"
        yield ScriptedMessage(at_ms, "comments", partition, FLOODED_ROOM.encode(), value, [])


@dataclass
class Running:
    """A worker under load; `proxy` stands before the broker."""

    system: LiveSystem
    proxy: Proxy
    watch: Watch
    load: Load

    async def rest(self, seconds: float) -> tuple[float, float]:
        """Let it go on; the time from and to."""
        begin_s = time.monotonic()
        await asyncio.sleep(seconds)
        return begin_s, time.monotonic()

    def counter(self, name: str, **labels: str) -> float:
        url = f"http://127.0.0.1:{self.system.settings.metrics.port}/metrics"
        with urllib.request.urlopen(url) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


@asynccontextmanager
async def _running(folder: Path, push: PushSettings) -> AsyncIterator[Running]:
    known, hidden = free_port(), free_port()
    kafka = embedded_kafka(known)
    settings = Settings(
        kafka=kafka,
        push=push,
        assembler=AssemblerSettings(segment_ms=SEGMENT_MS),
        metrics=MetricsSettings(port=free_port()),
    )
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(running_proxy(known, hidden))
        await stack.enter_async_context(
            embedded_broker(kafka, folder / "broker.log", listen=f"127.0.0.1:{hidden}")
        )
        system = LiveSystem(settings, folder, stack)
        await system.start("worker")
        watch = Watch(system.running["worker"].process.pid)
        load = Load(kafka, watch)
        for work in (watch.sample(), watch.read_windows(kafka), load.send()):
            await stack.enter_async_context(running_task(work))
        yield Running(system, proxy, watch, load)


async def _broker_stalls(folder: Path) -> tuple[str | float, ...]:
    async with _running(folder, PushSettings()) as running:
        watch = running.watch
        before = await running.rest(WARM_UP_S)
        measured = (before[0] + SETTLING_S, before[1])
        during_s = time.monotonic()
        await running.proxy.hold_up(FAULT_S)
        during = (during_s, time.monotonic())
        after = await running.rest(AFTER_S)
        running.system.check()
        told = f"load {running.load.behind_s:.0f} s behind at the end"
        return (
            f"broker stands still for {FAULT_S} s",
            watch.most_mb(*measured),
            watch.most_mb(*during),
            watch.most_mb(*after),
            watch.percentile_ms(50, *measured),
            watch.percentile_ms(99, *measured),
            watch.cpu_percent(*during),
            told,
        )


async def _receiver_hangs(folder: Path) -> tuple[str | float, ...]:
    answers, answered = asyncio.Event(), 0
    answers.set()

    async def answer(request: web.Request) -> web.Response:
        nonlocal answered
        await request.read()
        await answers.wait()
        answered += 1
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    push = PushSettings(
        endpoint=f"http://127.0.0.1:{port}/",
        secret=SecretStr("whsec_" + base64.b64encode(b"a secret of 24 bytes ...").decode()),
        allow_private_addresses=True,
    )
    try:
        async with _running(folder, push) as running:
            watch = running.watch
            async with running_task(_highlights(running.system.settings.kafka)):
                before = await running.rest(WARM_UP_S)
                answers.clear()
                during = await running.rest(FAULT_S)
                hung = answered
                answers.set()
            after = await running.rest(AFTER_S)
            running.system.check()
            rejected = running.counter("limelight_dead_letters_total", topic="highlights")
            return (
                f"receiver hangs for {FAULT_S} s",
                watch.most_mb(before[0] + SETTLING_S, before[1]),
                watch.most_mb(*during),
                watch.most_mb(*after),
                watch.percentile_ms(50, *during),
                watch.percentile_ms(99, *during),
                watch.cpu_percent(*during),
                f"{answered - hung} requests answered afterwards, {rejected:.0f} in dlq",
            )
    finally:
        await runner.cleanup()


async def _highlights(kafka: KafkaSettings) -> None:
    """Events of many rooms straight onto their topic, of some 4 kB each."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers)
    await producer.start()
    try:
        for number in range(1 << 31):
            room = f"room-{number % HIGHLIGHT_ROOMS}"
            data = {"room_id": room, "timings": {}, "reason": "x" * 4_000}
            event = {"specversion": "1.0", "id": f"{room}/{number}/opened", "data": data}
            partition = partition_of(room, kafka.partitions)
            await producer.send("highlights", orjson.dumps(event), partition=partition)
            await asyncio.sleep(1 / HIGHLIGHTS_A_SECOND)
    except KafkaError:
        return
    finally:
        await producer.stop()


async def _floods(folder: Path) -> list[tuple[str | float, ...]]:
    names = {"": "calm", "room": "one room floods", "user": "one user floods"}
    found: dict[str, list[tuple[float, ...]]] = {flood: [] for flood in names}
    async with _running(folder, PushSettings()) as running:
        watch = running.watch
        await running.rest(WARM_UP_S)
        for _ in range(ROUNDS):
            for flood in names:
                calm_mb = watch.most_mb(time.monotonic() - 5, time.monotonic())
                capped = running.counter("limelight_comments_capped_total", by=flood)
                running.load.flood = flood
                begin_s, end_s = await running.rest(PHASE_S)
                running.load.flood = ""
                measured = (begin_s + SETTLING_S, end_s)
                after = await running.rest(SETTLING_S)
                capped = running.counter("limelight_comments_capped_total", by=flood) - capped
                found[flood].append(
                    (
                        calm_mb,
                        watch.most_mb(begin_s, end_s),
                        watch.most_mb(*after),
                        watch.percentile_ms(50, *measured),
                        watch.percentile_ms(99, *measured),
                        watch.cpu_percent(*measured),
                        capped,
                    )
                )
        running.system.check()
    rows: list[tuple[str | float, ...]] = []
    for flood, name in names.items():
        columns = list(zip(*found[flood], strict=True))
        cells = [f"{min(values):g} / {median(values):g}" for values in columns[:-1]]
        capped = f"{sum(columns[-1]):,.0f} counted and not kept, by {flood}" if flood else ""
        rows.append((name, *cells, capped))
    return rows
