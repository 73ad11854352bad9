"""The enricher as a process on a real broker, killed midway: nothing is lost, nothing differs."""

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import orjson
import pytest

from limelight.replay.observer import observe
from limelight.streams.broker import embedded_broker, embedded_kafka, free_port
from limelight.streams.child import Child, child_process
from limelight.streams.detection import HighlightEvent, Kind
from limelight.streams.highlight_records import decode_highlight, encode_highlight
from limelight.streams.kafka import create_topics, make_producer
from limelight.streams.settings import EnrichmentSettings, Settings, settings_environment
from limelight.streams.topics import partition_of

pytestmark = pytest.mark.broker

STARTED_MS = 1_700_000_000_000
PARTITIONS = 4


def write_video(path: Path, seconds: int) -> None:
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 96, 64, "yuv420p", 10
        for _ in range(seconds * 5):
            pixels = rng.integers(0, 255, (64, 96, 3), np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(stream.encode())


def make_event(room_id: str, kind: Kind, start_s: int = 2) -> bytes:
    event = HighlightEvent(
        kind=kind,
        event_id=f"{room_id}/{STARTED_MS + start_s * 1_000}/{kind}/energy",
        highlight_id=f"{room_id}/{STARTED_MS + start_s * 1_000}/energy",
        room_id=room_id,
        streamer_id="s",
        segment_index=1,
        segment_end_ms=STARTED_MS + 60_000,
        start_ms=STARTED_MS + start_s * 1_000,
        end_ms=STARTED_MS + start_s * 1_000 + 5_000,
        baseline=0.5,
        peak={"value": 0.9, "comment_count": 60, "strongest_comments": ["wow"], "speech": ""},
        decided_by="energy",
        model_version="energy",
        room_started_ms=STARTED_MS,
    )
    return encode_highlight(event, {"closed_at_ms": 1})


def changed(value: bytes, without: str = "", **data: Any) -> bytes:
    """The event without a field of its own, and with others in its data."""
    event = orjson.loads(value)
    event.pop(without, None)
    return orjson.dumps(event | {"data": event["data"] | data})


class Seen:
    """Every highlight event that stands on the topic, by its place."""

    def __init__(self) -> None:
        self.events: list[tuple[int, int, dict[str, Any]]] = []
        self.ended_with: int | None = None

    def see(self, topic: str, record: Any) -> None:
        if topic == "highlights":
            event = decode_highlight(record.value, max_bytes=len(record.value))
            self.events.append((record.partition, record.offset, event))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for _, _, event in self.events if event["data"]["kind"] == kind]


async def wait_until(has_come: Callable[[], bool], what: str, limit_s: float = 60) -> None:
    deadline_s = time.monotonic() + limit_s
    while not has_come():
        assert time.monotonic() < deadline_s, f"waited too long for {what}"
        await asyncio.sleep(0.05)


@asynccontextmanager
async def enricher(settings: Settings, folder: Path, name: str) -> AsyncIterator[Child]:
    ready_file = folder / f"{name}.ready"
    command = [sys.executable, "-m", "limelight.streams.cli", "enricher"]
    command += ["--ready-file", str(ready_file)]
    environment = settings_environment(settings)
    async with child_process(name, command, folder / f"{name}.log", environment) as child:
        await child.wait_until(asyncio.create_task(wait_until(ready_file.exists, name)))
        yield child


