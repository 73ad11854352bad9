"""Playing recordings through a running system until everything has come out of it."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from limelight.engine.errors import LimelightError
from limelight.replay.observer import Starts, Watcher, observe
from limelight.replay.pace import Pace
from limelight.replay.player import play
from limelight.replay.recording import Recording
from limelight.replay.sources.recordings import recordings_source
from limelight.streams.settings import Settings

# Without any change for this long, something is stuck.
STALL_LIMIT_S = 45.0
# Nothing changes any more: also not a delivery that a receiver would count twice.
QUIET_S = 1.5


class Stalled(LimelightError):
    """The run waits for something that does not come."""


class Running(Protocol):
    """A system that runs somewhere; `check`, called again and again, raises what is wrong."""

    @property
    def settings(self) -> Settings: ...
    def check(self) -> None: ...


class Awaited(Protocol):
    """What a run waits for; `progress` changes whenever anything does."""

    events_in: Counter[str]

    def see(self, topic: str, record: Any) -> None: ...
    @property
    def is_complete(self) -> bool: ...
    def progress(self) -> tuple[int, ...]: ...
    def missing(self) -> str: ...


async def play_through(
    system: Running,
    recordings: Sequence[Recording],
    state: Awaited,
    *watchers: Watcher,
    base_ms: int,
    speed: float,
    starts: Starts | None = None,
    on_progress: Callable[[int], None] = lambda offset_ms: None,
) -> None:
    """Play, and wait until all is played, scored and delivered, and nothing changes any more.

    `state` and the watchers see every record of the topics, or what `starts` leaves: see `observe`.

    Raises:
        Stalled, ChildDied, MalformedRecording: what went wrong.
    """
    settings = system.settings
    source = recordings_source(recordings, settings, base_ms=base_ms, speed=speed)
    playing = play(
        source, settings, Pace(speed), on_progress=lambda at_ms: on_progress(at_ms - base_ms)
    )
    async with (
        running_task(observe(settings.kafka, state, *watchers, starts=starts)) as observing,
        running_task(playing) as sending,
    ):
        changed_s = time.monotonic()
        before = state.progress()
        while True:
            await asyncio.sleep(0.1)
            system.check()
            if observing.done():
                observing.result()
            if sending.done():
                state.events_in = sending.result().sent
            now_s = time.monotonic()
            if state.progress() != before:
                before, changed_s = state.progress(), now_s
            quiet_s = now_s - changed_s
            if sending.done() and state.is_complete and quiet_s > QUIET_S:
                return
            if sending.done() and quiet_s > STALL_LIMIT_S:
                raise Stalled(
                    f"run: found no progress for {STALL_LIMIT_S:g} s after everything was played;"
                    f" {state.missing()}"
                )


@asynccontextmanager
async def running_task(work: Coroutine[Any, Any, Any]) -> AsyncIterator[asyncio.Task[Any]]:
    """A task for the length of a block, cancelled when the block is left."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
