"""The closed loop in small: real broker, worker, engine, log writer and retraining service."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from limelight.replay.learning.figures import FIRST, SERVED
from limelight.replay.learning.loop import LearningOptions, run_learning
from limelight.streams.settings import Settings

TRAINING = """
preset = "tiny"
epochs = 3
learning_rate = 1e-3
schedule = "cosine"
"""


@pytest.mark.broker
async def test_a_changed_taste_is_noticed_learned_and_served(tmp_path: Path) -> None:
    training = tmp_path / "training.toml"
    training.write_text(TRAINING)
    options = LearningOptions(
        tmp_path / "out",
        rooms_a_wave=12,
        segments=20,
        change_at=1,
        waves_after=1,
        waits_for_training=True,
        training=str(training),
        retraining={
            "calibration_low": 0.5,
            "calibration_high": 2.0,
            "shadow_s": 0.5,
            "shadow_bound": 0.1,
            "min_windows": 8,
            "min_shadow_windows": 5,
        },
    )
    learned = await run_learning(options, Settings(), Console(quiet=True))
    first, *_, last = learned.waves
    bundled = first.versions[0]
    assert not first.taste_changed and last.taste_changed
    (served,) = last.versions
    assert served.startswith("retrained-")
    fallen = learned.waves[1].tau[SERVED].value
    assert fallen < first.tau[SERVED].value - 0.2
    assert last.tau[SERVED].value > last.tau[FIRST].value
    actions = [change.action for _, change in learned.changes]
    assert actions[0] == "promote" and actions[-1] in ("promote", "challenge", "withdraw")
    promoted = next(change for _, change in learned.changes[1:] if change.action == "promote")
    assert promoted.previous == (bundled, None)
    assert "tau above the champion's on live rooms" in promoted.reason
    for name in ("learning.svg", "learning.html"):
        assert "taste changes" in (options.out_dir / name).read_text()
    written = json.loads((options.out_dir / "learning.json").read_text())
    assert len(written["waves"]) == len(learned.waves)
    with pytest.raises(ValueError, match="found an earlier loop's log, expected a new folder"):
        await run_learning(options, Settings(), Console(quiet=True))
