"""`limelight demo --learn`: a platform's taste changes, and the system learns it while it runs.

Everything is what production runs: worker and engine over Kafka, `limelight log write`, and
`limelight retrain --every`, each a process of its own. Only the rooms are simulated.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from transformers.utils.logging import disable_progress_bar

from limelight.engine.errors import LimelightError
from limelight.engine.network import BUNDLED_NETWORK, load_network
from limelight.engine.tiny_encoders import PRETRAINED
from limelight.kernels.energy import SEGMENT_MS
from limelight.replay.evaluation.written import write_figures
from limelight.replay.learning.figures import WaveFigures, wave_figures
from limelight.replay.learning.report import write_learning_report
from limelight.replay.learning.waves import Platform, ScoresSeen, stream
from limelight.replay.live_run import running_task
from limelight.replay.registry.announcement import announce
from limelight.replay.registry.code_version import code_version
from limelight.replay.registry.records import Change, Lineage
from limelight.replay.registry.registry import Registry
from limelight.replay.retraining.state import STATE, RunState, load_state
from limelight.replay.system import START_LIMIT_S, LiveSystem, StartTimeout, running_system
from limelight.streams.child import Child, child_process
from limelight.streams.settings import (
    FeaturelogSettings,
    PushSettings,
    RegistrySettings,
    RetrainingSettings,
    Settings,
    settings_environment,
)

# What the bundled network reached on rooms it had not seen; see docs/results.md.
_TRAINING_NOTE = PRETRAINED / "training.json"


class NotLearned(LimelightError):
    """The loop did not close in the waves that it was given."""


@dataclass(frozen=True, slots=True)
class LearningOptions:
    """
    Args:
        change_at: the wave with which taste changes.
        waves_after: how many waves are still played after the first promotion.
        most_waves: no more than so many in all; a slow machine trains for many of them.
        waits_for_training: no wave is played while a candidate is trained, so that both need not
            share the machine.
        training: a TOML file of training settings, empty for retraining's own.
        retraining: changes of retraining's settings.
    """

    out_dir: Path
    rooms_a_wave: int = 24
    segments: int = 40
    change_at: int = 3
    waves_after: int = 6
    most_waves: int = 60
    waits_for_training: bool = False
    training: str = ""
    retraining: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Learned:
    """What came of it: the waves' figures, the registry's changes and the runs, in order."""

    waves: list[WaveFigures]
    changes: list[tuple[int, Change]]  # with the wave during which each was made
    runs: list[RunState]
    seconds: float


async def run_learning(options: LearningOptions, settings: Settings, console: Console) -> Learned:
    """Play waves until a retrained network has served some of them; write report and figures.

    Raises:
        NotLearned: no candidate was promoted.
        Stalled, ChildDied, BrokerUnavailable: what went wrong; whatever was started has ended.
    """
    started_s, out = time.monotonic(), options.out_dir
    disable_progress_bar()  # of loading a few MB
    if (out / "registry").exists() or (out / "feature-log").exists():
        raise ValueError(f"{out}: found an earlier loop's log, expected a new folder")
    # So early that no wave lies in the future, where retraining does not look.
    platform = Platform(0, options.rooms_a_wave, options.segments, options.change_at)
    base_ms = int(time.time() * 1000) - options.most_waves * platform.wave_ms
    platform = replace(platform, base_ms=base_ms // SEGMENT_MS * SEGMENT_MS)
    seen, changed_in = ScoresSeen(), dict[int, int]()
    async with AsyncExitStack() as stack:
        console.print("starting broker, worker, engine, log writer and retraining ...")
        system = await stack.enter_async_context(
            running_system(_settings(settings, options, platform), PushSettings(), out / "logs")
        )
        registry = Registry(system.settings.registry.root)
        _register_bundled(registry)
        await announce(registry, system.settings.kafka)
        helpers = [
            await stack.enter_async_context(_log_writer(system, out)),
            await stack.enter_async_context(_retraining(system, out)),
        ]
        following = await stack.enter_async_context(running_task(seen.follow(system)))

        def check() -> None:
            system.check()
            for child in helpers:
                if child.process.returncode is not None:
                    raise child.died()
            if following.done():
                following.result()

        number, told = 0, set[str]()
        promoted_in: int | None = None
        while promoted_in is None or number <= promoted_in + options.waves_after:
            if number == options.most_waves:
                raise NotLearned(_why_not(system, number))
            wave = platform.wave(number)
            with Progress(console=console, transient=True) as progress:
                name = f"wave {number + 1}, {'changed' if wave.taste_changed else 'known'} taste"
                task = progress.add_task(name, total=wave.windows)

                def show(count: int, task: Any = task, progress: Progress = progress) -> None:
                    progress.update(task, completed=count)

                await stream(wave, system, seen, check, show)
            for change in registry.history():
                first_seen_in = changed_in.setdefault(change.number, number)
                if change.number > 1 and change.action == "promote" and promoted_in is None:
                    promoted_in = first_seen_in
            versions = _versions(seen, [room.room_id for room in wave.rooms])
            console.print(f"{name}: scored by {', '.join(versions)}", highlight=False)
            _tell_runs(system, told, console)
            while options.waits_for_training and _is_training(system):
                await asyncio.sleep(0.2)
                check()
            number += 1
        history = registry.history()
    # The writer has written the rest of the log when it ended.
    waves = [platform.wave(each) for each in range(number)]
    figures = await asyncio.to_thread(
        wave_figures, waves, seen, str(out / "feature-log"), BUNDLED_NETWORK
    )
    learned = Learned(
        waves=figures,
        # One may have come since its wave was over.
        changes=[(changed_in.get(change.number, number - 1), change) for change in history],
        runs=_runs(system),
        seconds=round(time.monotonic() - started_s, 1),
    )
    _write(out / "learning.json", learned)
    for path in write_learning_report(learned.waves, learned.changes, learned.runs, out):
        console.print(f"written: {path}", highlight=False, soft_wrap=True)
    return learned


def _settings(settings: Settings, options: LearningOptions, platform: Platform) -> Settings:
    """Settings of a platform whose hours pass in seconds."""
    out = options.out_dir.resolve()
    asked: dict[str, Any] = {
        "work": str(out / "retraining"),
        "config": options.training,
        # The newest wave to judge on, a few to learn from.
        "hours": 5 * platform.wave_ms / 3_600_000,
        "test_share": 0.25,
        "when_worse_by": 0.1,
        "min_windows": options.rooms_a_wave // 2,
        "min_slice_rooms": options.rooms_a_wave // 2,
        # Rooms of a wave are few: whose streamers are popular moves the mean.
        "calibration_low": 0.8,
        "calibration_high": 1.25,
        "shadow_s": 5.0,
        "shadow_limit_s": 300.0,
        "min_shadow_windows": options.rooms_a_wave,
    }
    return settings.model_copy(
        update={
            "featurelog": FeaturelogSettings(
                root=str(out / "feature-log"), flush_s=2.0, label_delay_s=0.0
            ),
            "registry": RegistrySettings(root=str(out / "registry")),
            "retraining": RetrainingSettings(**asked | (options.retraining or {})),
        }
    )


def _register_bundled(registry: Registry) -> None:
    """The bundled network as the first champion, with what it was measured at."""
    note = json.loads(_TRAINING_NOTE.read_text())
    version = load_network(BUNDLED_NETWORK).config.model_version
    registry.register(
        BUNDLED_NETWORK,
        version,
        metrics={"tau": float(note["test"]["tau"])},
        lineage=Lineage(code=code_version(), note="bundled with Limelight"),
    )
    registry.change(lambda now: now.promoted(version, "bundled"))


@asynccontextmanager
async def _log_writer(system: LiveSystem, out: Path) -> AsyncIterator[Child]:
    ready = out / "logs" / "log-writer.ready"
    command = [sys.executable, "-m", "limelight.streams.cli", "log", "write"]
    environment = settings_environment(system.settings)
    async with child_process(
        "log writer",
        [*command, "--ready-file", str(ready)],
        out / "logs" / "log-writer.log",
        environment,
    ) as child:
        await child.wait_until(asyncio.create_task(_exists(ready)))
        yield child


@asynccontextmanager
async def _retraining(system: LiveSystem, out: Path) -> AsyncIterator[Child]:
    command = [sys.executable, "-m", "limelight.streams.cli", "retrain", "--every", "5s"]
    # One core for the rooms on air.
    environment = settings_environment(system.settings) | {"OMP_NUM_THREADS": "1"}
    log = out / "logs" / "retraining.log"
    async with child_process("retraining", command, log, environment) as child:
        yield child


async def _exists(file: Path) -> None:
    try:
        async with asyncio.timeout(START_LIMIT_S):
            while not file.exists():
                await asyncio.sleep(0.1)
    except TimeoutError as error:
        raise StartTimeout(f"log writer: found it not ready after {START_LIMIT_S:g} s") from error


def _versions(seen: ScoresSeen, room_ids: list[str]) -> list[str]:
    scores = (score for room in room_ids for score in seen.scores[room].values())
    return sorted({score.model_version for score in scores})


def _runs(system: LiveSystem) -> list[RunState]:
    runs = Path(system.settings.retraining.work) / "runs"
    return [load_state(path.parent) for path in sorted(runs.glob(f"*/{STATE}"))]


def _is_training(system: LiveSystem) -> bool:
    return any(run.stage not in ("shadow", "decide", "ended") for run in _runs(system))


def _tell_runs(system: LiveSystem, told: set[str], console: Console) -> None:
    for run in _runs(system):
        if run.outcome is not None and run.id not in told:
            told.add(run.id)
            console.print(
                f"  retraining: {run.outcome}: {run.reason}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )


def _why_not(system: LiveSystem, waves: int) -> str:
    runs = _runs(system)
    last = f"{runs[-1].outcome or runs[-1].stage}: {runs[-1].reason}" if runs else "no run began"
    return (
        f"learning: found no network promoted after {waves} waves, expected one; {len(runs)} runs,"
        f" the last {last}"
    )


def _write(path: Path, learned: Learned) -> None:
    found = asdict(learned)
    found["changes"] = [
        {"wave": wave} | change.model_dump(mode="json") for wave, change in learned.changes
    ]
    found["runs"] = [run.model_dump(mode="json") for run in learned.runs]
    write_figures(found, path)
