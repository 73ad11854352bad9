"""`limelight verify`: the same recordings give the same results, however they are run.

The reference is one run; each further run changes speed, partitions, number of workers, or kills
and restarts a worker in the middle. Results are compared without their timings: windows byte for
byte, scores by id with their CTR to 1e-6, highlights by id, kind, interval and order.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from limelight.engine.errors import LimelightError
from limelight.replay.demo_state import DemoState, RoomSeen
from limelight.replay.live_run import play_through
from limelight.replay.outcome import Outcome
from limelight.replay.recording import Recording, load_recording
from limelight.replay.system import LiveSystem, running_system
from limelight.streams.settings import PushSettings, Settings


class NotTheSame(LimelightError):
    """Two runs of the same recordings came to different results."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one run is made; `speed` 0 is as fast as possible."""

    speed: float = 0.0
    partitions: int = 4
    workers: int = 1
    restart: bool = False

    def __str__(self) -> str:
        speed = f"{self.speed:g}x" if self.speed else "as fast as possible"
        plural = "s" if self.partitions > 1 else ""
        workers = f"{self.workers} workers" if self.workers > 1 else "1 worker"
        restart = ", one killed and restarted midway" if self.restart else ""
        return f"{speed}, {self.partitions} partition{plural}, {workers}{restart}"


REFERENCE = Plan()
QUICK_PLANS = (Plan(partitions=16, workers=2), Plan(restart=True))
PLANS = (
    Plan(partitions=1),
    *QUICK_PLANS,
    Plan(speed=60, workers=2, restart=True),
    Plan(speed=10),
)


async def run_verify(
    folders: Sequence[Path],
    settings: Settings,
    logs: Path,
    console: Console,
    plans: Sequence[Plan] = PLANS,
) -> None:
    """Run the reference and the plans, and say of each whether it came to the same.

    Raises:
        NotTheSame: at least one differs; the message says in what.
        Stalled, ChildDied, BrokerUnavailable, MalformedRecording: a run did not get to its end.
    """
    recordings = [load_recording(folder) for folder in folders]
    failures = []
    reference: Outcome | None = None
    for number, plan in enumerate((REFERENCE, *plans)):
        started_s = time.monotonic()
        with console.status(f"running: {plan}"):
            state, outcome = await run_plan(recordings, settings, plan, logs / f"run-{number}")
        differences = reference.differences(outcome) if reference else []
        differences += [] if state.accounts.is_balanced else [state.accounts.told()]
        reference = reference or outcome
        events = sum(len(events) for events in outcome.highlights.values())
        told = "; ".join(differences) or ("reference" if number == 0 else "the same")
        console.print(
            f"{plan}: {len(outcome.windows)} windows, {len(outcome.scores)} scores,"
            f" {events} highlight events in {time.monotonic() - started_s:.0f} s: {told}",
            markup=False,
            highlight=False,
        )
        failures += [f"{plan}: {told}"] if differences else []
    if failures:
        raise NotTheSame(f"verify: {len(failures)} of {len(plans) + 1} runs differ")
    console.print(f"verified: {len(plans) + 1} runs, one result")


async def run_plan(
    recordings: Sequence[Recording], settings: Settings, plan: Plan, logs: Path
) -> tuple[DemoState, Outcome]:
    """One run through real processes; highlights stay on their topic."""
    state = DemoState({each.room_id: RoomSeen() for each in recordings}, pushed=False)
    outcome = Outcome()
    segments = sum(-(-each.duration_ms // settings.assembler.segment_ms) for each in recordings)
    async with running_system(
        settings, PushSettings(), logs, partitions=plan.partitions, workers=plan.workers
    ) as system:
        restart = _RestartMidway(system, segments // 2 if plan.restart else None)
        await play_through(
            system,
            recordings,
            state,
            outcome,
            restart,
            base_ms=min(recording.started_ms for recording in recordings),
            speed=plan.speed,
        )
        await restart.done()
    return state, outcome


class _RestartMidway:
    """Kills and restarts a worker when so many windows have come."""

    def __init__(self, system: LiveSystem, after_windows: int | None) -> None:
        self._system = system
        self._after_windows = after_windows
        self._seen = 0
        self._task: asyncio.Task[None] | None = None

    def see(self, topic: str, record: Any) -> None:
        self._seen += topic == "windows"
        if self._task is None and self._seen == self._after_windows:
            self._task = asyncio.create_task(self._restart())

    async def _restart(self) -> None:
        await self._system.kill("worker")
        await self._system.start("worker")

    async def done(self) -> None:
        """Wait for it, and raise what went wrong.

        Raises:
            ValueError: it was to restart and never came to it.
        """
        if self._task is not None:
            await self._task
        elif self._after_windows is not None:
            raise ValueError(f"verify: found {self._seen} windows, too few for a restart midway")
