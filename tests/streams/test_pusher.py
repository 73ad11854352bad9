"""The pusher's lanes: one room's jobs in order, and what a failure or a rebalance does to them."""

import asyncio
from collections.abc import Awaitable, Callable

from limelight.streams.pusher import RoomLanes

Job = Callable[[], Awaitable[None]]


class Work:
    """Jobs that note when they begin and end, and wait for their gate in between."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.failures: list[Exception] = []
        self.gates: dict[str, asyncio.Event] = {}

    def lanes(self, most_rooms: int = 8, most_jobs: int = 8) -> RoomLanes:
        return RoomLanes(most_rooms, self.fail, most_jobs=most_jobs)

    async def fail(self, error: Exception) -> None:
        self.failures.append(error)

    def job(self, name: str, error: Exception | None = None) -> Job:
        gate = self.gates[name] = asyncio.Event()

        async def run() -> None:
            self.done.append(f"begin {name}")
            await gate.wait()
            if error is not None:
                raise error
            self.done.append(f"end {name}")

        return run

    async def open(self, *names: str) -> None:
        for name in names:
            self.gates[name].set()
            await take_turns()


async def take_turns() -> None:
    """Let every task that can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_job_begins_only_when_its_rooms_last_one_has_ended() -> None:
    work = Work()
    lanes = work.lanes()
    for name in ("a1", "a2", "a3"):
        await lanes.put("a", work.job(name))
    await work.open("a3", "a2")
    assert work.done == ["begin a1"]
    await work.open("a1")
    assert work.done == [
        f"{what} {name}" for name in ("a1", "a2", "a3") for what in ("begin", "end")
    ]


async def test_only_so_many_rooms_have_work_at_a_time() -> None:
    work = Work()
    lanes = work.lanes(most_rooms=2)
    await lanes.put("a", work.job("a1"))
    await lanes.put("b", work.job("b1"))
    third = asyncio.create_task(lanes.put("c", work.job("c1")))
    await take_turns()
    assert not third.done()
    # A room that is at work anyway needs no place.
    await lanes.put("a", work.job("a2"))
    await work.open("b1")
    assert third.done()
    assert work.done == ["begin a1", "begin b1", "end b1", "begin c1"]
    await work.open("a1", "a2", "c1")
    # All places are free again.
    for room_id in ("d", "e"):
        await asyncio.wait_for(lanes.put(room_id, work.job(room_id)), 1)


async def test_a_job_that_fails_is_told_and_nothing_of_its_room_overtakes_it() -> None:
    work = Work()
    lanes = work.lanes()
    error = ConnectionError("dlq gone")
    await lanes.put("a", work.job("a1", error))
    await lanes.put("a", work.job("a2"))
    await lanes.put("b", work.job("b1"))
    await work.open("a1", "a2", "b1")
    await lanes.put("a", work.job("a3"))
    await work.open("a3")
    assert work.failures == [error]
    assert work.done == ["begin a1", "begin b1", "end b1"]


async def test_what_was_at_work_or_waiting_when_partitions_moved_is_not_done() -> None:
    work = Work()
    lanes = work.lanes(most_rooms=2)
    await lanes.put("a", work.job("a1"))
    await lanes.put("a", work.job("a2"))
    await take_turns()
    await lanes.put("b", work.job("b1"))  # put, and not begun
    lanes.clear()
    await work.open("a1", "a2", "b1")
    assert work.done == ["begin a1"]
    assert work.failures == []


async def test_after_partitions_moved_every_place_is_free_and_every_room_can_work() -> None:
    work = Work()
    lanes = work.lanes(most_rooms=2)
    for name in ("a", "b"):
        await lanes.put(name, work.job(f"old {name}"))
    lanes.clear()
    for name in ("a", "b"):
        await asyncio.wait_for(lanes.put(name, work.job(f"new {name}")), 1)
    await work.open("old a", "old b", "new a", "new b")
    assert [each for each in work.done if each.startswith("end")] == ["end new a", "end new b"]
    third = asyncio.create_task(lanes.put("a", work.job("again a")))
    await take_turns()
    assert third.done()


async def test_a_put_that_waits_for_a_place_goes_on_when_partitions_move() -> None:
    async def fail(error: Exception) -> None:
        raise error

    async def job() -> None:
        await asyncio.Event().wait()

    lanes = RoomLanes(1, fail, most_jobs=8)
    await lanes.put("a", job)
    waiting = [asyncio.create_task(lanes.put(room, job)) for room in ("b", "c")]
    await asyncio.sleep(0)
    lanes.clear()
    await asyncio.wait_for(asyncio.gather(*waiting), 1)
    lanes.clear()


async def test_of_one_room_too_only_so_many_jobs_wait() -> None:
    work = Work()
    lanes = work.lanes(most_jobs=2)
    for name in ("a1", "a2"):
        await lanes.put("a", work.job(name))
    waiting = [
        asyncio.create_task(lanes.put("a", work.job("a3"))),
        asyncio.create_task(lanes.put("b", work.job("b1"))),
    ]
    await take_turns()
    assert not any(task.done() for task in waiting)
    await work.open("a1")
    assert [task.done() for task in waiting] == [True, False]
    await work.open("a2", "a3", "b1")
    assert [each for each in work.done if each.startswith("end")] == [
        "end a1",
        "end a2",
        "end a3",
        "end b1",
    ]


async def test_a_put_that_waits_for_another_job_goes_on_when_partitions_move() -> None:
    work = Work()
    lanes = work.lanes(most_jobs=1)
    await lanes.put("a", work.job("a1"))
    waiting = asyncio.create_task(lanes.put("a", work.job("a2")))
    await take_turns()
    lanes.clear()
    await asyncio.wait_for(waiting, 1)
    await lanes.put("a", work.job("a3"))
    await work.open("a2", "a3")
    assert work.done == ["begin a1", "begin a3", "end a3"]
