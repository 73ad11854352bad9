"""The whole system on one machine: an embedded broker, a worker and an engine as processes."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from limelight.engine.errors import LimelightError
from limelight.streams.broker import embedded_broker, embedded_kafka, free_port
from limelight.streams.child import Child, child_process
from limelight.streams.settings import (
    MetricsSettings,
    PushSettings,
    Settings,
    settings_environment,
)

START_LIMIT_S = 120.0


class StartTimeout(LimelightError):
    """A process did not get to work in time."""


@asynccontextmanager
async def running_system(
    settings: Settings, push: PushSettings, logs: Path
) -> AsyncIterator[tuple[Settings, list[Child]]]:
    """Broker, worker and engine, all at work for the length of a block.

    Gives the settings that reach them and the processes, to be watched.

    Raises:
        ChildDied, BrokerUnavailable, StartTimeout: whatever had started has ended again.
    """
    logs.mkdir(parents=True, exist_ok=True)
    kafka = embedded_kafka(free_port())
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
    environment = settings_environment(settings)
    async with AsyncExitStack() as stack:
        children = [await stack.enter_async_context(embedded_broker(kafka, logs / "broker.log"))]
        ready_files = []
        for name, extra in (("worker", ("--data-dir", str(logs / "worker"))), ("engine", ())):
            ready_file = logs / f"{name}.ready"
            ready_file.unlink(missing_ok=True)
            command = (sys.executable, "-m", "limelight.streams.cli", name, *extra)
            child = await stack.enter_async_context(
                child_process(
                    name,
                    (*command, "--ready-file", str(ready_file)),
                    logs / f"{name}.log",
                    environment,
                )
            )
            children.append(child)
            ready_files.append((child, ready_file))
        for child, ready_file in ready_files:
            await child.wait_until(asyncio.create_task(_until_exists(child.name, ready_file)))
        yield settings, children


async def _until_exists(name: str, file: Path) -> None:
    deadline_s = time.monotonic() + START_LIMIT_S
    while not file.exists():
        if time.monotonic() > deadline_s:
            raise StartTimeout(f"{name}: found it not ready after {START_LIMIT_S:g} s")
        await asyncio.sleep(0.1)
