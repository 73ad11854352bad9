"""The lines of a run are strict JSON, and a resumed run's replace what it measures again."""

import json
import math
from pathlib import Path

import pytest

from limelight.models.training.metrics_log import MetricsLog


def lines(folder: Path) -> list[dict[str, float]]:
    def refuse(constant: str) -> None:
        raise ValueError(f"found {constant}, which is not JSON")

    content = (folder / "metrics.jsonl").read_text(encoding="utf-8")
    return [json.loads(line, parse_constant=refuse) for line in content.splitlines()]


def test_lines_are_written_in_order(tmp_path: Path) -> None:
    with MetricsLog(tmp_path / "run") as log:
        log.write(1, loss=0.5)
        log.write(2, epoch=0, tau=None)
    assert lines(tmp_path / "run") == [
        {"step": 1, "loss": 0.5},
        {"step": 2, "epoch": 0, "tau": None},
    ]


@pytest.mark.parametrize("undefined", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_written_as_null(tmp_path: Path, undefined: float) -> None:
    with MetricsLog(tmp_path) as log:
        log.write(1, tau=undefined)
    assert lines(tmp_path) == [{"step": 1, "tau": None}]


def test_a_new_run_begins_anew(tmp_path: Path) -> None:
    for loss in (0.5, 0.4):
        with MetricsLog(tmp_path) as log:
            log.write(1, loss=loss)
    assert lines(tmp_path) == [{"step": 1, "loss": 0.4}]


def test_lines_after_the_checkpoint_are_taken_out(tmp_path: Path) -> None:
    with MetricsLog(tmp_path) as log:
        for step in range(1, 6):
            log.write(step, loss=step / 10)
    with MetricsLog(tmp_path, after_step=3) as log:
        log.write(4, loss=9.0)
    assert [line["loss"] for line in lines(tmp_path)] == [0.1, 0.2, 0.3, 9.0]


def test_an_epoch_that_will_be_judged_again_is_taken_out(tmp_path: Path) -> None:
    with MetricsLog(tmp_path) as log:
        log.write(4, epoch=0, tau=0.1)
        log.write(8, loss=0.5)
        log.write(8, epoch=1, tau=0.2)
    # The checkpoint was written after the epoch's last step, before the epoch was judged.
    with MetricsLog(tmp_path, after_step=8, epoch=1) as log:
        log.write(8, epoch=1, tau=0.2)
    assert [line.get("epoch") for line in lines(tmp_path)] == [0, None, 1]


def test_a_line_that_a_crash_cut_off_is_taken_out(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "lo')
    with MetricsLog(tmp_path, after_step=5):
        pass
    assert lines(tmp_path) == [{"step": 1, "loss": 0.5}]
