"""From a segment's close to its score, through Kafka, at most of what one engine can do.

A real engine process on a core of its own; broker, load and reader share the other. First every
room's first window comes at once, as after a restart; then so many windows at once that the engine
is never idle, which gives its capacity; then windows at four fifths of that, evenly spaced, each
due at its time whether or not those before have been scored.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from limelight.engine.tiny_encoders import FRAME_WEIGHTS
from limelight.engine.weights import weights_revision
from limelight.engine.window import COMMENT_BINS, Segment
from limelight.replay.demo import bundled_recordings
from limelight.replay.recording import load_recording
from limelight.replay.system import LiveSystem
from limelight.streams.broker import embedded_broker, embedded_kafka, free_port
from limelight.streams.kafka import make_consumer, make_producer
from limelight.streams.settings import Settings
from limelight.streams.topics import partition_of
from limelight.streams.window_records import encode_segment, encode_window
from tests.bench.result import Result
from tests.bench.scale.processes import Usage, all_cores, on_cores

ROOMS = 1_000
WINDOW = 20
SEGMENT_MS = 30_000
CAPACITY_WINDOWS = 5_000
LOADED_S = 40
SHARE = 0.8
ENCODER = ("tiny", weights_revision([FRAME_WEIGHTS]))
# Of a segment; what comes above is sampled by the assembler.
MEAN_COMMENTS = 20


@dataclass(frozen=True, slots=True)
class Phase:
    """What was asked and answered."""

    name: str
    windows: int
    seconds: float
    cores: float
    latencies_ms: np.ndarray

    def row(self) -> tuple[str | float, ...]:
        p50, p99 = np.percentile(self.latencies_ms, (50, 99)) if len(self.latencies_ms) else (0, 0)
        rate = self.windows / self.seconds
        return (self.name, self.windows, round(rate), round(self.cores, 2), round(p50), round(p99))


class Rooms:
    """Rooms that send one segment after the other; pictures are noise, comments real ones."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)
        self._texts = list(_real_comments())
        self._segments = [[self._segment(index) for index in range(WINDOW)] for _ in range(ROOMS)]
        self._newest = [WINDOW - 1] * ROOMS

    def window(self, room: int) -> bytes:
        """The room's next window; the first holds twenty segments already."""
        segments, newest = self._segments[room], self._newest[room]
        value = encode_window(
            room_id=f"room-{room}",
            streamer_id=f"streamer-{room}",
            room_started_ms=0,
            segment_ms=SEGMENT_MS,
            segments=segments[-WINDOW:],
            segment_index=newest,
            start_ms=newest * SEGMENT_MS,
            final=False,
        )
        self._newest[room] = newest + 1
        self._segments[room] = [*segments[-WINDOW + 1 :], self._segment(newest + 1)]
        return value

    def _segment(self, index: int) -> bytes:
        count = int(min(50, self._rng.lognormal(np.log(MEAN_COMMENTS) - 0.5, 1.0)))
        at = self._rng.integers(0, len(self._texts), count + 1)
        segment = Segment(
            index=index,
            start_ms=index * SEGMENT_MS,
            frame_feature=self._rng.normal(size=48).astype(np.float16),
            frame_times_ms=tuple(index * SEGMENT_MS + offset for offset in (1, 10_001, 20_001)),
            speech=self._texts[at[0]],
            comments=tuple(self._texts[each] for each in at[1:]),
            comment_count=count,
            user_count=count,
            comment_weight=float(count),
            comment_bins=(1,) * COMMENT_BINS,
            picture_changes=(0.1, 0.2),
        )
        return encode_segment(segment, ENCODER, {})


