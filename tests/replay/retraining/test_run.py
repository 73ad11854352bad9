"""A run from the log to the registry: it promotes what is better, and changes nothing else."""

import errno
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from limelight.engine.network import BUNDLED_NETWORK
from limelight.replay.feature_log.reading import FeatureLog
from limelight.replay.registry.errors import ChangedMeanwhile
from limelight.replay.registry.lease import lease
from limelight.replay.registry.records import Change, Lineage
from limelight.replay.registry.registry import Registry
from limelight.replay.retraining import rooms as rooms_module
from limelight.replay.retraining import run as run_module
from limelight.replay.retraining.drift import DISTRIBUTION, decoded_distribution
from limelight.replay.retraining.errors import TooLittleData
from limelight.replay.retraining.run import (
    MOST_FAILURES,
    RetrainingRun,
    Surroundings,
)
from limelight.replay.retraining.state import STATE, RunState, begin, load_state, unfinished
from limelight.replay.store import Store
from limelight.streams.settings import FeaturelogSettings, RetrainingSettings, Settings
from tests.replay.failing_store import PowerCut
from tests.replay.feature_log.records import SEGMENT_MS, START_MS
from tests.replay.retraining.platform import changed_world, write_log, write_scores

TRAINING = """
preset = "tiny"
epochs = 3
learning_rate = 1e-3
schedule = "cosine"
checkpoint_every_steps = 3
"""
ROOMS = [(changed_world(), 5_000 + number, number * 6) for number in range(32)]
END_MS = START_MS + (31 * 6 + 40) * SEGMENT_MS


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rooms of a platform whose audience likes other things than the bundled network learned."""
    root = tmp_path_factory.mktemp("platform") / "log"
    write_log(root, ROOMS)
    return root


@pytest.fixture(scope="module")
def first(log: Path, tmp_path_factory: pytest.TempPathFactory) -> "Platform":
    """A platform on which one run has been made."""
    platform = Platform(log, tmp_path_factory.mktemp("first"))
    finished(platform)
    return platform


@pytest.fixture
def uninterrupted(first: "Platform") -> RunState:
    return load_state(min((first.work / "runs").iterdir()))


class Platform:
    """What surrounds a run; `told` is what it said, `announced` how often engines were told."""

    def __init__(self, log: Path, folder: Path, **options: Any) -> None:
        self.log = log
        self.work = folder / "work"
        self.registry = Registry(folder / "registry")
        self.told: list[str] = []
        self.announced: list[Change] = []
        self.wait: Callable[[float], None] = lambda seconds: None
        self.is_broker_down = False
        config = folder / "training.toml"
        config.write_text(TRAINING)
        asked = {"min_windows": 8, "min_slice_rooms": 8, "shadow_s": 0.0, "config": str(config)}
        # So few rooms: whose streamers are popular says more than any network.
        asked |= {"calibration_low": 0.7, "calibration_high": 1.4}
        asked |= options
        self.settings = Settings(
            featurelog=FeaturelogSettings(label_delay_s=0),
            retraining=RetrainingSettings(work=str(self.work), **asked),
        )

    @contextmanager
    def run(self, folder: Path | None = None, until_ms: int = END_MS) -> Iterator[RetrainingRun]:
        folder = folder or begin(self.work, str(self.log), until_ms, START_MS)
        with lease(Store(self.registry.root), "retraining") as held:
            yield RetrainingRun(
                folder,
                Surroundings(
                    settings=self.settings,
                    log=lambda: FeatureLog(self.log, label_delay_s=0),
                    registry=self.registry,
                    announce=self.announces,
                    lease=held,
                    tell=self.told.append,
                    now_ms=self.now_ms,
                    wait=self.waits,
                ),
            )

    clock_ms = START_MS

    def now_ms(self) -> int:
        return self.clock_ms

    def announces(self) -> None:
        if self.is_broker_down:
            raise ConnectionError("no broker")
        self.announced.append(self.registry.pointers())

    def waits(self, seconds: float) -> None:
        self.clock_ms += round(seconds * 1000)
        self.wait(seconds)


def finished(platform: Platform, folder: Path | None = None) -> RunState:
    with platform.run(folder) as run:
        return run.run()


def test_a_changed_platform_gets_a_better_network(first: Platform, uninterrupted: RunState) -> None:
    state, registry = uninterrupted, first.registry
    assert state.outcome == "promoted", state.reason
    change = registry.pointers()
    assert (change.champion, change.previous) == (state.candidate, (None,))
    assert first.announced == [change]
    version = registry.version(state.candidate)
    assert version.lineage.parent == state.champion
    assert version.lineage.start_ms == START_MS
    assert version.lineage.end_ms == state.cuts[2] < END_MS
    # What it learned from is kept with it, as the drift report of its successor needs it.
    kept = decoded_distribution(registry.file(state.candidate, DISTRIBUTION))
    assert len(kept["frame_features"]) == 48
    assert not (first.work / "runs" / state.id / "rooms").exists()


def test_a_champion_that_has_not_fallen_is_left_alone(
    first: Platform, uninterrupted: RunState, tmp_path: Path
) -> None:
    """The same registry and log, asked again."""
    platform = Platform(first.log, tmp_path, when_worse_by=0.05)
    platform.registry = first.registry
    state = finished(platform)
    assert (state.outcome, state.candidate) == ("skipped", "")
    assert state.champion == uninterrupted.candidate
    (changed,) = [line for line in platform.told if "drift" in line]
    assert "features" not in changed  # the same pictures and words


def test_what_is_no_better_by_a_margin_is_rejected(first: Platform, tmp_path: Path) -> None:
    platform = Platform(first.log, tmp_path, margin=0.5)
    platform.registry = first.registry
    before = first.registry.pointers()
    state = finished(platform)
    assert state.outcome == "rejected"
    assert state.reason.startswith("tau above the champion's: found")
    assert first.registry.pointers() == before
    assert state.candidate not in [version.name for version in first.registry.versions()]


def test_a_run_that_is_killed_again_and_again_ends_as_one_that_was_not(
    log: Path, uninterrupted: RunState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the outcome of each stage is written, and right behind it."""
    platform = Platform(log, tmp_path)
    folder = begin(platform.work, str(log), END_MS, START_MS)
    write = run_module.save_state
    killed = []

    def save(folder: Path, state: RunState) -> None:
        if (state.stage, "before") not in killed:
            killed.append((state.stage, "before"))
            raise PowerCut
        write(folder, state)
        if (state.stage, "behind") not in killed:
            killed.append((state.stage, "behind"))
            raise PowerCut

    monkeypatch.setattr(run_module, "save_state", save)
    while unfinished(platform.work) is not None:
        if load_state(folder).stage in ("collect", "notice", "train", "judge"):
            assert platform.registry.versions() == []
        with pytest.raises(PowerCut), platform.run(folder) as run:
            run.run()
    stages = ("collect", "notice", "train", "judge", "register", "decide", "ended")
    assert killed == [(stage, when) for stage in stages for when in ("before", "behind")]
    # The name ends with the hash of the weights: they are the same to the last bit.
    assert load_state(folder) == uninterrupted.model_copy(update={"source": str(log)})
    assert [version.name for version in platform.registry.versions()] == [uninterrupted.candidate]
    assert [change.action for change in platform.registry.history()] == ["promote"]


