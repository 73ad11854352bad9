"""How many live rooms a worker carries on one core, and what each of them costs."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.result import Result
from tests.bench.scale.live import WARM_UP_S, Live, idle_memory_mb, run_live
from tests.bench.scale.processes import all_cores

# Rooms, workers, numbers in a picture feature: 48 of the bundled encoder, 1,024 of Swin-B.
RUNS = (
    (1_000, 1, 48),
    (2_500, 1, 48),
    (5_000, 1, 48),
    (10_000, 1, 48),
    (10_000, 2, 48),
    (1_000, 1, 1_024),
    (5_000, 1, 1_024),
)
SECONDS = 50
# A window is of 80 kB there: fewer seconds keep the broker's memory below 2 GB.
SECONDS_OF_LARGE_FEATURES = 40


def run() -> Result:
    rows = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        idle_mb = asyncio.run(idle_memory_mb(folder / "idle"))
        for rooms, workers, feature_size in RUNS:
            seconds = SECONDS if feature_size < 100 else SECONDS_OF_LARGE_FEATURES
            live = asyncio.run(
                run_live(
                    rooms,
                    workers=workers,
                    feature_size=feature_size,
                    seconds=seconds,
                    folder=folder / f"{rooms}-{workers}-{feature_size}",
                )
            )
            print(live.summary(), flush=True)
            rows.append(_row(live, workers, feature_size, idle_mb))
    return Result(
        title="Rooms on one core",
        columns=(
            "rooms",
            "workers",
            "feature size",
            "cores used",
            "rooms a core",
            "close to window p50 ms",
            "p99 ms",
            "workers' memory MB",
            "KB a room",
        ),
        rows=tuple(rows),
        note=(
            "`limelight load` in real time, segments of 30 s, windows of 20 (full from the start),"
            " comments in lists (1.63 a second and room on average, lognormal), 4 partitions,"
            f" {SECONDS} s of which the first {WARM_UP_S} are left out"
            f" ({SECONDS_OF_LARGE_FEATURES} s with features of 1,024). Cores used: user and system"
            " time of the worker processes over real time; rooms a core is rooms over that. Close"
            " to window: from sending the mark that closes a segment until its window has been"
            " read from Kafka. Memory: resident at the end; KB a room without that of an idle"
            f" worker, {idle_mb:.0f} MB. The worker has one core to itself, broker, load and reader"
            f" share the other of {len(all_cores())}; two workers share both with them."
            " Targets: p99 below 500 ms, 10,000 rooms on 2 cores, at most 60 KB a room."
        ),
    )


def _row(live: Live, workers: int, feature_size: int, idle_mb: float) -> tuple[str | float, ...]:
    p50, p99 = (live.percentile_ms(percent) for percent in (50, 99))
    missing = f" ({live.windows_missing} not in time)" if live.windows_missing else ""
    return (
        live.rooms,
        workers,
        feature_size,
        round(live.cores, 3),
        round(live.rooms / live.cores / 100) * 100,
        round(p50),
        f"{round(p99)}{missing}",
        round(live.memory_mb),
        round((live.memory_mb - workers * idle_mb) * 1024 / live.rooms, 1),
    )
