"""What a log says of itself, and the commands that show it."""

import json
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from limelight.replay.feature_log.commands import log_app
from limelight.replay.feature_log.inspection import far_hours, inspect
from limelight.replay.feature_log.reading import FeatureLog
from tests.replay.feature_log.logs import write
from tests.replay.feature_log.records import engagement_record, score_record, window_record

A_YEAR = 120 * 24 * 365


@pytest.fixture
def root(tmp_path: Path) -> Path:
    sent = [window_record("room", at, at, encoder=("tiny", f"r{at // 100}")) for at in range(130)]
    sent += [score_record("room", at, at) for at in range(130)]
    sent += [engagement_record("other", at, at) for at in range(130)]
    sent += [engagement_record("room", at, 130 + at) for at in range(130)]
    sent += [engagement_record("room", A_YEAR, 260)]
    write(str(tmp_path), sent, flush_every=60)
    write(str(tmp_path), [score_record("room", 131, 140)])  # 130 to 139 are in the range
    return tmp_path


def test_everything_in_a_log_is_counted(root: Path) -> None:
    found = inspect(FeatureLog(root))
    segments, scores, engagement = (
        found.datasets[name] for name in ("segments", "scores", "engagement")
    )
    assert (segments.rows, scores.rows, engagement.rows) == (130, 131, 261)
    assert (segments.first_hour, segments.last_hour) == ("2023-11-14 22:00", "2023-11-14 23:00")
    assert segments.hours == 2
    assert engagement.last_hour == "2023-11-14 23:00"
    assert engagement.far_hours == ["2024-11-13 22:00"]
    assert segments.size_bytes == sum(
        file.stat().st_size for file in root.glob("segments/*/*/*.parquet")
    )
    assert segments.schema_versions == [1]
    assert (found.rooms, found.encoders) == (2, {"tiny r0": 100, "tiny r1": 30})
    assert (found.models, found.shadow_models) == ({"m1": 131}, {"m2": 66})
    # 130 segments of 30 s; engagement has come to their end, and 120 s before it are 4.
    assert (found.labels["labelled"], found.labels["too_early"]) == (126, 4)
    assert found.labels["unknown"] == 130
    assert scores.next_offsets == {0: 141}
    assert not found.problems


def test_gaps_unfinished_and_broken_files_are_told(root: Path) -> None:
    first, *_ = sorted(root.glob("scores/*/*/*.parquet"))
    first.unlink()
    broken = sorted(root.glob("engagement/*/*/*.parquet"))[0]
    broken.write_bytes(b"PAR1")
    unfinished = broken.with_name(f"{broken.name}.0a1b2c3d.part")
    unfinished.write_bytes(b"PAR1")
    shown = CliRunner().invoke(log_app, ["inspect", str(root)])
    assert shown.exit_code == 1
    assert f"cannot be read: {broken}: found" in shown.stdout
    assert (
        f"unfinished, to be removed by the writer: {unfinished.relative_to(root)}" in shown.stdout
    )
    assert "encoder tiny r0: 100 rows" in shown.stdout
    dumped = CliRunner().invoke(log_app, ["inspect", str(root), "--json"])
    found = json.loads(dumped.stdout)
    assert len(found["problems"]) == 1
    assert found["datasets"]["scores"]["rows"] == 131 - 60


def test_a_missing_range_is_a_gap(root: Path) -> None:
    for file in root.glob("engagement/*/*/*-o000000000060-*"):
        file.unlink()
    gaps = inspect(FeatureLog(root)).datasets["engagement"].missing_offsets
    assert gaps == {0: [(60, 120)]}
    shown = CliRunner().invoke(log_app, ["inspect", str(root)])
    assert "gap: engagement partition 0 lacks offsets 60 to 119" in shown.stdout
    assert shown.exit_code == 0


def test_an_empty_log_is_shown_as_one(tmp_path: Path) -> None:
    shown = CliRunner().invoke(log_app, ["inspect", str(tmp_path)])
    assert shown.exit_code == 0
    assert "rooms: 0" in shown.stdout


def test_hours_are_far_where_few_rows_lie_days_away() -> None:
    assert far_hours(Counter({0: 500, 1: 500, 900: 3})) == {900}
    assert far_hours(Counter({0: 500, 1: 500, 900: 30})) == set()
    assert far_hours(Counter({0: 500, 100: 3})) == set()
    assert far_hours(Counter({5: 1})) == set()


def test_the_commands_tidy_and_need_to_be_told_what_to_keep(root: Path) -> None:
    shown = CliRunner().invoke(log_app, ["compact", str(root), "--settle-hours", "0"])
    assert "files are now" in shown.stdout
    refused = CliRunner().invoke(log_app, ["prune", str(root)])
    assert isinstance(refused.exception, ValueError)
    assert "found no number of days" in str(refused.exception)
    gone = CliRunner().invoke(log_app, ["prune", str(root), "--days", "30"])
    assert gone.exit_code == 0
    assert inspect(FeatureLog(root)).datasets["segments"].rows == 0
    nowhere = CliRunner().invoke(log_app, ["inspect"])
    assert "expected a folder or URL" in str(nowhere.exception)
