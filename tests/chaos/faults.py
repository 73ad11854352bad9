"""What can go wrong, and when: a schedule drawn from a seed."""

import asyncio
import json
import random
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from limelight.replay.system import LiveSystem
from tests.chaos.proxy import Proxy

# Faults fall into this part of a run, in seconds after it began.
EARLIEST_S, LATEST_S = 1.0, 18.0


@dataclass(slots=True)
class Stage:
    """Everything a fault can get hold of."""

    system: LiveSystem
    proxy: Proxy
    receiver_folder: Path
    restart_receiver: Callable[[float], Awaitable[None]]
    session_timeout_s: float
    # When the fault that happens now has struck, by the monotonic clock.
    struck_s: float = 0.0

    def receiver_mode(self, fail: float, delay_s: float) -> None:
        set_mode(self.receiver_folder, fail, delay_s)


def set_mode(folder: Path, fail: float, delay_s: float) -> None:
    """How the receiver behaves from now on; written beside and moved, so that it is never half."""
    new = folder / "mode.new"
    new.write_text(json.dumps({"fail": fail, "delay_s": delay_s}))
    new.rename(folder / "mode.json")


Fault = Callable[[Stage, random.Random], Awaitable[None]]


async def _kill(stage: Stage, name: str) -> None:
    while name not in stage.system.running:  # it has ended by itself and is being started again
        await asyncio.sleep(0.1)
    await stage.system.kill(name)


async def kill_worker(stage: Stage, rng: random.Random) -> None:
    await _kill(stage, "worker")
    await asyncio.sleep(rng.uniform(0, 2))
    await stage.system.start("worker")


async def kill_engine(stage: Stage, rng: random.Random) -> None:
    await _kill(stage, "engine")
    await asyncio.sleep(rng.uniform(0, 2))
    await stage.system.start("engine")


async def kill_pusher(stage: Stage, rng: random.Random) -> None:
    """The worker dies while a request of its pusher is under way."""
    stage.receiver_mode(fail=0.0, delay_s=1.0)
    asked = stage.receiver_folder / "asked.txt"
    before = asked.stat().st_size if asked.exists() else 0
    for _ in range(400):
        await asyncio.sleep(0.02)
        if asked.exists() and asked.stat().st_size > before:
            break
    stage.struck_s = time.monotonic()
    await _kill(stage, "worker")
    stage.receiver_mode(fail=0.0, delay_s=0.0)
    await stage.system.start("worker")


async def kill_receiver(stage: Stage, rng: random.Random) -> None:
    await stage.restart_receiver(rng.uniform(0.5, 4))


async def cut_connections(stage: Stage, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 4)):
        stage.proxy.cut()
        await asyncio.sleep(rng.uniform(0.1, 1.5))


async def stall_broker(stage: Stage, rng: random.Random) -> None:
    await stage.proxy.hold_up(rng.uniform(1, stage.session_timeout_s + 3))


async def pause_worker(stage: Stage, rng: random.Random) -> None:
    await _pause(stage, "worker", stage.session_timeout_s + rng.uniform(1, 3))


async def pause_engine(stage: Stage, rng: random.Random) -> None:
    await _pause(stage, "engine", stage.session_timeout_s + rng.uniform(1, 3))


async def _pause(stage: Stage, name: str, seconds: float) -> None:
    while name not in stage.system.running:
        await asyncio.sleep(0.1)
    process = stage.system.running[name].process
    process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(seconds)
    if process.returncode is None:
        process.send_signal(signal.SIGCONT)


async def move_partitions(stage: Stage, rng: random.Random) -> None:
    """One more worker comes and takes partitions, and goes again, one way or the other."""
    await stage.system.start("worker-more")
    await asyncio.sleep(rng.uniform(1, 5))
    if rng.random() < 0.5:
        await _kill(stage, "worker-more")
    else:
        child = stage.system.running.pop("worker-more")
        child.process.terminate()
        await child.process.wait()


async def slow_receiver(stage: Stage, rng: random.Random) -> None:
    stage.receiver_mode(fail=0.0, delay_s=rng.uniform(0.5, 3))
    await asyncio.sleep(rng.uniform(3, 8))
    stage.receiver_mode(fail=0.0, delay_s=0.0)


async def failing_receiver(stage: Stage, rng: random.Random) -> None:
    stage.receiver_mode(fail=rng.uniform(0.5, 1.0), delay_s=0.0)
    await asyncio.sleep(rng.uniform(3, 8))
    stage.receiver_mode(fail=0.0, delay_s=0.0)


FAULTS: dict[str, Fault] = {
    "worker killed": kill_worker,
    "engine killed": kill_engine,
    "killed while pushing": kill_pusher,
    "receiver killed": kill_receiver,
    "connections cut": cut_connections,
    "broker stalls": stall_broker,
    "worker paused": pause_worker,
    "engine paused": pause_engine,
    "partitions moved": move_partitions,
    "receiver slow": slow_receiver,
    "receiver failing": failing_receiver,
}


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault and when it begins, in seconds after the run began."""

    name: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """What happens in one run; `restless` is a producer that repeats and reorders."""

    faults: tuple[Planned, ...]
    restless: bool
    workers: int = 1


def schedule(seed: int) -> Schedule:
    """Two to four faults. Each kind comes first in turn, so that few seeds meet all of them."""
    rng = random.Random(seed)
    names = list(FAULTS)
    chosen = [names[seed % len(names)], *rng.choices(names, k=rng.randint(1, 3))]
    times = sorted(rng.uniform(EARLIEST_S, LATEST_S) for _ in chosen)
    rng.shuffle(chosen)
    planned = [Planned(name, at_s) for name, at_s in zip(chosen, times, strict=True)]
    return Schedule(
        tuple(planned), restless=bool(rng.getrandbits(1)), workers=1 + rng.getrandbits(1)
    )
