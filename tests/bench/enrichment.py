"""Enriching highlights: seconds of each part, one highlight a second, and what plain events wait.

The film of the bundled recording is cut, decoded and judged by the bundled models. In the live part
broker, worker (which pushes), enricher, receiver and this process share the machine; highlights
that closed come once a second, with and without an enricher by turns.
"""

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from pydantic import SecretStr

from limelight.replay.enrichment.clip_models import load_clip_models
from limelight.replay.enrichment.enrich import Enricher
from limelight.replay.enrichment.sources import load_sources
from limelight.replay.observer import observe
from limelight.replay.system import LiveSystem
from limelight.streams.broker import embedded_broker, embedded_kafka, free_port
from limelight.streams.detection import HighlightEvent, Kind
from limelight.streams.highlight_records import decode_highlight, encode_highlight
from limelight.streams.kafka import create_topics, make_producer
from limelight.streams.receiver import Receiver
from limelight.streams.settings import EnrichmentSettings, PushSettings, Settings
from limelight.streams.topics import partition_of
from tests.bench.result import Result

FILM = Path(__file__).parents[2] / "replay/recordings/big-buck-bunny-live/video.mp4"
STARTED_MS = 1_700_000_000_000
LENGTHS_S = (30, 60, 120, 300)
REPEATS = 7
HIGHLIGHT_S = 60
PHASE_S, ROUNDS = 40, 3
ROOMS = 20
SECRET = "whsec_" + base64.b64encode(b"a secret of 24 bytes ...").decode()


def run() -> list[Result]:
    with TemporaryDirectory() as folder:
        offline = _offline(Path(folder) / "offline")
        live = asyncio.run(_live(Path(folder) / "live"))
    return [offline, live]


def make_event(room_id: str, kind: Kind, start_s: int, length_s: int) -> HighlightEvent:
    start_ms = STARTED_MS + start_s * 1_000
    return HighlightEvent(
        kind=kind,
        event_id=f"{room_id}/{start_ms}/{kind}/bench",
        highlight_id=f"{room_id}/{start_ms}/bench",
        room_id=room_id,
        streamer_id="streamer-0001",
        segment_index=1,
        segment_end_ms=start_ms + length_s * 1_000,
        start_ms=start_ms,
        end_ms=start_ms + length_s * 1_000,
        baseline=0.2,
        peak={
            "value": 0.4, "comment_count": 9, "strongest_comments": ["太强了", "好看", "666"],
            "speech": "音乐准备好了 这支舞练了很久 听我说完 太有意思了",
        },
        decided_by="network",
        model_version="bench",
        room_started_ms=STARTED_MS,
    )  # fmt: skip