def test_a_challenger_is_judged_on_live_rooms(log: Path, tmp_path: Path) -> None:
    live = ROOMS[-10:]
    own = tmp_path / "log"
    shutil.copytree(log, own)
    platform = Platform(own, tmp_path, shadow_s=60.0, min_shadow_windows=5)
    waits = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        now = platform.registry.pointers()
        if len(waits) == 3:
            state = load_state(unfinished(platform.work))
            assert now.challenger == state.candidate
            assert now.champion is None
            write_scores(own, live, state.champion, state.candidate)

    platform.wait = wait
    state = finished(platform)
    assert state.outcome == "promoted", state.reason
    assert sum(waits) >= 60
    assert [change.action for change in platform.registry.history()] == ["challenge", "promote"]
    assert "tau above the champion's on live rooms" in state.reason


def test_a_challenger_that_nobody_saw_is_withdrawn(log: Path, tmp_path: Path) -> None:
    platform = Platform(log, tmp_path, shadow_s=60.0, shadow_limit_s=120.0)
    state = finished(platform)
    assert state.outcome == "rejected"
    assert state.reason == "windows: found 0, expected at least 50"
    change = platform.registry.pointers()
    assert (change.champion, change.challenger, change.action) == (None, None, "withdraw")
    assert platform.announced[-1] == change


def test_a_champion_promoted_by_hand_meanwhile_stays(log: Path, tmp_path: Path) -> None:
    own = tmp_path / "log"
    shutil.copytree(log, own)
    platform = Platform(own, tmp_path, shadow_s=60.0, min_shadow_windows=1)
    other = []

    def wait(seconds: float) -> None:
        if not other:
            state = load_state(unfinished(platform.work))
            other.append(state.champion)
            source = platform.work / "runs" / state.id / "champion"
            version = platform.registry.register(source, "by-hand", metrics={}, lineage=Lineage())
            platform.registry.change(lambda now: now.promoted(version.name, "by hand"))
            write_scores(own, ROOMS[-5:], state.champion, state.candidate)

    platform.wait = wait
    with pytest.raises(Exception, match="champion: found by-hand, expected none as when"):
        finished(platform)
    change = platform.registry.pointers()
    assert (change.champion, change.challenger) == ("by-hand", None)
    assert unfinished(platform.work) is None


def test_too_little_data_fails_the_run_and_changes_nothing(log: Path, tmp_path: Path) -> None:
    platform = Platform(log, tmp_path)
    with (
        pytest.raises(TooLittleData, match="found nothing before the time asked for"),
        platform.run(until_ms=START_MS - 1) as run,
    ):
        run.run()
    assert load_state(run.folder).outcome == "failed"
    assert unfinished(platform.work) is None
    assert platform.registry.pointers() == Change()
    assert platform.announced == []


