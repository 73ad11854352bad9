"""The harness in its short form, and that it sees what is lost, doubled or wrong."""

from dataclasses import asdict, replace
from pathlib import Path

import orjson
import pytest

from limelight.replay.outcome import HighlightTold, Outcome
from tests.chaos.faults import FAULTS, Planned, Schedule, schedule
from tests.chaos.report import read_verdict, tables
from tests.chaos.run import Ran, run, undisturbed
from tests.chaos.verdict import FAILURES, Verdict, judge

QUIET = Schedule((), restless=False)


@pytest.mark.broker
async def test_one_of_two_workers_killed_cut_connections_and_a_restless_producer_lose_nothing(
    tmp_path: Path,
) -> None:
    faults = (Planned("worker killed", 4.0), Planned("connections cut", 11.0))
    planned = Schedule(faults, restless=True, workers=2)
    ran = await run(planned, 0, tmp_path)
    verdict = judge(0, planned, undisturbed(), ran)
    assert {name: getattr(verdict, name) for name in FAILURES} == dict.fromkeys(FAILURES, 0)
    assert (verdict.windows, verdict.scores) == (120, 120)
    assert verdict.delivered == verdict.highlight_events > 0
    assert ran.accounts.lines()["comments"].repeated > 0


def made(windows: int = 2) -> Outcome:
    outcome = Outcome()
    for number in range(windows):
        outcome.see_window(orjson.dumps({"id": f"w{number}"}))
    outcome.highlights = {
        "room": [HighlightTold("a", "opened", 0, 1), HighlightTold("b", "closed", 0, 2)]
    }
    return outcome


def judged(outcome: Outcome, delivered: list[str]) -> Verdict:
    return judge(1, QUIET, made(), Ran(outcome=outcome, delivered=delivered))


def failures(verdict: Verdict) -> dict[str, int]:
    return {name: getattr(verdict, name) for name in FAILURES if getattr(verdict, name)}


def test_a_run_that_comes_to_the_same_has_not_failed() -> None:
    assert not judged(made(), ["a", "b"]).failed


def test_everything_that_can_go_wrong_is_seen() -> None:
    lost = made(1)
    assert failures(judged(lost, ["a", "b"])) == {"windows_lost": 1}
    wrong = made()
    wrong.windows["w0"] = b"other"
    wrong.see_window(orjson.dumps({"id": "w1", "changed": True}))
    assert failures(judged(wrong, ["a", "b"])) == {"windows_wrong": 2}
    assert failures(judged(made(), ["a"])) == {"deliveries_lost": 1}
    assert failures(judged(made(), ["a", "a", "b"]))["delivered_twice"] == 1
    assert failures(judged(made(), ["b", "a"])) == {"out_of_order": 1}
    silent = made()
    silent.highlights = {}
    assert failures(judged(silent, [])) == {"highlights_lost": 2, "deliveries_lost": 2}


def test_the_pause_after_a_fault_is_the_longest_time_without_a_new_score() -> None:
    ran = Ran(new_scores_s=[1.0, 2.0, 7.0, 8.0, 8.5, 12.0], faults=[("one", 3.0), ("two", 8.2)])
    assert ran.pauses() == [("one", 4.0), ("two", 3.5)]
    assert Ran(new_scores_s=[1.0], faults=[("after all", 3.0)]).pauses() == []


def test_every_kind_of_fault_comes_first_in_turn_and_a_seed_always_means_the_same() -> None:
    drawn = [schedule(seed) for seed in range(len(FAULTS))]
    assert {planned.name for each in drawn for planned in each.faults} == set(FAULTS)
    assert drawn == [schedule(seed) for seed in range(len(FAULTS))]
    assert all(2 <= len(each.faults) <= 4 for each in drawn)


def test_the_report_tells_what_failed() -> None:
    good = judged(made(), ["a", "b"])
    bad = replace(good, seed=7, windows_lost=3, faults=("worker killed",), commit="def")
    bad = replace(bad, pauses_s=(("worker killed", 4.25),))
    kept = orjson.dumps(asdict(bad)).decode()
    assert read_verdict(kept) == bad
    told = tables([replace(good, commit="abc"), bad])
    assert "failed: 7." in told
    assert "2 runs (1 at commit abc, 1 at commit def)" in told
    assert "| windows | 7 | 3 | 0 |" in told
    assert "| worker killed | 1 | 4.2 | 4.2 |" in told
    assert "| 7 | worker killed | 1 |  | windows_lost 3 |" in told
