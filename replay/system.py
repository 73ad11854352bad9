"""The whole system on one machine: an embedded broker, workers and engines as processes."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

from limelight.engine.errors import LimelightError
from limelight.streams.broker import (
    EMBEDDED_PARTITIONS,
    embedded_broker,
    embedded_kafka,
    free_port,
)
from limelight.streams.child import Child, child_process
from limelight.streams.settings import (
    KafkaSettings,
    MetricsSettings,
    PushSettings,
    Settings,
    settings_environment,
)

START_LIMIT_S = 120.0

Broker = Callable[[KafkaSettings, Path], AbstractAsyncContextManager[Child]]


class StartTimeout(LimelightError):
    """A process did not get to work in time."""


class LiveSystem:
    """Worker and engine processes on one broker; `running` holds those that should be alive.

    A process is named after its command, `worker` or `engine`, with anything behind a dash to tell
    several of a kind apart: `worker`, `worker-2`.
    """

    def __init__(self, settings: Settings, logs: Path, stack: AsyncExitStack) -> None:
        self.settings = settings
        self.running: dict[str, Child] = {}
        self._environment = settings_environment(settings)
        self._logs = logs
        self._stack = stack
        self._starts = 0

    async def start(self, *names: str) -> None:
        """Start processes and wait until all are at work.

        Raises:
            ChildDied, StartTimeout: one did not get so far.
        """
        ready_files = {}
        for name in names:
            self._starts += 1
            command = name.partition("-")[0]
            ready_file = self._logs / f"{name}.{self._starts}.ready"
            extra = ["--data-dir", str(self._logs / name)] if command == "worker" else []
            line = [sys.executable, "-m", "limelight.streams.cli", command, *extra]
            line += ["--ready-file", str(ready_file)]
            child = await self._stack.enter_async_context(
                child_process(name, line, self._log_file(name), self._environment)
            )
            self.running[name] = child
            ready_files[child] = ready_file
        for child, ready_file in ready_files.items():
            await child.wait_until(asyncio.create_task(_until_exists(child.name, ready_file)))

    def _log_file(self, name: str) -> Path:
        """A log of its own for each start, so that none overwrites what another said."""
        first = self._logs / f"{name}.log"
        return first if not first.exists() else self._logs / f"{name}.{self._starts}.log"

    async def kill(self, name: str) -> None:
        """End a process as a power cut would: SIGKILL, without a chance to say goodbye."""
        child = self.running.pop(name)
        if child.process.returncode is None:
            child.process.kill()
        await child.process.wait()

    def check(self) -> None:
        """Raise ChildDied if a process that should run has ended."""
        for child in self.running.values():
            if child.process.returncode is not None:
                raise child.died()


@asynccontextmanager
async def running_system(
    settings: Settings,
    push: PushSettings,
    logs: Path,
    *,
    partitions: int = EMBEDDED_PARTITIONS,
    workers: int = 1,
    engines: int = 1,
    others: Sequence[str] = (),
    broker: Broker = embedded_broker,
) -> AsyncIterator[LiveSystem]:
    """Broker, workers and engines, all at work for the length of a block; `others` are commands.

    Raises:
        ChildDied, BrokerUnavailable, StartTimeout: whatever had started has ended again.
    """
    logs.mkdir(parents=True, exist_ok=True)
    for old in logs.glob("*.log"):
        old.unlink()
    kafka = embedded_kafka(free_port(), partitions)
    # At many times real speed a source is behind for a moment without being silent.
    assembler = settings.assembler.model_copy(update={"silent_source_deadline_s": 300.0})
    # Whatever Kafka, receiver and ports the settings name belongs to another system than this one.
    settings = settings.model_copy(
        update={
            "kafka": kafka,
            "push": push,
            "metrics": MetricsSettings(),
            "assembler": assembler,
        }
    )
    async with AsyncExitStack() as stack:
        child = await stack.enter_async_context(broker(kafka, logs / "broker.log"))
        system = LiveSystem(settings, logs, stack)
        system.running["broker"] = child
        names = ["worker", *(f"worker-{number}" for number in range(2, workers + 1))]
        names += ["engine", *(f"engine-{number}" for number in range(2, engines + 1)), *others]
        await system.start(*names)
        yield system


async def _until_exists(name: str, file: Path) -> None:
    deadline_s = time.monotonic() + START_LIMIT_S
    while not file.exists():
        if time.monotonic() > deadline_s:
            raise StartTimeout(f"{name}: found it not ready after {START_LIMIT_S:g} s")
        await asyncio.sleep(0.1)
