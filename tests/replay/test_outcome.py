"""What counts as the same result, and what is told of a difference."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from limelight.engine.score import Reasons, Score
from limelight.replay.outcome import Outcome
from limelight.replay.verify import PLANS, REFERENCE
from limelight.streams.score_records import encode_score

SCORE = Score(
    room_id="r",
    streamer_id="s",
    room_started_ms=0,
    segment_index=1,
    start_ms=30_000,
    end_ms=60_000,
    ctr=0.25,
    energy=0.5,
    decided_by="network",
    decision=0.25,
    model_version="tiny",
    reasons=Reasons({}, (), None, 0),
    final=False,
)


def record(value: Any) -> SimpleNamespace:
    return SimpleNamespace(value=value if isinstance(value, bytes) else orjson.dumps(value))


def window(start_ms: int, text: str = "t") -> SimpleNamespace:
    return record({"id": f"r/{start_ms}/window", "segments": [text]})


def score(ctr: float = 0.25, **changes: Any) -> SimpleNamespace:
    return record(encode_score(replace(SCORE, ctr=ctr, **changes), {"scored_at_ms": 1}))


def highlight(number: int, kind: str = "opened", end_ms: int = 2) -> SimpleNamespace:
    data = {"kind": kind, "room_id": "r", "start_ms": 1, "end_ms": end_ms, "timings": {}}
    return record({"specversion": "1.0", "id": f"r/{number}/{kind}", "data": data})


def outcome(*seen: tuple[str, SimpleNamespace]) -> Outcome:
    result = Outcome()
    for topic, value in seen:
        result.see(topic, value)
    return result


ALL = [
    ("windows", window(0)),
    ("windows", window(30_000)),
    ("scores", score()),
    ("highlights", highlight(1)),
    ("highlights", highlight(1, "closed")),
    ("asr", record(b"whatever")),
]


def test_timings_repeats_and_the_last_bits_make_no_difference() -> None:
    timed = record(encode_score(replace(SCORE, ctr=0.25 + 9e-7), {"scored_at_ms": 99}))
    other = [*ALL[:2], ("scores", timed), *ALL[3:], *ALL]
    assert outcome(*ALL).differences(outcome(*other)) == []


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (ALL[1:], "1 windows missing, r/0/window first"),
        ([*ALL, ("windows", window(60_000))], "1 windows too many, r/60000/window first"),
        ([("windows", window(0, "u")), *ALL[1:]], "1 windows different, r/0/window first"),
        ([*ALL[:2], *ALL[3:]], "1 scores missing"),
        ([*ALL[:2], ("scores", score(0.25 + 2e-6)), *ALL[3:]], "1 scores different"),
        ([*ALL[:2], ("scores", score(energy=0.6)), *ALL[3:]], "1 scores different"),
        ([*ALL[:3], ALL[4], ALL[3]], "1 rooms' highlights different, r first"),
        ([*ALL[:3], ("highlights", highlight(1, end_ms=3)), ALL[4]], "rooms' highlights different"),
        (ALL[:3], "1 rooms' highlights missing, r first"),
        ([*ALL, ("windows", window(0, "u"))], "window r/0/window: sent twice"),
        ([*ALL, ("scores", score(0.3))], "score r/30000/score/tiny: sent twice"),
        ([*ALL, ("highlights", highlight(1, end_ms=3))], "contradiction: highlight r/1/opened"),
    ],
)
def test_every_other_difference_is_told(other: list, expected: str) -> None:
    (found,) = outcome(*ALL).differences(outcome(*other))
    assert expected in found


def test_the_plans_vary_all_that_must_not_matter() -> None:
    plans = (REFERENCE, *PLANS)
    assert {plan.speed for plan in plans} == {0, 10, 60}
    assert {plan.partitions for plan in plans} == {1, 4, 16}
    assert {plan.workers for plan in plans} == {1, 2}
    assert {plan.restart for plan in plans} == {True, False}