def run() -> Result:
    rooms = Rooms()
    with TemporaryDirectory() as name:
        phases = asyncio.run(_measured(rooms, Path(name)))
    return Result(
        title="From a segment's close to its score",
        columns=("windows come", "windows", "a second", "cores", "p50 ms", "p99 ms"),
        rows=tuple(phase.row() for phase in phases),
        note=(
            f"{ROOMS} rooms, windows of {WINDOW} segments, the bundled encoders and network (CPU,"
            " `tiny`), one engine process on one core; embedded broker with 4 partitions, load and"
            f" reader on the other. Comments are drawn from the bundled recordings, {MEAN_COMMENTS}"
            " a segment on average, lognormal, at most 50. Close to score: from the time in the"
            " window's header, at which it was due to be sent, to the time at which its score was"
            " sent. `all at once` waits in the queue, so there the rate counts. Target: p99 below"
            " 1 s at 80 % load."
        ),
    )


async def _measured(rooms: Rooms, folder: Path) -> list[Phase]:
    kafka = embedded_kafka(free_port())
    settings = Settings(kafka=kafka)
    own, *others = all_cores()
    async with AsyncExitStack() as stack:
        with on_cores(*(others or [own])):
            await stack.enter_async_context(embedded_broker(kafka, folder / "broker.log"))
        system = LiveSystem(settings, folder, stack)
        with on_cores(own):
            await system.start("engine")
        stack.enter_context(on_cores(*(others or [own])))
        producer, consumer = make_producer(kafka), make_consumer(kafka, "scores", group_id=None)
        for client in (producer, consumer):
            await client.start()
            stack.push_async_callback(client.stop)
        bench = _Bench(rooms, kafka.partitions, producer, consumer)
        bench.engine_pid = system.running["engine"].process.pid
        first = await bench.phase("first of every room, all at once", ROOMS, None)
        at_once = await bench.phase("next ones, all at once", CAPACITY_WINDOWS, None)
        rate = SHARE * at_once.windows / at_once.seconds
        steady = await bench.phase("at 80 % of that", round(rate * LOADED_S), rate)
        live = ROOMS / (SEGMENT_MS / 1000)
        calm = await bench.phase(
            f"each room every {SEGMENT_MS // 1000} s", round(live * LOADED_S), live
        )
        return [first, at_once, steady, calm]


class _Bench:
    def __init__(
        self, rooms: Rooms, partitions: int, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer
    ) -> None:
        self._rooms = rooms
        self._partitions = partitions
        self._producer = producer
        self._consumer = consumer
        self._next_room = 0
        self.engine_pid = 0

    async def phase(self, name: str, windows: int, rate: float | None) -> Phase:
        """Send so many windows, at that rate or all at once, and read all their scores."""
        prepared = [self._prepared() for _ in range(windows if rate is None else 0)]
        before, start_s = Usage.of(self.engine_pid).cpu_s, time.time()
        reading = asyncio.create_task(self._read(windows))
        for number in range(windows):
            if rate is None:
                due_s = time.time()
            else:
                due_s = start_s + number / rate
                if (wait_s := due_s - time.time()) > 0:
                    await asyncio.sleep(wait_s)
            room, value = prepared[number] if rate is None else self._prepared()
            await self._producer.send(
                "windows",
                value,
                key=room.encode(),
                partition=partition_of(room, self._partitions),
                headers=[("closed_at_ms", str(int(due_s * 1000)).encode())],
            )
        latencies_ms = await reading
        seconds = time.time() - start_s
        cores = (Usage.of(self.engine_pid).cpu_s - before) / seconds
        phase = Phase(name, windows, seconds, cores, latencies_ms)
        print(phase.row(), flush=True)
        return phase

    def _prepared(self) -> tuple[str, bytes]:
        room = self._next_room
        self._next_room = (room + 1) % ROOMS
        return f"room-{room}", self._rooms.window(room)

    async def _read(self, count: int) -> np.ndarray:
        found: list[int] = []
        async with asyncio.timeout(600):
            while len(found) < count:
                for records in (await self._consumer.getmany(timeout_ms=500)).values():
                    for record in records:
                        timings = orjson.loads(record.value)["timings"]
                        found.append(timings["scored_at_ms"] - timings["closed_at_ms"])
        return np.array(found)


def _real_comments() -> Iterator[str]:
    for folder in bundled_recordings():
        for comment in load_recording(folder).read_comments():
            yield comment.text
