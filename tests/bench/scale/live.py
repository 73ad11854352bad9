"""Workers under the load of live rooms, in real time: processor, memory, and how late windows are.

The first core is the first worker's alone. Broker, load and whoever reads the windows share the
others; with as many workers as cores they share those with the workers.
"""

import asyncio
import math
import os
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from aiokafka import TopicPartition

from limelight.replay.live_run import running_task
from limelight.replay.load import MARK_INTERVAL_MS, SLICE_MS, LoadOptions, LoadRooms, load_slices
from limelight.replay.load_sender import send_load
from limelight.replay.system import LiveSystem
from limelight.streams.broker import embedded_broker, embedded_kafka, free_port
from limelight.streams.kafka import make_consumer
from limelight.streams.settings import KafkaSettings, Settings
from tests.bench.scale.history import write_history
from tests.bench.scale.processes import Usage, all_cores, busy_s, on_cores

# Marks of lists stay five seconds behind; see `LoadRooms.marks`.
LISTS_BEHIND_MS = 5_000
BASE_MS = 1_700_000_000_000
# The first seconds are left out: caches fill, and Faust's commits begin.
WARM_UP_S = 15
_PATIENCE_S = 30
# A worker that is given partitions by a second one gives them up within this time.
_SHARING_S = 12


@dataclass(frozen=True, slots=True)
class Live:
    """What workers took for some rooms; `latencies_ms` from the closing mark's send to the read."""

    rooms: int
    cores: float
    memory_mb: float
    broker_mb: float
    windows: int
    windows_missing: int
    latencies_ms: list[float]
    most_behind_s: float
    # Taken by programs that have nothing to do with the measurement.
    strange_cores: float

    def summary(self) -> str:
        return (
            f"{self.rooms} rooms: {self.cores:.3f} cores, {self.memory_mb:.0f} MB, {self.windows}"
            f" windows, {self.windows_missing} missing, p99 {self.percentile_ms(99):.0f} ms; broker"
            f" {self.broker_mb:.0f} MB, load at most {self.most_behind_s:.2f} s behind, others"
            f" {self.strange_cores:.2f} cores"
        )

    def percentile_ms(self, percent: float) -> float:
        return float(np.percentile(self.latencies_ms, percent)) if self.latencies_ms else math.nan


async def run_live(
    rooms: int, *, workers: int, feature_size: int, seconds: int, folder: Path
) -> Live:
    """Measure workers that are on air with `rooms` rooms for some seconds."""
    kafka = embedded_kafka(free_port())
    settings = Settings(kafka=kafka)
    options = LoadOptions(rooms, seconds, BASE_MS, feature_size=feature_size)
    segment_ms = settings.assembler.segment_ms
    cores = all_cores()
    others = cores[1:] if len(cores) > workers else cores
    folder.mkdir(parents=True)
    async with AsyncExitStack() as stack:
        with on_cores(*others):
            broker = await stack.enter_async_context(embedded_broker(kafka, folder / "broker.log"))
            await write_history(options, settings.assembler, kafka)
        system = LiveSystem(settings, folder, stack)
        names = ["worker", *(f"worker-{number}" for number in range(2, workers + 1))]
        for name, core in zip(names, cores, strict=False):
            with on_cores(core):
                await system.start(name)
        if workers > 1:
            await asyncio.sleep(_SHARING_S)
        stack.enter_context(on_cores(*others))
        watch = _Watch(LoadRooms(options, segment_ms=segment_ms, partitions=1), settings, seconds)
        await stack.enter_async_context(running_task(watch.read_windows(kafka)))
        pids = [system.running[name].process.pid for name in names]
        load = asyncio.create_task(
            send_load(
                load_slices(options, segment_ms=segment_ms, partitions=kafka.partitions),
                kafka,
                base_ms=BASE_MS,
                slice_ms=SLICE_MS,
                speed=1.0,
                on_sending=watch.sending,
            )
        )
        await asyncio.sleep(WARM_UP_S)
        helpers = [broker.process.pid, os.getpid()]
        began_s, began = time.monotonic(), [Usage.of(pid) for pid in pids]
        began_busy_s = busy_s() - sum(Usage.of(pid).cpu_s for pid in pids + helpers)
        sent = await load
        ended_s, ended = time.monotonic(), [Usage.of(pid) for pid in pids]
        ended_busy_s = busy_s() - sum(Usage.of(pid).cpu_s for pid in pids + helpers)
        await watch.wait()
        system.check()
        used_s = sum(each.cpu_s for each in ended) - sum(each.cpu_s for each in began)
        return Live(
            rooms,
            used_s / (ended_s - began_s),
            sum(each.memory_mb for each in ended),
            Usage.of(broker.process.pid).memory_mb,
            len(watch.latencies_ms),
            watch.expected - len(watch.latencies_ms),
            watch.latencies_ms,
            sent.most_behind_s,
            (ended_busy_s - began_busy_s) / (ended_s - began_s),
        )


