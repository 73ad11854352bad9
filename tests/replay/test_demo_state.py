"""What a demo counts, and when it takes everything to have arrived."""

from statistics import quantiles
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limelight.engine.score import Reasons, Score
from limelight.replay.demo_state import DemoState, RoomSeen

SEGMENT_MS = 30_000


def make_score(index: int, *, room_id: str = "room", final: bool = False) -> Score:
    return Score(
        room_id=room_id,
        streamer_id="s",
        room_started_ms=0,
        segment_index=index,
        start_ms=index * SEGMENT_MS,
        end_ms=(index + 1) * SEGMENT_MS,
        ctr=0.5,
        energy=0.5,
        decided_by="energy",
        decision=0.5,
        model_version="energy",
        reasons=Reasons({}, (), None, 0),
        final=final,
    )


def make_event(kind: str, number: int = 1, *, room_id: str = "room", **data: Any) -> dict[str, Any]:
    told = {"start_ms": 0, "end_ms": 1, "decided_by": "energy", "baseline": 0.5, "rise": 0.4}
    return {
        "id": f"{room_id}/{number}/{kind}",
        "subject": f"{room_id}/{number}",
        "data": {
            "kind": kind,
            "room_id": room_id,
            "reason": "it rose",
            "timings": {"closed_at_ms": 1_000},
            **told,
            **data,
        },
    }


def timings(latency_ms: int = 10) -> dict[str, int]:
    return {"closed_at_ms": 1_000, "scored_at_ms": 1_000 + latency_ms}


def letter(topic: str, offset: int = 0) -> dict[str, Any]:
    return {"id": f"{topic}/0@{offset}", "topic": topic, "partition": 0, "offset": offset}


def finished_state() -> DemoState:
    state = DemoState({"room": RoomSeen()})
    state.see_score(make_score(0, final=True), timings())
    return state


@given(st.lists(st.integers(0, 100_000), min_size=2, max_size=60))
def test_latencies_are_told_by_their_percentiles(latencies: list[int]) -> None:
    state = DemoState({})
    for index, latency_ms in enumerate(latencies):
        state.see_score(make_score(index), timings(latency_ms))
        state.see_delivery(make_event("opened", index), 1_000 + 2 * latency_ms)
    found = state.summary()
    hundredths = quantiles(latencies, n=100, method="inclusive")
    expected = {"p50": hundredths[49], "p99": hundredths[98]}
    assert found["close_to_score_ms"] == pytest.approx(expected, abs=0.051)
    twice = {name: 2 * latency_ms for name, latency_ms in expected.items()}
    assert found["close_to_delivery_ms"] == pytest.approx(twice, abs=0.051)


def test_of_a_hundred_and_one_latencies_the_middle_and_the_last_but_one_are_told() -> None:
    state = DemoState({})
    for index in range(101):
        state.see_score(make_score(index), timings(latency_ms=100 - index))
    assert state.summary()["close_to_score_ms"] == {"p50": 50.0, "p99": 99.0}


def test_without_a_measurement_there_is_no_figure() -> None:
    assert DemoState({}).summary()["close_to_score_ms"] == {"p50": None, "p99": None}
    assert "None ms (p99 None)" in DemoState({}).told()[3]


def test_a_score_that_comes_again_changes_nothing() -> None:
    state = DemoState({})
    state.see_score(make_score(0), timings(10))
    before = state.summary(), state.progress()
    state.see_score(make_score(0), timings(9_000))
    assert (state.summary(), state.progress()) == before
    assert state.rooms["room"].latency_ms == 10


def test_rooms_segments_and_events_are_counted_by_what_they_are() -> None:
    state = DemoState({"quiet": RoomSeen()})
    for room_id in ("a", "b"):
        for index in range(3):
            state.see_score(make_score(index, room_id=room_id), timings())
            state.window_ids.add(f"{room_id}/{index}/window")
    for kind in ("opened", "updated", "updated", "closed"):
        state.see_highlight(make_event(kind, room_id="a", end_ms=len(kind)))
    state.see_highlight(make_event("opened", 2, room_id="a"))
    state.see_delivery(make_event("opened", room_id="a"), 1_500)
    state.late += [letter("comments")]
    state.dead_letters += [letter("comments"), letter("windows")]
    found = state.summary()
    assert {name: found[name] for name in found if isinstance(found[name], int)} == {
        "rooms": 3,
        "segments": 6,
        "windows": 6,
        "scores": 6,
        "highlights_opened": 2,
        "highlights_closed": 1,
        "highlights_enriched": 0,
        "highlight_events": 4,
        "delivered": 1,
        "delivered_again": 0,
        "late": 1,
        "dead_letters": 2,
    }
    assert (found["decided_by"], found["model_versions"]) == ({"energy": 6}, ["energy"])
    # Of each highlight the newest event is told.
    told = [(each["id"], each["kind"], each["end_ms"]) for each in found["highlights"]]
    assert told == [("a/1", "closed", len("closed")), ("a/2", "opened", 1)]
    assert "2 highlights, 0 enriched; 1 of 4 events delivered" in state.told()[2]