def _sources(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "sources.toml"
    path.write_text(f'[default]\npath = "{FILM}"\nloop = true\n')
    return path


def _offline(folder: Path) -> Result:
    torch.set_num_threads(1)
    settings = Settings(enrichment=EnrichmentSettings(out=str(folder / "clips")))
    sources = load_sources(_sources(folder), timeout_s=20)
    models = load_clip_models(settings.enrichment, settings.engine)
    enricher = Enricher(settings.enrichment, sources, models)
    rows = []
    for length_s in LENGTHS_S:
        seconds = []
        for repeat in range(REPEATS + 1):
            event = make_event("film", "closed", 10 + 7 * repeat, length_s)
            data = decode_highlight(encode_highlight(event, {}), max_bytes=100_000)["data"]
            started_s = time.perf_counter()
            found = enricher.enrich(data)
            seconds.append(time.perf_counter() - started_s)
            assert not found["missing"], found["missing"]
        seconds = seconds[1:]  # the first one warms up
        rows.append((f"{length_s} s", f"{min(seconds):.2f}", f"{median(seconds):.2f}"))
    return Result(
        title="Enrichment",
        columns=("a highlight of", "minimum s", "median s"),
        rows=tuple(rows),
        note=(
            "`python -m tests.bench enrichment`: one thread cuts the highlight out of the bundled"
            " film (H.264), decodes what the models look at, and asks the five bundled"
            f" models; {REPEATS} different highlights after one to warm up. 300 s is where a clip"
            " is cut short by default."
        ),
    )


class Watch:
    """When plain events were sent, delivered and enriched, by highlight id."""

    def __init__(self) -> None:
        self.sent_s: dict[str, float] = {}
        self.delivered_s: dict[str, float] = {}
        self.enriched_s: dict[str, float] = {}

    def see(self, topic: str, record: Any) -> None:
        if topic == "highlights":
            event = decode_highlight(record.value, max_bytes=len(record.value))
            if event["data"]["kind"] == "enriched":
                self.enriched_s.setdefault(event["subject"], time.monotonic())

    def pushed(self, event: dict[str, Any]) -> None:
        if event["data"]["kind"] == "closed":
            self.delivered_s.setdefault(event["subject"], time.monotonic())

    def delays_ms(self, names: list[str], arrived_s: dict[str, float]) -> list[float]:
        return [1_000 * (arrived_s[name] - self.sent_s[name]) for name in names]


@asynccontextmanager
async def _system(folder: Path, watch: Watch) -> AsyncIterator[LiveSystem]:
    receiver = Receiver(SECRET, watch.pushed)
    runner, port = await receiver.start("127.0.0.1", 0)
    settings = Settings(
        kafka=embedded_kafka(free_port()),
        push=PushSettings(
            endpoint=f"http://127.0.0.1:{port}/",
            secret=SecretStr(SECRET),
            allow_private_addresses=True,
        ),
        enrichment=EnrichmentSettings(sources=str(_sources(folder)), out=str(folder / "clips")),
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        await stack.enter_async_context(embedded_broker(settings.kafka, folder / "broker.log"))
        await create_topics(settings.kafka)
        observing = asyncio.create_task(observe(settings.kafka, watch))
        stack.push_async_callback(asyncio.wait, [observing])
        stack.callback(observing.cancel)
        system = LiveSystem(settings, folder, stack)
        await system.start("worker")
        yield system


async def _live(folder: Path) -> Result:
    watch = Watch()
    phases: dict[str, list[list[str]]] = {"no enricher": [], "enricher": []}
    async with _system(folder, watch) as system:
        producer = make_producer(system.settings.kafka)
        await producer.start()
        try:
            for round_number in range(ROUNDS):
                for phase, rounds in phases.items():
                    if phase == "enricher":
                        await system.start(f"enricher-{round_number}")
                        before = [name for some in phases["no enricher"] for name in some]
                        await _until_enriched(watch, before)
                    names = await _send(producer, watch, len(rounds), phase)
                    rounds.append(names)
                    if phase == "enricher":
                        await _until_enriched(watch, names)
                        await system.kill(f"enricher-{round_number}")
        finally:
            await producer.stop()
    rows = []
    for phase, rounds in phases.items():
        delays = [watch.delays_ms(names, watch.delivered_s) for names in rounds]
        p50, p99 = ([float(np.percentile(some, q)) for some in delays] for q in (50, 99))
        enriched = ["", ""]
        if phase == "enricher":
            later = [watch.delays_ms(names, watch.enriched_s) for names in rounds]
            enriched = [
                f"{median(float(np.percentile(some, q)) for some in later):,.0f}" for q in (50, 99)
            ]
        cells = [f"{min(some):.0f} / {median(some):.0f}" for some in (p50, p99)]
        rows.append((phase, sum(map(len, rounds)), *cells, *enriched))
    return Result(
        title="Highlights pushed while others are enriched",
        columns=(
            "with",
            "highlights",
            "closed event pushed, p50 ms",
            "p99 ms",
            "enriched event out, p50 ms",
            "p99 ms",
        ),
        rows=tuple(rows),
        note=(
            f"`python -m tests.bench enrichment`: a highlight of {HIGHLIGHT_S} s closes every"
            f" second for {PHASE_S} s, {ROUNDS} rounds of each by turns; pushed: from sending the"
            " closed event until the receiver has it, minimum / median of the rounds. An enricher"
            " is started for its phase, so it first makes up for those before."
        ),
    )


async def _send(producer: Any, watch: Watch, round_number: int, phase: str) -> list[str]:
    """Closed highlights, one a second; gives their ids."""
    names = []
    begin_s = time.monotonic()
    for number in range(PHASE_S):
        await asyncio.sleep(max(0.0, begin_s + number - time.monotonic()))
        room = f"room-{phase.replace(' ', '-')}-{number % ROOMS}"
        start_s = 1_000 * round_number + 61 * number
        event = make_event(room, "closed", start_s, HIGHLIGHT_S)
        watch.sent_s[event.highlight_id] = time.monotonic()
        await producer.send_and_wait(
            "highlights",
            encode_highlight(event, {"closed_at_ms": int(time.time() * 1_000)}),
            key=room.encode(),
            partition=partition_of(room, 4),
        )
        names.append(event.highlight_id)
    while not all(name in watch.delivered_s for name in names):
        await asyncio.sleep(0.02)
    return names


async def _until_enriched(watch: Watch, names: list[str]) -> None:
    while not all(name in watch.enriched_s for name in names):
        await asyncio.sleep(0.05)
