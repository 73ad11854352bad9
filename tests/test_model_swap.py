"""A running engine changes its network at a word, and not a segment is lost or scored twice."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from limelight.engine.encoders import load_frame_encoder, load_text_encoder
from limelight.engine.network import BUNDLED_NETWORK, load_network, untrained_network
from limelight.engine.score import Score
from limelight.engine.tiny_encoders import FRAME_WEIGHTS
from limelight.engine.weights import weights_revision
from limelight.engine.window import Segment
from limelight.streams.broker import embedded_broker, embedded_kafka, free_port
from limelight.streams.child import child_process
from limelight.streams.kafka import make_consumer, make_producer
from limelight.streams.model_topic import ModelPointer, Role, point
from limelight.streams.score_records import decode_score
from limelight.streams.settings import Settings, settings_environment
from limelight.streams.topics import partition_of
from limelight.streams.window_records import encode_segment, encode_window

CLI = (sys.executable, "-m", "limelight.streams.cli")
ROOMS = [f"room {number}" for number in range(12)]
ENCODER = ("tiny", weights_revision([FRAME_WEIGHTS]))


def encoded_segment(room_id: str, index: int) -> bytes:
    generator = np.random.default_rng([index, *room_id.encode()])
    segment = Segment(
        index=index,
        start_ms=index * 30_000,
        frame_feature=generator.normal(size=48).astype(np.float16),
        frame_times_ms=(index * 30_000 + 1,),
        speech=f"{room_id} at {index}",
        comments=("666",),
        comment_count=1,
        user_count=1,
        comment_weight=1.0,
    )
    return encode_segment(segment, ENCODER, {})


def encoded_window(room_id: str, newest: int) -> bytes:
    first = max(0, newest - 19)
    return encode_window(
        room_id=room_id,
        streamer_id="streamer",
        room_started_ms=0,
        segment_ms=30_000,
        segments=[encoded_segment(room_id, index) for index in range(first, newest + 1)],
        segment_index=newest,
        start_ms=newest * 30_000,
        final=False,
    )


class Engine:
    """A running engine's input and output."""

    def __init__(self, settings: Settings, producer, consumer, log_file: Path) -> None:
        self.settings = settings
        self.log_file = log_file
        self._producer = producer
        self._consumer = consumer
        self.scores: list[Score] = []
        self.newest = -1

    async def next_segments(self) -> list[Score]:
        """The scores of every room's next segment."""
        self.newest += 1
        for room_id in ROOMS:
            await self._producer.send(
                self.settings.kafka.topic_prefix + "windows",
                encoded_window(room_id, self.newest),
                key=room_id.encode(),
                partition=partition_of(room_id, self.settings.kafka.partitions),
            )
        await self._producer.flush()
        wanted = len(ROOMS) * (self.newest + 1)
        async with asyncio.timeout(30):
            while len(self.scores) < wanted:
                batches = await self._consumer.getmany(timeout_ms=200)
                for records in batches.values():
                    self.scores += [decode_score(r.value, max_bytes=10**6)[0] for r in records]
        return self.scores[-len(ROOMS) :]

    async def point(self, role: Role, folder: Path | None) -> None:
        pointer = folder and ModelPointer(version=folder.name, folder=str(folder))
        await point(self.settings.kafka, role, pointer)

    async def models(self, *arguments: str, registry: Path | None = None) -> str:
        """What `limelight models ...` prints."""
        more = {} if registry is None else {"LIMELIGHT_REGISTRY_ROOT": str(registry)}
        process = await asyncio.create_subprocess_exec(
            *CLI,
            "models",
            *arguments,
            env=settings_environment(self.settings) | more,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        return output.decode()

    async def until_logged(self, text: str, times: int = 1) -> None:
        async with asyncio.timeout(30):
            while self.log_file.read_text().count(text) < times:
                await asyncio.sleep(0.05)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Engine]:
    settings = Settings(kafka=embedded_kafka(free_port()))
    ready = folder / "engine.ready"
    log_file = folder / "engine.log"
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(embedded_broker(settings.kafka, folder / "broker.log"))
        engine = await stack.enter_async_context(
            child_process(
                "engine",
                [*CLI, "engine", "--ready-file", str(ready)],
                log_file,
                settings_environment(settings),
            )
        )
        await engine.wait_until(asyncio.create_task(_until_exists(ready)))
        producer = make_producer(settings.kafka)
        consumer = make_consumer(settings.kafka, "scores", group_id=None)
        for client in (producer, consumer):
            await client.start()
            stack.push_async_callback(client.stop)
        yield Engine(settings, producer, consumer, log_file)


async def _until_exists(file: Path) -> None:
    async with asyncio.timeout(60):
        while not file.exists():
            await asyncio.sleep(0.05)


def saved(folder: Path, version: str) -> Path:
    model = untrained_network(load_frame_encoder("tiny"), load_text_encoder("tiny"))
    model.config.model_version = version
    model.save_pretrained(folder / version)
    return folder / version


@pytest.mark.broker
async def test_promotion_and_shadow_on_a_running_engine(tmp_path: Path) -> None:
    bundled = load_network(BUNDLED_NETWORK).config.model_version
    one, two = saved(tmp_path, "v1"), saved(tmp_path, "v2")
    async with running(tmp_path) as engine:
        assert {score.model_version for score in await engine.next_segments()} == {bundled}
        assert "champion: v1" in await engine.models("promote", str(one))
        await engine.until_logged("champion replaced")
        assert {score.model_version for score in await engine.next_segments()} == {"v1"}

        await engine.point("challenger", two)
        await engine.until_logged("model accepted", times=2)
        found = await engine.next_segments()
        assert {(s.model_version, s.shadow.model_version) for s in found} == {("v1", "v2")}
        # Both networks have the same weights and so must say the same of the same segments.
        for score in found:
            assert score.shadow.ctr == pytest.approx(score.ctr, abs=1e-5)
        shown = await engine.models("show")
        assert f"champion: v1  {one}" in shown and f"challenger: v2  {two}" in shown

        registry = tmp_path / "registry"
        assert "champion: v2" in await engine.models("promote", str(two), registry=registry)
        await engine.until_logged("champion replaced", times=2)
        assert {(s.model_version, s.shadow) for s in await engine.next_segments()} == {("v2", None)}
        rolled_back = await engine.models("rollback", "--reason", "worse", registry=registry)
        assert "champion: none" in rolled_back
        await engine.until_logged("champion replaced", times=3)
        assert {score.model_version for score in await engine.next_segments()} == {bundled}
        assert "rollback: champion none" in await engine.models("history", registry=registry)

        places = [(score.room_id, score.segment_index) for score in engine.scores]
        assert len(set(places)) == len(places) == len(ROOMS) * 5
