"""Child processes that never outlive us: started quietly, watched, and ended politely."""

import asyncio
import ctypes
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from limelight.engine.errors import LimelightError

logger = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_LAST_LINES = 12


class ChildDied(LimelightError):
    """A process that should be running has ended by itself."""


@dataclass(frozen=True, slots=True)
class Child:
    """A running child process and where its output goes."""

    name: str
    process: asyncio.subprocess.Process
    log_file: Path

    def died(self) -> ChildDied:
        """What to raise about its end, with the last it said."""
        lines = self.log_file.read_text(errors="replace").splitlines()[-_LAST_LINES:]
        said = "\n  ".join(lines) or "(it said nothing)"
        return ChildDied(
            f"{self.name}: found it ended with status {self.process.returncode}, expected it to"
            f" run; its last words, from {self.log_file}:\n  {said}"
        )

    async def wait_until(self, ready: asyncio.Task[None]) -> None:
        """Wait for `ready`, or raise ChildDied if the process ends first."""
        ended = asyncio.create_task(self.process.wait())
        try:
            await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                raise self.died()
            await ready
        finally:
            ready.cancel()
            ended.cancel()


@asynccontextmanager
async def child_process(
    name: str, command: Sequence[str], log_file: Path, environment: Mapping[str, str]
) -> AsyncIterator[Child]:
    """A child for the length of a block, ended when the block is left, however it is left."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**_inherited(), **environment},
            # Ctrl-C goes to the whole foreground group; we end our children ourselves, in order.
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
    try:
        yield Child(name, process, log_file)
    finally:
        await stop_process(process)


def _inherited() -> dict[str, str]:
    """Our environment without settings: a child gets those that it is given, and no others."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LIMELIGHT_")}


def _die_with_parent() -> None:
    """Let the kernel end this child when its parent dies, even by SIGKILL (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


async def stop_process(process: asyncio.subprocess.Process, grace_s: float = 8.0) -> None:
    """Ask a child to end, and insist after `grace_s`."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), grace_s)
    except TimeoutError:
        logger.warning("child had to be killed", extra={"pid": process.pid})
        process.kill()
        await process.wait()