def test_an_abandoned_run_withdraws_its_challenger(log: Path, tmp_path: Path) -> None:
    platform = Platform(log, tmp_path, shadow_s=60.0)

    def wait(seconds: float) -> None:
        raise KeyboardInterrupt

    platform.wait = wait
    with pytest.raises(KeyboardInterrupt):
        finished(platform)
    assert platform.registry.pointers().challenger is not None
    with platform.run(unfinished(platform.work)) as run:
        assert run.abandon().outcome == "abandoned"
    assert platform.registry.pointers().challenger is None


def test_a_state_that_was_never_written_whole_is_not_read(tmp_path: Path) -> None:
    folder = begin(tmp_path, "log", END_MS, START_MS)
    (folder / f"{STATE}.part").write_text("{")
    assert load_state(folder).stage == "collect"


def test_a_state_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = begin(tmp_path, "log", END_MS, START_MS)
    (folder / STATE).write_text("")
    with pytest.raises(ValueError, match=rf"{STATE}: found Invalid JSON: .*expected the state of"):
        unfinished(tmp_path)


def test_collecting_resumed_keeps_its_champion_and_its_cuts(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one network is trained on and another replaced, or one part reaches into the next."""
    platform = Platform(log, tmp_path, min_windows=1_000_000)
    folder = begin(platform.work, str(log), END_MS, START_MS)

    def killed(*arguments: object) -> None:
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "collect", killed)
        with pytest.raises(PowerCut):
            finished(platform, folder)
    before = load_state(folder)
    platform.registry.register(folder / "champion", "by-hand", metrics={}, lineage=Lineage())
    platform.registry.change(lambda now: now.promoted("by-hand", "by hand"))
    options = platform.settings.retraining.model_copy(update={"test_share": 0.5})
    platform.settings = platform.settings.model_copy(update={"retraining": options})
    state = finished(platform, folder)
    assert state.outcome == "skipped"
    assert (state.champion, state.pointer, state.cuts) == (before.champion, None, before.cuts)


def deciding(platform: Platform, *, passed: bool) -> Path:
    """A run whose challenger has had its shadow."""
    folder = begin(platform.work, "log", END_MS, START_MS)
    platform.registry.register(BUNDLED_NETWORK, "candidate", metrics={}, lineage=Lineage())
    platform.registry.change(lambda now: now.challenged("candidate", "run"))
    for name in ("gate.json", "shadow.json"):
        (folder / name).write_text(json.dumps({"passed": passed, "reason": "as measured"}))
    changes = {"stage": "decide", "champion": "first", "candidate": "candidate"}
    state = load_state(folder).model_copy(update=changes | {"shadow_from_ms": START_MS})
    run_module.save_state(folder, state)
    return folder


def test_a_challenger_withdrawn_by_hand_is_not_promoted(tmp_path: Path) -> None:
    platform = Platform(tmp_path / "log", tmp_path)
    folder = deciding(platform, passed=True)
    withdrawn = platform.registry.change(lambda now: now.challenged(None, "by hand"))
    with pytest.raises(ChangedMeanwhile, match="challenger: found none, expected candidate"):
        finished(platform, folder)
    assert platform.registry.pointers() == withdrawn
    assert load_state(folder).outcome == "failed"


def test_engines_are_told_of_a_withdrawal_that_the_first_try_could_not_tell(
    tmp_path: Path,
) -> None:
    platform = Platform(tmp_path / "log", tmp_path)
    folder = deciding(platform, passed=False)
    platform.is_broker_down = True
    with pytest.raises(ConnectionError):
        finished(platform, folder)
    platform.is_broker_down = False
    assert finished(platform, folder).outcome == "rejected"
    assert [change.challenger for change in platform.announced] == [None]


def test_a_stage_that_fails_again_and_again_ends_the_run(log: Path, tmp_path: Path) -> None:
    platform = Platform(log, tmp_path)
    (tmp_path / "training.toml").write_text("epochs = 0")
    folder = begin(platform.work, str(log), END_MS, START_MS)
    for _ in range(MOST_FAILURES):
        assert unfinished(platform.work) == folder
        with pytest.raises(ValueError, match="epochs: found 0"), platform.run(folder) as run:
            run.run()
    assert unfinished(platform.work) is None
    assert load_state(folder).outcome == "failed"
    assert platform.registry.pointers() == Change()


def test_a_full_disk_leaves_the_run_where_it_was(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = Platform(log, tmp_path)
    folder = begin(platform.work, str(log), END_MS, START_MS)

    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(rooms_module, "save_rooms", full)
    for _ in range(MOST_FAILURES + 1):
        with pytest.raises(OSError, match="No space left"), platform.run(folder) as run:
            run.run()
    assert load_state(folder).stage == "collect"
    monkeypatch.undo()
    assert finished(platform, folder).outcome == "promoted"
