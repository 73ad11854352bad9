"""`limelight verify`: real runs that must come to the same, and what is said when they do not."""

import io
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from limelight.replay import commands
from limelight.replay.demo import bundled_recordings
from limelight.replay.verify import NotTheSame, Plan, run_verify
from limelight.streams.settings import Settings

SHORT = [each for each in bundled_recordings() if each.name == "simulated-200003"]


@pytest.mark.broker
async def test_more_workers_more_partitions_and_a_restart_change_nothing(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=200)
    plan = Plan(partitions=16, workers=2, restart=True)
    await run_verify(SHORT, Settings(), tmp_path, console, [plan])
    said = console.file.getvalue()
    assert "reference" in said
    assert f"{plan}: 40 windows, 40 scores" in said
    assert "verified: 2 runs, one result" in said


async def test_a_run_that_differs_is_named_and_fails(tmp_path: Path, monkeypatch) -> None:
    from types import SimpleNamespace

    import orjson

    from limelight.replay import verify
    from limelight.replay.demo_state import DemoState
    from limelight.replay.outcome import Outcome

    async def run_plan(recordings, settings, plan, logs):
        outcome = Outcome()
        value = orjson.dumps({"id": f"w{plan.workers}"})
        outcome.see("windows", SimpleNamespace(value=value))
        return DemoState({}), outcome

    monkeypatch.setattr(verify, "run_plan", run_plan)
    console = Console(file=io.StringIO(), width=200)
    with pytest.raises(NotTheSame, match="1 of 3 runs differ"):
        await run_verify(SHORT, Settings(), tmp_path, console, [Plan(), Plan(workers=2)])
    said = console.file.getvalue().splitlines()
    assert said[1].endswith("the same")
    assert "1 windows missing, w1 first; 1 windows too many, w2 first" in said[2]


def test_a_folder_without_a_recording_is_named(tmp_path: Path) -> None:
    import typer

    app = typer.Typer()
    app.command()(commands.verify)
    result = CliRunner().invoke(app, [str(tmp_path), "--quick", "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "recording.toml" in str(result.exception)
