"""`limelight log write` killed and restarted while windows, scores and engagement flow."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from limelight.replay.feature_log.files import LogFiles
from limelight.replay.feature_log.reading import FeatureLog
from limelight.replay.feature_log.rows import READERS, table_of
from limelight.replay.store import Store
from limelight.streams.broker import embedded_broker, embedded_kafka, free_port
from limelight.streams.child import Child, child_process
from limelight.streams.kafka import make_producer
from limelight.streams.settings import FeaturelogSettings, Settings, settings_environment
from limelight.streams.topics import partition_of
from tests.replay.feature_log.logs import ALWAYS, DATASET_OF
from tests.replay.feature_log.records import (
    MAX_BYTES,
    START_MS,
    engagement_record,
    record,
    score_record,
    window_record,
)

ROOMS = [f"room {number}" for number in range(10)]
SEGMENTS = range(100, 160)  # over the hour's end
BROKEN = b'{"room_id": "room 0", "start_ms": 5, "end_ms": 4}'


def written(root: Path) -> int:
    return len(list(root.glob("*/*/*/*.parquet")))


@asynccontextmanager
async def log_writer(settings: Settings, folder: Path, name: str) -> AsyncIterator[Child]:
    ready = folder / f"{name}.ready"
    command = [sys.executable, "-m", "limelight.streams.cli", "log", "write"]
    command += [str(folder / "log"), "--ready-file", str(ready)]
    environment = settings_environment(settings)
    async with child_process(name, command, folder / f"{name}.log", environment) as child:
        await child.wait_until(asyncio.create_task(_until(ready.exists)))
        yield child


async def _until(condition) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.05)


@pytest.mark.broker
async def test_a_writer_killed_in_the_middle_writes_each_record_once(tmp_path: Path) -> None:
    kafka = embedded_kafka(free_port()).model_copy(update={"session_timeout_s": 2.0})
    settings = Settings(kafka=kafka, featurelog=FeaturelogSettings(flush_s=0.3))
    root = tmp_path / "log"
    sent: dict[tuple[str, int], list[object]] = {}
    async with embedded_broker(kafka, tmp_path / "broker.log"):
        producer = make_producer(kafka)
        await producer.start()

        async def send(segments: range) -> None:
            for index in segments:
                for room_id in ROOMS:
                    for make in (window_record, score_record, engagement_record):
                        made = make(room_id, index, 0)
                        partition = partition_of(room_id, kafka.partitions)
                        kept = sent.setdefault((made.topic, partition), [])
                        value, headers = made.value, list(made.headers)
                        kept.append(record(made.topic, partition, len(kept), value, headers))
                        await producer.send(made.topic, value, partition=partition, headers=headers)
                await asyncio.sleep(0.02)
            await producer.flush()

        sending = asyncio.create_task(send(SEGMENTS[:40]))
        async with log_writer(settings, tmp_path, "first") as child:
            await child.wait_until(asyncio.create_task(_until(lambda: written(root) > 20)))
            child.process.kill()
            await child.process.wait()
        await sending
        home = partition_of(ROOMS[0], kafka.partitions)
        await producer.send_and_wait("engagement", BROKEN, partition=home)
        sent["engagement", home].append(None)
        async with log_writer(settings, tmp_path, "second"):
            await send(SEGMENTS[40:])
            # Ended politely, while the last is in memory.
        async with log_writer(settings, tmp_path, "third") as child:
            total = sum(len(each) for each in sent.values()) - 1
            await child.wait_until(asyncio.create_task(_until(lambda: rows(root) == total)))
        await producer.stop()
        await _one_dead_letter(settings, home)

    for (topic, partition), records in sent.items():
        dataset = DATASET_OF[topic]
        expected = [READERS[dataset](each, MAX_BYTES) for each in records if each is not None]
        files = LogFiles(Store(root))
        found = [
            row
            for hour in files.found.hours(dataset)
            for row in files.hour(dataset, hour, partition).to_pylist()
        ]
        found.sort(key=lambda row: row["offset"])
        assert found == table_of(dataset, expected).to_pylist()
    rooms = list(FeatureLog(root, label_delay_s=0).rooms(START_MS, START_MS + 7_200_000))
    assert sorted(room.room_id for room in rooms) == ROOMS
    assert {len(room) for room in rooms} == {len(SEGMENTS)}


def rows(root: Path) -> int:
    files = LogFiles(Store(root))
    return sum(len(table) for name in READERS for table in files.rows(name, *ALWAYS, ("offset",)))


async def _one_dead_letter(settings: Settings, partition: int) -> None:
    from limelight.streams.dead_letter_log import DeadLetterLog

    async with DeadLetterLog(settings.kafka) as log:
        (letter,) = await log.letters()
    assert letter.origin.topic == "engagement"
    assert letter.origin.partition == partition
    assert "end_ms: found 4, expected more than start_ms 5" in letter.reason
    assert letter.room_id == orjson.loads(BROKEN)["room_id"]


@pytest.mark.broker
async def test_a_log_of_other_topics_is_refused(tmp_path: Path) -> None:
    from tests.replay.feature_log.logs import write

    kafka = embedded_kafka(free_port())
    write(str(tmp_path / "log"), [engagement_record("room", at, at) for at in range(5)])
    async with embedded_broker(kafka, tmp_path / "broker.log"):
        command = [sys.executable, "-m", "limelight.streams.cli", "log", "write"]
        command.append(str(tmp_path / "log"))
        log = tmp_path / "writer.log"
        environment = settings_environment(Settings(kafka=kafka))
        async with child_process("writer", command, log, environment) as child:
            async with asyncio.timeout(60):
                assert await child.process.wait() == 1
    said = log.read_text()
    assert "found offsets up to 4 of engagement partition 0, expected at most -1" in said
