"""What the gate lets pass, on results written by hand."""

import math

import pytest

from limelight.replay.evaluation.result import (
    MEASURES,
    Difference,
    Estimate,
    EvaluationResult,
    ModelResult,
    SliceResult,
)
from limelight.replay.retraining.gate import offline_gate, shadow_gate
from limelight.streams.settings import RetrainingSettings

SETTINGS = RetrainingSettings(
    margin=0.01,
    calibration_low=0.9,
    calibration_high=1.1,
    slice_bound=0.05,
    min_slice_rooms=10,
    min_windows=50,
    min_shadow_windows=20,
    shadow_bound=0.02,
)


def part(
    tau: tuple[float, float, float], ratio: float = 1.0, kind: str = "whole", rooms: int = 100
) -> SliceResult:
    """A slice in which the candidate's tau is so much above the champion's."""
    nothing = {name: Estimate(math.nan, math.nan, math.nan) for name in MEASURES}
    measures = nothing | {"ratio_of_means": Estimate(ratio, ratio, ratio)}
    models = {name: ModelResult(measures, ()) for name in ("new", "old")}
    difference = Difference("new", "old", nothing | {"tau": Estimate(*tau)}, {})
    return SliceResult(kind, "x" if kind != "whole" else "", rooms, 1000, models, (difference,))


def result(whole: SliceResult, *slices: SliceResult, windows: int = 100) -> EvaluationResult:
    return EvaluationResult(("new", "old"), whole, slices, windows, 1000, 0, 0.95)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (result(part((0.02, 0.001, 0.04))), None),
        (result(part((0.009, 0.001, 0.02))), "tau above the champion's: found +0.0090"),
        (result(part((0.02, -0.001, 0.04))), "lower end of its 95% interval: found -0.0010"),
        (result(part((math.nan,) * 3)), "tau above the champion's: found +nan"),
        (result(part((0.02, 0.001, 0.04), ratio=1.2)), "measured CTR: found 1.200"),
        (result(part((0.02, 0.001, 0.04), ratio=math.nan)), "measured CTR: found nan"),
        (result(part((0.02, 0.001, 0.04)), windows=49), "windows: found 49, expected at least 50"),
        (
            result(part((0.02, 0.001, 0.04)), part((-0.06, -0.08, -0.01), kind="size")),
            "where size is x: found -0.0600, expected at least -0.05",
        ),
        # A fall that chance explains, one that is small, and one of too few rooms.
        (result(part((0.02, 0.001, 0.04)), part((-0.06, -0.2, 0.1), kind="size")), None),
        (result(part((0.02, 0.001, 0.04)), part((-0.04, -0.05, -0.01), kind="size")), None),
        (result(part((0.02, 0.0, 0.04)), part((-0.5, -0.6, -0.4), kind="hour", rooms=9)), None),
    ],
)
def test_the_offline_gate(found: EvaluationResult, reason: str | None) -> None:
    verdict = offline_gate(found, "old", "new", SETTINGS)
    assert verdict.passed == (reason is None)
    if reason is not None:
        assert reason in verdict.reason


@pytest.mark.parametrize(
    ("found", "passes"),
    [
        (result(part((0.0, -0.05, 0.05)), windows=20), True),
        (result(part((-0.019, -0.05, 0.05))), True),
        (result(part((-0.021, -0.05, 0.05))), False),
        (result(part((-0.01, -0.02, -0.001))), False),
        (result(part((0.0, -0.05, 0.05)), windows=19), False),
        (result(part((math.nan,) * 3)), False),
    ],
)
def test_the_shadow_gate(found: EvaluationResult, passes: bool) -> None:
    assert shadow_gate(found, "old", "new", SETTINGS).passed == passes