def test_an_enriched_event_is_waited_for_and_its_latency_told_apart() -> None:
    state = DemoState({"room": RoomSeen()}, enriched=True, pushed=False)
    state.see_score(make_score(0, final=True), timings())
    state.see_highlight(make_event("opened"))
    state.see_highlight(make_event("closed"))
    assert not state.is_complete and "closed 1, enriched 0" in state.missing()
    state.see_highlight(make_event("enriched"))
    assert state.is_complete
    closed_at_ms = make_event("closed")["data"]["timings"]["closed_at_ms"]
    state.see_delivery(make_event("closed"), closed_at_ms + 100)
    state.see_delivery(make_event("enriched"), closed_at_ms + 3_000)
    found = state.summary()
    assert found["close_to_delivery_ms"]["p99"] == 100
    assert found["close_to_enriched_delivery_ms"]["p50"] == 3_000
    assert (found["delivered"], found["highlights_enriched"]) == (2, 1)


def test_a_demo_is_complete_when_all_is_scored_closed_and_delivered() -> None:
    state = DemoState({"room": RoomSeen(), "other": RoomSeen()})
    state.see_score(make_score(0), timings())
    assert "rooms not scored to their end: ['other', 'room']" in state.missing()
    state.see_score(make_score(1, final=True), timings())
    assert not state.is_complete
    assert "rooms not scored to their end: ['other']" in state.missing()
    state.see_score(make_score(0, room_id="other", final=True), timings())
    assert state.is_complete
    opened, closed = make_event("opened"), make_event("closed")
    state.see_highlight(opened)
    state.see_delivery(opened, 1_500)
    assert not state.is_complete
    assert "highlights opened 1, closed 0" in state.missing()
    state.see_highlight(closed)
    assert not state.is_complete
    assert "not delivered: ['room/1/closed']" in state.missing()
    state.see_delivery(closed, 1_500)
    assert state.is_complete


def test_a_highlight_in_the_dead_letters_is_not_waited_for() -> None:
    state = finished_state()
    opened, closed = make_event("opened"), make_event("closed")
    for event in (opened, closed):
        state.see_highlight(event)
    state.see_delivery(opened, 1_500)
    state.dead_letters.append(letter("comments"))
    assert not state.is_complete
    state.dead_letters.append(letter("highlights"))
    assert state.is_complete


def test_an_event_delivered_before_it_was_seen_is_waited_for_no_longer() -> None:
    state = finished_state()
    event = make_event("opened")
    state.see_delivery(event, 1_500)
    state.see_delivery(make_event("closed"), 1_700)
    state.see_highlight(event)
    assert not state.is_complete
    state.see_highlight(make_event("closed"))
    assert state.is_complete
    assert state.summary()["close_to_delivery_ms"]["p50"] == 600.0


def test_progress_changes_with_everything_that_is_seen() -> None:
    state = DemoState({})
    steps = [
        lambda: state.window_ids.add("w"),
        lambda: state.see_score(make_score(0), timings()),
        lambda: state.see_highlight(make_event("opened")),
        lambda: state.see_delivery(make_event("opened"), 1_500),
        lambda: state.late.append(letter("comments")),
        lambda: state.dead_letters.append(letter("comments")),
    ]
    before = [state.progress()]
    for step in steps:
        step()
        assert state.progress() not in before
        before.append(state.progress())


def test_a_record_that_is_read_twice_is_counted_once() -> None:
    state = DemoState({})
    for place in ("comments/0@7", "comments/0@7", "comments/0@8"):
        state.see_late({"id": place})
        state.see_dead_letter({"id": place, "topic": "comments"})
    assert (state.summary()["dead_letters"], state.summary()["late"]) == (2, 2)


def test_a_highlight_without_its_closing_time_is_counted_as_delivered() -> None:
    state = DemoState({})
    state.see_delivery({"id": "e", "data": {"timings": {}}}, 5)
    assert state.summary()["delivered"] == 1