async def play(folder: Path) -> Seen:
    write_video(folder / "room.mp4", 40)
    sources = folder / "sources.toml"
    silent = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.mp4"
    sources.write_text(f'[rooms.film]\npath = "room.mp4"\n[rooms.silent]\nurl = "{url}"\n')
    own = EnrichmentSettings(
        sources=str(sources),
        out=str(folder / "clips"),
        # Longer than anybody waits for a process to end.
        open_timeout_s=10_000,
        highlight_timeout_s=10_000,
    )
    settings = Settings(kafka=embedded_kafka(free_port()), enrichment=own)
    seen = Seen()

    async def send(producer: Any, room_id: str, value: bytes) -> None:
        partition = partition_of(room_id, PARTITIONS)
        await producer.send_and_wait("highlights", value, key=room_id.encode(), partition=partition)

    async with embedded_broker(settings.kafka, folder / "broker.log"):
        await create_topics(settings.kafka)
        observing = asyncio.create_task(observe(settings.kafka, seen))
        producer = make_producer(settings.kafka)
        await producer.start()
        try:
            async with enricher(settings, folder, "first") as child:
                await send(producer, "film", make_event("film", "opened"))
                await send(producer, "film", make_event("film", "closed"))
                await send(producer, "nowhere", b"no event")
                # The second is too large with anything added, the third lacks what enriching needs.
                large, closed = "a" * 998_500, make_event("nowhere", "closed", 1)
                await send(producer, "nowhere", changed(closed, without="subject", reason=large))
                await send(producer, "nowhere", changed(closed, without="subject", peak=None))
                await send(producer, "nowhere", make_event("nowhere", "closed"))
                await wait_until(lambda: len(seen.of("enriched")) == 3, "three enriched")
                for start_s in range(3, 33):
                    await send(producer, "film", make_event("film", "closed", start_s))
                await wait_until(lambda: len(seen.of("enriched")) > 5, "some of many")
                child.process.kill()
                await child.process.wait()
            async with enricher(settings, folder, "second") as child:
                everything = subjects(seen, "closed")
                await wait_until(lambda: subjects(seen, "enriched") >= everything, "all enriched")
                await send(producer, "silent", make_event("silent", "closed"))
                asked, _ = await asyncio.to_thread(silent.accept)
                child.process.terminate()
                seen.ended_with = await asyncio.wait_for(child.process.wait(), 60)
                asked.close()
        finally:
            await producer.stop()
            observing.cancel()
            await asyncio.wait([observing])
            silent.close()
    return seen


def subjects(seen: Seen, kind: str) -> set[str]:
    return {event["subject"] for event in seen.of(kind) if "subject" in event}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return asyncio.run(play(tmp_path_factory.mktemp("enricher")))


def test_each_closed_highlight_is_enriched_in_its_rooms_partition(seen: Seen) -> None:
    # All but the one that a server kept waiting.
    assert len(subjects(seen, "closed")) == 33
    assert len(subjects(seen, "closed") - subjects(seen, "enriched")) == 1
    for partition, _, event in seen.events:
        assert partition == partition_of(event["data"]["room_id"], PARTITIONS)


def test_an_enriched_event_comes_behind_its_closed_one(seen: Seen) -> None:
    closed = {
        e.get("subject"): offset for _, offset, e in seen.events if e["data"]["kind"] == "closed"
    }
    for _, offset, event in seen.events:
        if event["data"]["kind"] == "enriched":
            assert offset > closed[event.get("subject")]


def test_what_was_made_twice_is_the_same_both_times(seen: Seen) -> None:
    by_id: dict[str, bytes] = {}
    for event in seen.of("enriched"):
        value = orjson.dumps(event)
        assert by_id.setdefault(event["id"], value) == value


def test_a_room_with_a_video_gets_a_clip_and_one_without_says_why(seen: Seen) -> None:
    for event in seen.of("enriched"):
        enrichment = event["data"]["enrichment"]
        if "subject" not in event:
            continue
        if event["data"]["room_id"] == "film":
            assert enrichment["clip"]["seconds"] >= 5 and not enrichment["missing"]
        else:
            assert enrichment["missing"] == {"clip": "no source of the room's video is given"}
        assert enrichment["title"] == {"text": "wow", "from": "comment"}


def test_a_closed_event_of_odd_fields_is_enriched_and_one_too_large_passed_over(
    seen: Seen,
) -> None:
    odd = [event for event in seen.of("enriched") if "subject" not in event]
    # Twice if the process was killed behind it; the reason tells it from the large one.
    assert {event["data"]["peak"] for event in odd} == {None}
    assert {len(event["data"]["reason"]) < 1_000 for event in odd} == {True}


def test_sigterm_ends_it_while_a_server_keeps_it_waiting(seen: Seen) -> None:
    assert seen.ended_with == 0
