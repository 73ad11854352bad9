"""What a disturbed run lost, doubled or got wrong, beside the undisturbed one."""

from collections.abc import Sequence
from dataclasses import dataclass

from limelight.replay.outcome import Outcome, same_score
from limelight.streams.topics import MODALITY_TOPICS
from tests.chaos.faults import Schedule
from tests.chaos.run import Ran


@dataclass(frozen=True, slots=True)
class Verdict:
    """Counts of one run; all that must be 0 stands in `FAILURES`."""

    seed: int
    faults: tuple[str, ...]
    restless: bool
    workers: int
    windows: int
    scores: int
    highlight_events: int
    delivered: int
    windows_lost: int
    windows_wrong: int
    scores_lost: int
    scores_wrong: int
    highlights_lost: int
    highlights_wrong: int
    deliveries_lost: int
    delivered_twice: int
    out_of_order: int
    unaccounted: int
    repeats_recognised: int
    ended_by_themselves: int
    pauses_s: tuple[tuple[str, float], ...]
    seconds: float
    commit: str = ""

    @property
    def failed(self) -> bool:
        return any(getattr(self, name) for name in FAILURES)


FAILURES = (
    "windows_lost",
    "windows_wrong",
    "scores_lost",
    "scores_wrong",
    "highlights_lost",
    "highlights_wrong",
    "deliveries_lost",
    "delivered_twice",
    "out_of_order",
    "unaccounted",
)


def judge(seed: int, schedule: Schedule, undisturbed: Outcome, ran: Ran) -> Verdict:
    """Compare a run with the undisturbed outcome of the same world."""
    outcome = ran.outcome
    expected = {room: [e.event_id for e in told] for room, told in undisturbed.highlights.items()}
    events = {event_id for told in expected.values() for event_id in told}
    found = {event.event_id for told in outcome.highlights.values() for event in told}
    contradictions = [text.split(" ", 1)[0] for text in outcome.contradictions]
    return Verdict(
        seed=seed,
        faults=tuple(planned.name for planned in schedule.faults),
        restless=schedule.restless,
        workers=schedule.workers,
        windows=len(outcome.windows),
        scores=len(outcome.scores),
        highlight_events=len(found),
        delivered=len(set(ran.delivered)),
        windows_lost=len(undisturbed.windows.keys() - outcome.windows.keys()),
        windows_wrong=_wrong(undisturbed.windows, outcome.windows, lambda a, b: a == b)
        + contradictions.count("window"),
        scores_lost=len(undisturbed.scores.keys() - outcome.scores.keys()),
        scores_wrong=_wrong(undisturbed.scores, outcome.scores, same_score)
        + contradictions.count("score"),
        highlights_lost=len(events - found),
        highlights_wrong=len(found - events)
        + _wrong(undisturbed.highlights, outcome.highlights, lambda a, b: set(a) == set(b))
        + contradictions.count("highlight"),
        deliveries_lost=len(events - set(ran.delivered)),
        delivered_twice=len(ran.delivered) - len(set(ran.delivered)),
        out_of_order=sum(not _in_order(expected[room], ran.delivered) for room in expected),
        unaccounted=sum(abs(ran.accounts.lines()[topic].missing) for topic in MODALITY_TOPICS),
        repeats_recognised=ran.delivered_again,
        ended_by_themselves=len(ran.ended_by_themselves),
        pauses_s=tuple((name, round(pause_s, 2)) for name, pause_s in ran.pauses()),
        seconds=round(ran.seconds, 1),
    )


def _wrong(expected: dict, found: dict, same) -> int:  # type: ignore[type-arg, no-untyped-def]
    """How many are there that should not be, or are other than they should be."""
    return sum(name not in expected or not same(expected[name], found[name]) for name in found)


def _in_order(expected: Sequence[str], delivered: Sequence[str]) -> bool:
    """Whether one room's events came in the order in which they were decided."""
    own = [event_id for event_id in delivered if event_id in expected]
    return own == [event_id for event_id in expected if event_id in own]