async def idle_memory_mb(folder: Path) -> float:
    """Resident memory of a worker that has no rooms."""
    kafka = embedded_kafka(free_port())
    folder.mkdir(parents=True)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(embedded_broker(kafka, folder / "broker.log"))
        system = LiveSystem(Settings(kafka=kafka), folder, stack)
        await system.start("worker")
        await asyncio.sleep(5)
        return Usage.of(system.running["worker"].process.pid).memory_mb


class _Watch:
    """When marks were sent, and when the windows that they closed were read."""

    def __init__(self, rooms: LoadRooms, settings: Settings, seconds: int) -> None:
        self.latencies_ms: list[float] = []
        self._segment_ms = segment_ms = settings.assembler.segment_ms
        self._lateness_ms = settings.assembler.allowed_lateness_ms
        self._window_length = settings.assembler.window_length
        self._sent_s: dict[int, float] = {}
        self._done = asyncio.Event()
        self._begin_ms = BASE_MS + WARM_UP_S * 1_000
        self._end_ms = BASE_MS + seconds * 1_000
        self.expected = 0
        for started_ms in rooms.started_ms.tolist():
            phase_ms = (started_ms - BASE_MS) % segment_ms
            for end_ms in range(BASE_MS + phase_ms, self._end_ms, segment_ms):
                self.expected += self._counts(self._closing_mark_ms(end_ms))

    def _closing_mark_ms(self, end_ms: int) -> int:
        """The first mark that lets a segment close, by the topic whose marks are furthest back."""
        closing_ms = end_ms + self._lateness_ms + LISTS_BEHIND_MS
        return -(-closing_ms // MARK_INTERVAL_MS) * MARK_INTERVAL_MS

    def _counts(self, mark_ms: int) -> bool:
        return self._begin_ms <= mark_ms <= self._end_ms

    def sending(self, until_ms: int) -> None:
        """Called right before what is older than `until_ms` is sent, marks included."""
        newest_ms = (until_ms - 1) // MARK_INTERVAL_MS * MARK_INTERVAL_MS
        self._sent_s.setdefault(newest_ms, time.monotonic())

    async def read_windows(self, kafka: KafkaSettings) -> None:
        consumer = make_consumer(kafka, "windows", group_id=None)
        await consumer.start()
        try:
            while True:
                batches: Mapping[TopicPartition, list[Any]] = await consumer.getmany(timeout_ms=500)
                now_s = time.monotonic()
                for record in (each for records in batches.values() for each in records):
                    # {"schema":1,"id":"load-000001/1700000000000/window",...
                    start_ms = int(record.value[:80].split(b"/")[1])
                    mark_ms = self._closing_mark_ms(start_ms + self._segment_ms)
                    assert record.value.count(b'"frame_times_ms"') == self._window_length
                    if self._counts(mark_ms):
                        self.latencies_ms.append((now_s - self._sent_s[mark_ms]) * 1_000)
                if len(self.latencies_ms) >= self.expected:
                    self._done.set()
        finally:
            await consumer.stop()

    async def wait(self) -> None:
        """Wait until all windows that are expected have been read, or for half a minute."""
        try:
            await asyncio.wait_for(self._done.wait(), _PATIENCE_S)
        except TimeoutError:
            return
