"""What the feature log costs: rows a second, and processor time beside worker and engine."""

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import orjson
from aiokafka import AIOKafkaProducer, ConsumerRecord

from limelight.engine.tiny_encoders import FRAME_WEIGHTS
from limelight.engine.weights import weights_revision
from limelight.engine.window import Segment
from limelight.replay.feature_log.catalogue import catalogue
from limelight.replay.feature_log.compaction import compact
from limelight.replay.feature_log.files import LogFiles
from limelight.replay.feature_log.rows import READERS
from limelight.replay.feature_log.writer import LogWriter
from limelight.replay.live_run import running_task
from limelight.replay.load import SLICE_MS, LoadOptions, load_slices
from limelight.replay.load_sender import send_load
from limelight.replay.store import Store
from limelight.replay.system import LiveSystem
from limelight.streams.broker import embedded_broker, embedded_kafka, free_port
from limelight.streams.child import child_process
from limelight.streams.kafka import make_producer
from limelight.streams.settings import FeaturelogSettings, Settings, settings_environment
from limelight.streams.topics import partition_of
from limelight.streams.window_records import encode_segment, encode_window
from tests.bench.result import Result
from tests.bench.scale.history import write_history
from tests.bench.scale.live import BASE_MS
from tests.bench.scale.processes import Usage

ROOMS, SECONDS, WARM_UP_S = 1_000, 105, 40
SEGMENT_MS = 30_000
# The default is 300: shorter, so that the seconds that are measured hold several flushes.
FLUSH_S = 15.0
ROWS, ROUNDS, WINDOW, COMMENTS = 5_000, 5, 20, 20
EVER = (0, 2**62)


def run() -> list[Result]:
    with TemporaryDirectory() as name:
        return [_rates(Path(name) / "rates"), asyncio.run(_share(Path(name) / "live"))]


