"""What a message costs a worker, against an agent that only reads, and against aiokafka alone."""

import asyncio
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Literal

from tests.bench.result import Result
from tests.bench.scale.cost import READERS, Log, cost_us, prepared_log

Comments = Literal["batched", "single"]
# So many rooms and seconds give logs of about 65,000 messages, in lists and one by one.
LOGS: dict[Comments, tuple[int, int]] = {"batched": (1_000, 120), "single": (280, 120)}
ROUNDS = 3
TARGET = 1.3


def run() -> Result:
    rows: list[tuple[str | float, ...]] = []
    with TemporaryDirectory() as name:
        for comments, (rooms, seconds) in LOGS.items():
            times_us: dict[str, list[float]] = {reader: [] for reader in READERS}
            for number in range(ROUNDS):
                folder = Path(name) / f"{comments}-{number}"
                log, costs = asyncio.run(_round(comments, rooms, seconds, folder))
                print(comments, {reader: round(us, 1) for reader, us in costs.items()}, flush=True)
                for reader, us in costs.items():
                    times_us[reader].append(us)
            bare_us = min(times_us["faust"])
            for reader, label in READERS.items():
                us = times_us[reader]
                rows.append(
                    (
                        "in lists" if comments == "batched" else "one by one",
                        round(log.entries / log.messages, 1),
                        label,
                        round(min(us), 1),
                        round(median(us), 1),
                        f"{min(us) / bare_us:.2f}x",
                        f"at most {TARGET}x" if reader == "worker" else "",
                    )
                )
    return Result(
        title="Processor time of a message",
        columns=(
            "comments",
            "entries a message",
            "who reads",
            "min us",
            "median us",
            "of the bare agent",
            "target",
        ),
        rows=tuple(rows),
        note=(
            "User and system time of the whole process over the messages that it read, marks"
            " included, of one log that had been written before; the first fifth is left out. The"
            " worker assembles, sends windows of 20 segments (features of 48 numbers) and keeps its"
            " table; its app is that of the bare agent. Each round has a broker and a log of its"
            f" own and all three, one after the other; {ROUNDS} rounds."
        ),
    )


async def _round(
    comments: Comments, rooms: int, seconds: int, folder: Path
) -> tuple[Log, dict[str, float]]:
    async with prepared_log(comments, rooms, seconds, folder) as log:
        return log, {reader: await cost_us(reader, log) for reader in READERS}
