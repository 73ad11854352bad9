"""Processor time that reading one log takes: by aiokafka, by a bare Faust agent, by the worker."""

import asyncio
import json
import sys
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import orjson
from prometheus_client.parser import text_string_to_metric_families

from limelight.replay.load import SLICE_MS, LoadOptions, load_slices
from limelight.replay.load_sender import send_load
from limelight.replay.script import ScriptedMessage
from limelight.replay.system import LiveSystem
from limelight.streams.broker import embedded_broker, embedded_kafka, free_port
from limelight.streams.child import child_process
from limelight.streams.settings import (
    AssemblerSettings,
    MetricsSettings,
    Settings,
    settings_environment,
)
from tests.bench.scale.history import write_history
from tests.bench.scale.live import BASE_MS
from tests.bench.scale.processes import Usage

READERS = {
    "raw": "aiokafka getmany",
    "faust": "a bare Faust agent",
    "worker": "limelight worker",
}
_WARM_UP_SHARE = 0.2
# The metrics page takes the worker a few milliseconds.
_POLL_S = 1.0


@dataclass(slots=True)
class Log:
    """What lies on the source topics: messages with marks, entries by topic."""

    settings: Settings
    folder: Path
    messages: int = 0
    entries_by_topic: Counter[str] = None  # type: ignore[assignment]

    @property
    def entries(self) -> int:
        return self.entries_by_topic.total()


@asynccontextmanager
async def prepared_log(
    comments: Literal["batched", "single"], rooms: int, seconds: int, folder: Path
) -> AsyncIterator[Log]:
    """A broker with the log of some rooms and their history, for the length of a block."""
    folder.mkdir(parents=True)
    kafka = embedded_kafka(free_port())
    settings = Settings(
        kafka=kafka,
        # Read much faster than real time, a topic may be behind for a while without being silent.
        assembler=AssemblerSettings(silent_source_deadline_s=300),
        metrics=MetricsSettings(port=free_port()),
    )
    options = LoadOptions(rooms, seconds, BASE_MS, comments=comments, feature_size=48)
    segment_ms = settings.assembler.segment_ms
    slices = list(load_slices(options, segment_ms=segment_ms, partitions=kafka.partitions))
    messages = [message for each in slices for message in each]
    entries = Counter[str]()
    for message in messages:
        entries[message.topic] += _entries(message)
    async with embedded_broker(kafka, folder / "broker.log"):
        await write_history(options, settings.assembler, kafka)
        await send_load(slices, kafka, base_ms=BASE_MS, slice_ms=SLICE_MS, speed=0)
        yield Log(settings, folder, len(messages), entries)


def _entries(message: ScriptedMessage) -> int:
    if not message.value:
        return 0
    return len(orjson.loads(message.value)) if message.value.startswith(b"[") else 1


async def cost_us(reader: str, log: Log) -> float:
    """Processor time of a message, in microseconds."""
    return await (_worker_us(log) if reader == "worker" else _reader_us(reader, log))


async def _reader_us(reader: str, log: Log) -> float:
    warm_up = str(int(log.messages * _WARM_UP_SHARE))
    command = [sys.executable, "-m", "tests.bench.scale.readers", reader, warm_up]
    out = log.folder / f"{reader}.log"
    environment = settings_environment(log.settings)
    async with child_process(reader, [*command, str(log.messages)], out, environment) as child:
        await child.process.wait()
    said = out.read_text()
    found = json.loads(said[said.index("{") :].splitlines()[0])
    return float(found["cpu_s"] / found["messages"] * 1e6)


async def _worker_us(log: Log) -> float:
    async with AsyncExitStack() as stack:
        system = LiveSystem(log.settings, log.folder, stack)
        await system.start("worker")
        pid = system.running["worker"].process.pid
        samples: list[tuple[int, float]] = []
        while not samples or samples[-1][0] < log.entries:
            await asyncio.sleep(_POLL_S)
            system.check()
            samples.append((await asyncio.to_thread(_read, log), Usage.of(pid).cpu_s))
        first = next(each for each in samples if each[0] >= log.entries * _WARM_UP_SHARE)
        # The last sample may be of after the end, when the worker was waiting.
        last = [each for each in samples if each[0] < log.entries][-1]
        share = (last[0] - first[0]) / log.entries
        return (last[1] - first[1]) / (share * log.messages) * 1e6


def _read(log: Log) -> int:
    """Entries that the worker has read."""
    url = f"http://127.0.0.1:{log.settings.metrics.port}/metrics"
    with urllib.request.urlopen(url) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    return sum(
        int(sample.value)
        for family in families
        for sample in family.samples
        if sample.name == "limelight_events_total"
    )