def _rates(folder: Path) -> Result:
    rows: list[tuple[str | float, ...]] = []
    for size in (48, 1_024):
        records = _windows(size)
        read_s, write_s, scan_s, compact_s = [], [], [], []
        for number in range(ROUNDS + 1):
            store = Store(folder / f"{size}-{number}")
            writer = LogWriter(store, flush_rows=ROWS, flush_bytes=1 << 40, flush_s=1e9)
            writer.begin(catalogue(store), [("segments", 0)])
            at = [time.perf_counter()]
            made = [READERS["segments"](record, 1_000_000) for record in records]
            at.append(time.perf_counter())
            for first in range(0, ROWS, ROWS // 5):
                writer.add(("segments", 0), made[first : first + ROWS // 5], first + ROWS // 5)
                writer.flush(("segments", 0))
            at.append(time.perf_counter())
            found = sum(len(table) for table in LogFiles(store).rows("segments", *EVER))
            assert found == ROWS
            at.append(time.perf_counter())
            compact(store, settle_hours=-1)
            at.append(time.perf_counter())
            if number:  # the first warms up
                for kept, seconds in zip(
                    (read_s, write_s, scan_s, compact_s), np.diff(at), strict=True
                ):
                    kept.append(float(seconds))
        megabytes = sum(file.size_bytes for file in catalogue(store).files) / 1e6
        cells = [round(ROWS / median(each)) for each in (read_s, write_s, scan_s, compact_s)]
        best = round(ROWS / (min(read_s) + min(write_s)))
        rows.append((size, *cells, best, round(1e6 * megabytes / ROWS)))
    return Result(
        title="Rows of the feature log",
        columns=(
            "feature size",
            "windows read a second",
            "rows written a second",
            "rows scanned a second",
            "rows compacted a second",
            "read and written, best",
            "bytes a row",
        ),
        rows=tuple(rows),
        note=(
            f"One process, {ROWS:,} windows of {WINDOW} segments with {COMMENTS} comments each, 5"
            f" flushes of one partition, files synced to disk; median of {ROUNDS} rounds."
        ),
    )


def _windows(size: int) -> list[ConsumerRecord]:
    rng = np.random.default_rng(0)
    segments = [
        encode_segment(
            Segment(
                index=index,
                start_ms=BASE_MS + index * SEGMENT_MS,
                frame_feature=rng.normal(size=size).astype(np.float16),
                frame_times_ms=(1, 2, 3),
                speech=f"what is said in segment {index}, two lines of it",
                comments=tuple(f"comment {each}" for each in rng.integers(999, size=COMMENTS)),
                comment_count=COMMENTS,
                user_count=COMMENTS,
                comment_weight=float(COMMENTS),
                comment_bins=(1,) * 15,
                picture_changes=(0.1, 0.2),
            ),
            ("tiny", "r"),
            {"comments": COMMENTS},
        )
        for index in range(100 + WINDOW)
    ]
    records = []
    for offset in range(ROWS):
        newest = WINDOW + offset % 100
        value = encode_window(
            room_id=f"room-{offset // 100}",
            streamer_id="streamer",
            room_started_ms=BASE_MS,
            segment_ms=SEGMENT_MS,
            segments=segments[newest - WINDOW + 1 : newest + 1],
            segment_index=newest,
            start_ms=BASE_MS + newest * SEGMENT_MS,
            final=False,
        )
        records.append(
            ConsumerRecord("windows", 0, offset, 0, 0, None, value, None, 0, len(value), ())
        )
    return records


async def _share(folder: Path) -> Result:
    kafka = embedded_kafka(free_port())
    settings = Settings(kafka=kafka, featurelog=FeaturelogSettings(flush_s=FLUSH_S))
    revision = weights_revision([FRAME_WEIGHTS])
    options = LoadOptions(
        ROOMS, SECONDS, BASE_MS, feature_size=48, encoder_id="tiny", encoder_revision=revision
    )
    folder.mkdir(parents=True)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(embedded_broker(kafka, folder / "broker.log"))
        await write_history(options, settings.assembler, kafka)
        system = LiveSystem(settings, folder, stack)
        await system.start("worker", "engine")
        command = [sys.executable, "-m", "limelight.streams.cli", "log", "write"]
        command.append(str(folder / "log"))
        environment = settings_environment(settings)
        system.running["log"] = await stack.enter_async_context(
            child_process("log", command, folder / "log.log", environment)
        )
        producer = make_producer(kafka)
        await producer.start()
        stack.push_async_callback(producer.stop)
        partitions = kafka.partitions
        await stack.enter_async_context(running_task(_engagement(producer, partitions)))
        load = asyncio.create_task(
            send_load(
                load_slices(options, segment_ms=SEGMENT_MS, partitions=partitions),
                kafka,
                base_ms=BASE_MS,
                slice_ms=SLICE_MS,
                speed=1.0,
            )
        )
        await asyncio.sleep(WARM_UP_S)
        files = LogFiles(Store(folder / "log"))
        rows_before = _rows(files)
        pids = {name: system.running[name].process.pid for name in ("worker", "engine", "log")}
        began_s, began = time.monotonic(), {name: Usage.of(pid) for name, pid in pids.items()}
        sent = await load
        seconds = time.monotonic() - began_s
        ended = {name: Usage.of(pid) for name, pid in pids.items()}
        system.check()
        rows = _rows(LogFiles(Store(folder / "log"))) - rows_before
    cores = {name: (ended[name].cpu_s - began[name].cpu_s) / seconds for name in pids}
    share = 100 * cores["log"] / (cores["worker"] + cores["engine"])
    return Result(
        title="The feature log beside worker and engine",
        columns=("process", "cores", "memory MB"),
        rows=tuple((name, round(cores[name], 3), round(ended[name].memory_mb)) for name in cores),
        note=(
            f"{ROOMS:,} rooms in real time (`limelight load`, features of 48, the bundled encoders"
            f" and network on a CPU; no pictures are encoded), engagement once a segment, 4"
            f" partitions, flushes every {FLUSH_S:g} s. In {seconds:.0f} s {rows:,} rows were"
            f" written; the load was at most {sent.most_behind_s:.1f} s behind. The log takes"
            f" {share:.1f} % of what worker and engine take. Target: at most 5 %."
        ),
    )


def _rows(files: LogFiles) -> int:
    return sum(
        len(table) for dataset in READERS for table in files.rows(dataset, *EVER, ("offset",))
    )


async def _engagement(producer: AIOKafkaProducer, partitions: int) -> None:
    """Each room's counts once a segment, the rooms one after the other."""
    for number in range(1 << 31):
        room_id, start_ms = f"load-{number % ROOMS:06d}", BASE_MS + number // ROOMS * SEGMENT_MS
        value = {"room_id": room_id, "start_ms": start_ms, "end_ms": start_ms + SEGMENT_MS}
        value |= {"impressions": 5_200, "clicks": 310, "likes": 44}
        await producer.send(
            "engagement", orjson.dumps(value), partition=partition_of(room_id, partitions)
        )
        await asyncio.sleep(SEGMENT_MS / 1000 / ROOMS)
