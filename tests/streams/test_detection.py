"""The detector's rules on curves with known answers."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from limelight.streams.detection import HighlightDetector, HighlightEvent, RoomTrend
from limelight.streams.settings import DetectorSettings

QUIET = [0.50, 0.51] * 5


def run(make_score, values: list[float], settings: DetectorSettings | None = None, **final):
    detector, trend = HighlightDetector(settings or DetectorSettings()), RoomTrend()
    events: list[HighlightEvent] = []
    for index, value in enumerate(values):
        is_last = index == len(values) - 1
        score = make_score(index, value, final=is_last and final.get("final", False))
        events += detector.update(trend, score)
        # The state must survive the table.
        trend = RoomTrend.from_json(trend.to_json())
    return events


def told(events: list[HighlightEvent]) -> list[tuple[str, int]]:
    return [(event.kind, event.segment_index) for event in events]


def test_the_docstrings_example(make_score) -> None:
    events = run(make_score, [*QUIET, 0.66, 0.71, 0.60, 0.52, 0.51, 0.51])
    assert told(events) == [("opened", 10), ("updated", 11), ("closed", 14)]
    opened, _, closed = events
    assert opened.highlight_id == closed.highlight_id
    assert closed.peak["value"] == 0.71
    assert closed.start_ms == make_score(10, 0).start_ms
    assert closed.end_ms == make_score(13, 0).end_ms
    assert closed.baseline == 0.505
    assert closed.rise == 0.205


def test_a_level_room_has_no_highlight_however_high(make_score) -> None:
    assert run(make_score, [0.9] * 30) == []


def test_a_rise_below_the_floor_is_none(make_score) -> None:
    assert run(make_score, [0.1] * 10 + [0.57, 0.1]) == []


def test_the_opening_greetings_fall_into_the_warm_up(make_score) -> None:
    assert run(make_score, [0.5, 0.9, 0.95, 0.99, 0.3, 0.3]) == []


def test_a_falling_score_does_not_open(make_score) -> None:
    values = [*QUIET, 0.66, 0.50, 0.50]
    settings = DetectorSettings(cool_down_segments=0)
    assert told(run(make_score, values, settings)) == [("opened", 10), ("closed", 11)]


def test_a_room_cools_down_between_two_highlights(make_score) -> None:
    values = [*QUIET, 0.8, 0.4, 0.9, 0.4, 0.95, 0.4]
    events = run(make_score, values, DetectorSettings(cool_down_segments=2))
    assert told(events) == [("opened", 10), ("closed", 11), ("opened", 14), ("closed", 15)]


def test_the_hourly_budget_bounds_the_highlights(make_score) -> None:
    settings = DetectorSettings(hourly_budget=2, cool_down_segments=0)
    values = QUIET + [0.9, 0.3] * 20
    opened = [event for event in run(make_score, values, settings) if event.kind == "opened"]
    assert len(opened) == 2


def test_a_new_level_that_stays_is_a_highlight_of_bounded_length(make_score) -> None:
    settings = DetectorSettings(max_highlight_segments=5)
    assert told(run(make_score, QUIET + [0.8] * 30, settings)) == [("opened", 10), ("closed", 15)]


def test_a_room_that_ends_closes_its_highlight(make_score) -> None:
    events = run(make_score, [*QUIET, 0.8, 0.8], final=True)
    assert told(events) == [("opened", 10), ("closed", 11)]
    assert events[-1].end_ms == make_score(11, 0).end_ms


def test_a_highlight_that_opens_in_the_last_segment_also_closes(make_score) -> None:
    events = run(make_score, [*QUIET, 0.8], final=True)
    assert told(events) == [("opened", 10), ("closed", 10)]
    assert len({event.event_id for event in events}) == 2


def test_a_repeated_score_changes_nothing(make_score) -> None:
    detector, trend = HighlightDetector(DetectorSettings()), RoomTrend()
    for index, value in enumerate([*QUIET, 0.8]):
        detector.update(trend, make_score(index, value))
    before = trend.to_json()
    assert detector.update(trend, make_score(10, 0.99)) == []
    assert trend.to_json() == before


def test_a_restarted_room_closes_what_was_open_and_begins_anew(make_score, started_ms) -> None:
    detector, trend = HighlightDetector(DetectorSettings()), RoomTrend()
    for index, value in enumerate([*QUIET, 0.8]):
        detector.update(trend, make_score(index, value))
    events = detector.update(trend, make_score(20, 0.9, started_ms=started_ms + 600_000))
    assert told(events) == [("closed", 20)]
    assert trend.seen == 1
    assert detector.update(trend, make_score(12, 0.9)) == []


def test_differences_in_the_last_bits_decide_nothing(make_score) -> None:
    values = [*QUIET, 0.58, 0.3]
    nudged = [value + 4e-6 * (-1) ** index for index, value in enumerate(values)]
    assert told(run(make_score, values)) == told(run(make_score, nudged)) != []


@given(st.lists(st.floats(0, 1), max_size=80))
def test_highlights_open_and_close_in_turn_and_never_overlap(values: list[float]) -> None:
    from limelight.engine.score import Reasons, Score

    def make_score(index: int, value: float, final: bool) -> Score:
        return Score(
            room_id="r", streamer_id="s", room_started_ms=0, segment_index=index,
            start_ms=index * 30_000, end_ms=(index + 1) * 30_000, ctr=value, energy=value,
            decided_by="energy", decision=value, model_version="m",
            reasons=Reasons({}, (), None, 0), final=final,
        )  # fmt: skip

    detector, trend = HighlightDetector(DetectorSettings()), RoomTrend()
    events: list[HighlightEvent] = []
    for index, value in enumerate(values):
        events += detector.update(trend, make_score(index, value, index == len(values) - 1))
    kinds = [event.kind for event in events if event.kind != "updated"]
    assert kinds == ["opened", "closed"] * (len(kinds) // 2)
    closed = [event for event in events if event.kind == "closed"]
    assert all(event.start_ms < event.end_ms for event in closed)
    assert all(a.end_ms <= b.start_ms for a, b in pairwise(closed))
    assert len({event.event_id for event in events}) == len(events)
