"""Pace: event time against a clock that the test moves."""

import asyncio

import pytest

from limelight.replay.pace import Pace

ZERO_MS = 1_700_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize("speed", [-1, float("nan")])
def test_a_speed_below_0_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="speed: found"):
        Pace(speed)


@pytest.mark.parametrize(("speed", "due_s"), [(1, 60.0), (4, 15.0), (0.5, 120.0), (0, 0.0)])
def test_a_minute_of_event_time_takes_a_minute_over_the_speed(clock, speed, due_s) -> None:
    pace = Pace(speed, clock)
    pace.begin(ZERO_MS)
    assert pace.due_in_s(ZERO_MS + 60_000) == due_s
    clock.now_s += 5
    assert pace.due_in_s(ZERO_MS + 60_000) == (due_s - 5 if speed else 0)


def test_event_time_stands_still_in_a_pause_and_nothing_is_made_up_for_after_it(clock) -> None:
    pace = Pace(2, clock)
    pace.begin(ZERO_MS)
    clock.now_s += 10  # event time has come to 20 s
    pace.toggle()
    assert pace.is_paused
    clock.now_s += 3_600
    assert pace.due_in_s(ZERO_MS + 24_000) == 2
    assert pace.running_s == 10
    pace.toggle()
    assert not pace.is_paused
    assert pace.due_in_s(ZERO_MS + 24_000) == 2
    clock.now_s += 1
    assert pace.due_in_s(ZERO_MS + 24_000) == 1
    assert pace.running_s == 11


def test_a_pause_before_the_first_message_holds_it_back(clock) -> None:
    pace = Pace(1, clock)
    pace.toggle()
    clock.now_s += 100
    pace.begin(ZERO_MS)
    clock.now_s += 100
    pace.toggle()
    assert pace.due_in_s(ZERO_MS + 1_000) == 1
    assert pace.running_s == 0


@pytest.mark.parametrize("speed", [0, 1_000_000])
async def test_whoever_waits_in_a_pause_goes_on_with_the_end_of_it(speed: float) -> None:
    pace = Pace(speed)
    pace.begin(ZERO_MS)
    pace.toggle()
    waiting = asyncio.create_task(pace.reach(ZERO_MS + 1))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not waiting.done()
    pace.toggle()
    async with asyncio.timeout(10):
        assert await waiting is True


@pytest.mark.parametrize("is_paused", [False, True])
async def test_stopping_ends_a_wait_of_hours_and_every_later_one(is_paused: bool) -> None:
    pace = Pace(1)
    pace.begin(ZERO_MS)
    if is_paused:
        pace.toggle()
    waiting = asyncio.create_task(pace.reach(ZERO_MS + 36_000_000))
    await asyncio.sleep(0)
    pace.stop()
    async with asyncio.timeout(10):
        assert await waiting is False
    assert await pace.reach(ZERO_MS) is False
