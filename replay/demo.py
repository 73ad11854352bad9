"""`limelight demo`: the whole system on one machine, on recordings played as live rooms.

Real parts only: a broker, a worker and an engine as processes of their own, the player, and an
HTTP receiver. They are what production runs; only the broker is an embedded one.
"""

import asyncio
import base64
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from pydantic import SecretStr
from rich.console import Console

from limelight.replay.demo_state import DemoState, RoomSeen
from limelight.replay.enrichment.shown import in_one_line
from limelight.replay.enrichment.sources import sources_toml
from limelight.replay.live_run import play_through
from limelight.replay.live_view import LiveView
from limelight.replay.measured_ctr import measured_ctrs, true_ctrs
from limelight.replay.recording import Recording, load_recording
from limelight.replay.report import write_report
from limelight.replay.system import LiveSystem, running_system
from limelight.streams.receiver import Receiver
from limelight.streams.settings import PushSettings, Settings

BUNDLED = Path(__file__).parent / "recordings"
CLIPS = "clips"
_MARKS = {"opened": "▲", "closed": "▼", "enriched": "◆"}


@dataclass(frozen=True, slots=True)
class DemoOptions:
    recordings: Sequence[Path]
    out_dir: Path
    speed: float
    keep: bool


def bundled_recordings() -> list[Path]:
    return sorted(manifest.parent for manifest in BUNDLED.glob("*/recording.toml"))


async def run_demo(options: DemoOptions, settings: Settings, console: Console) -> DemoState:
    """Play, wait until everything has arrived, and write summary, highlights and report.

    Raises:
        Stalled, ChildDied, BrokerUnavailable, MalformedRecording: what went wrong; whatever
            was started has ended when this raises.
    """
    recordings = [load_recording(folder) for folder in options.recordings]
    options.out_dir.mkdir(parents=True, exist_ok=True)
    base_ms = min(recording.started_ms for recording in recordings)
    for recording in recordings:
        if not (recording.video or recording.comments or recording.asr):
            raise ValueError(
                f"{recording.folder}: found engagement alone, expected pictures, speech or comments"
            )
    segment_ms = settings.assembler.segment_ms
    state = DemoState(
        {recording.room_id: _room_seen(recording, base_ms, segment_ms) for recording in recordings},
        enriched=True,
    )
    settings = _with_sources(settings, recordings, options.out_dir, base_ms)
    started_s = time.monotonic()
    async with AsyncExitStack() as stack:
        console.print("starting broker, receiver, worker, engine and enricher ...")
        receiver, push = await stack.enter_async_context(_receiver(state, console))
        system = await stack.enter_async_context(
            running_system(settings, push, options.out_dir / "logs", others=["enricher"])
        )
        console.print(f"ready after {time.monotonic() - started_s:.0f} s; playing", highlight=False)
        view = LiveView(console, recordings, state, base_ms, options.speed)
        with view:
            await play_through(
                system,
                recordings,
                state,
                base_ms=base_ms,
                speed=options.speed,
                on_progress=view.advance,
            )
        state.delivered_again = receiver.repeated
        summary = state.summary() | {
            "recordings": {recording.room_id: recording.note for recording in recordings},
            "speed": options.speed,
            "seconds": round(time.monotonic() - started_s, 1),
        }
        encoded = orjson.dumps(summary, option=orjson.OPT_INDENT_2)
        (options.out_dir / "summary.json").write_bytes(encoded)
        events = [event for room in state.rooms.values() for event in room.highlights.values()]
        lines = b"".join(orjson.dumps(event) + b"\n" for event in events)
        (options.out_dir / "highlights.jsonl").write_bytes(lines)
        write_report(recordings, state, options.out_dir, base_ms=base_ms, segment_ms=segment_ms)
        console.print()
        for line in state.told():
            console.print(line, markup=False, highlight=False)
        for name in ("summary.json", "highlights.jsonl", "report.html"):
            console.print(f"written: {options.out_dir / name}", highlight=False)
        if options.keep:
            await _keep(console, system, push.endpoint)
    return state


def _with_sources(
    settings: Settings, recordings: Sequence[Recording], out_dir: Path, base_ms: int
) -> Settings:
    """Settings by which the enricher finds the recordings' videos and puts clips by the report."""
    path = out_dir / "sources.toml"
    path.write_text(sources_toml(recordings, base_ms), encoding="utf-8")
    changes = {"sources": str(path), "out": str(out_dir / CLIPS), "base_url": CLIPS}
    own = settings.enrichment.model_copy(update=changes)
    return settings.model_copy(update={"enrichment": own})


def _room_seen(recording: Recording, base_ms: int, segment_ms: int) -> RoomSeen:
    """The room with its CTRs by event time; none where segments are not aligned to the start."""
    if not recording.align_to_start:
        return RoomSeen()
    measured, true = measured_ctrs(recording, segment_ms), true_ctrs(recording)
    return RoomSeen(
        measured={base_ms + start_ms: ctr for start_ms, ctr in measured.items()},
        true={base_ms + start_ms: ctr for start_ms, ctr in true.items()},
    )


@asynccontextmanager
async def _receiver(
    state: DemoState, console: Console
) -> AsyncIterator[tuple[Receiver, PushSettings]]:
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()

    def on_event(event: dict[str, Any]) -> None:
        state.see_delivery(event, int(time.time() * 1000))
        data = event["data"]
        if data["kind"] != "updated":
            console.print(
                f"  {_MARKS[data['kind']]} {data['room_id']} {data['kind']}: {_told(data)}",
                markup=False,
                highlight=False,
            )

    receiver = Receiver(secret, on_event)
    runner, port = await receiver.start("127.0.0.1", 0)
    url = f"http://127.0.0.1:{port}/highlights"
    try:
        yield (
            receiver,
            PushSettings(endpoint=url, secret=SecretStr(secret), allow_private_addresses=True),
        )
    finally:
        await runner.cleanup()


def _told(data: dict[str, Any]) -> str:
    if data["kind"] == "enriched":
        return in_one_line(data["enrichment"])
    return str(data["reason"])


async def _keep(console: Console, system: LiveSystem, receiver_url: str) -> None:
    kafka = system.settings.kafka
    console.print(
        f"kept running: Kafka at {kafka.bootstrap_servers}"
        f" ({kafka.partitions} partitions), receiver at {receiver_url}; Ctrl-C ends it",
        highlight=False,
    )
    while True:
        await asyncio.sleep(0.5)
        system.check()
