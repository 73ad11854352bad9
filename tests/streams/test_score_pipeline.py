"""Every window is answered, what is committed was answered before, and nobody waits for others."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest
from aiokafka import TopicPartition

from limelight.engine.score import Reasons, Rejected, Score
from limelight.engine.window import Segment, Window
from limelight.streams.score_pipeline import MAX_UNDELIVERED, Answers, Place, ScorePipeline

P0, P1 = TopicPartition("windows", 0), TopicPartition("windows", 1)


def window(room_id: str, index: int) -> Window:
    segment = Segment(index, index * 30_000, None, (), "", (), 0, 0, 0.0)
    return Window(room_id, "", None, 30_000, "", "", (segment,))


def place(partition: TopicPartition, offset: int, closed_at_ms: int | None = None) -> Place:
    now_ms = int(time.time() * 1000)
    return Place(partition, offset, now_ms if closed_at_ms is None else closed_at_ms, None)


def score(of: Window) -> Score:
    reasons = Reasons({}, (), None, 0)
    return Score(
        room_id=of.room_id,
        streamer_id="",
        room_started_ms=None,
        segment_index=of.segment_index,
        start_ms=of.start_ms,
        end_ms=of.end_ms,
        ctr=0.5,
        energy=0.5,
        decided_by="energy",
        decision=0.5,
        model_version="v",
        reasons=reasons,
        final=False,
    )


class Scorer:
    """Scores at once, unless told to wait, and notes what it was asked together."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[str, int]]] = []
        self.go = threading.Event()
        self.go.set()
        self.left_to_catch_up = 0
        self.threads: set[int] = set()

    def score(self, windows: Sequence[Window]) -> list[Score | Rejected]:
        self.batches.append([(each.room_id, each.segment_index) for each in windows])
        self.threads.add(threading.get_ident())
        assert self.go.wait(10)
        return [score(each) for each in windows]

    def cost(self, window: Window) -> int:
        return 1

    def catch_up(self) -> bool:
        self.left_to_catch_up -= 1
        return self.left_to_catch_up > 0


class Running:
    """A pipeline at work, what it delivered and what it committed."""

    def __init__(self, **changes: Any) -> None:
        self.scorer = Scorer()
        self.sent: list[tuple[str, int]] = []
        self.sending_s: list[float] = []
        self.delivered: list[tuple[str, int]] = []
        self.committed: dict[TopicPartition, int] = {}
        self.may_deliver = asyncio.Event()
        self.may_deliver.set()
        limits = {"max_rooms": 4, "max_wait_s": 0.005, "deadline_s": 60.0, **changes}
        self.pipeline = ScorePipeline(self.scorer, self._send, self._commit, **limits)

    async def __aenter__(self) -> "Running":
        self.task = asyncio.create_task(self.pipeline.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.scorer.go.set()
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.002)

    async def _send(self, answers: Answers) -> Awaitable[None]:
        for _, answer in answers:
            # As a producer whose buffer is full at times.
            await asyncio.sleep(self.sending_s.pop() if self.sending_s else 0)
            assert isinstance(answer, Score)
            self.sent.append((answer.room_id, answer.segment_index))
        return asyncio.ensure_future(self._deliver(answers))

    async def _deliver(self, answers: Answers) -> None:
        await self.may_deliver.wait()
        for _, answer in answers:
            assert isinstance(answer, Score)
            self.delivered.append((answer.room_id, answer.segment_index))

    async def _commit(self, offsets: Mapping[Any, int]) -> None:
        self.committed.update(offsets)


async def test_windows_of_many_rooms_are_scored_together_and_committed() -> None:
    async with Running() as running:
        running.pipeline.add(
            [
                (place(P0, 5), window("a", 1)),
                (place(P0, 6), window("b", 1)),
                (place(P1, 0), window("c", 1)),
                (place(P0, 7), window("a", 2)),
            ]
        )
        await running.until(lambda: running.committed == {P0: 7, P1: 0})
        assert running.scorer.batches == [[("a", 1), ("b", 1), ("c", 1)], [("a", 2)]]
        assert len(running.scorer.threads) == 1


async def test_nothing_is_committed_before_it_and_all_before_it_are_delivered() -> None:
    async with Running() as running:
        running.may_deliver.clear()
        running.pipeline.add([(place(P0, 0), window("a", 1))])
        await running.until(lambda: len(running.scorer.batches) == 1)
        running.pipeline.add([(place(P0, 1), None), (place(P0, 2), window("b", 1))])
        await running.until(lambda: len(running.scorer.batches) == 2)
        await asyncio.sleep(0.05)
        assert (running.delivered, running.committed) == ([], {})
        running.may_deliver.set()
        await running.until(lambda: running.committed == {P0: 2})


async def test_reading_and_delivering_go_on_while_a_batch_is_scored() -> None:
    async with Running() as running:
        running.pipeline.add([(place(P0, 0), window("a", 1))])
        await running.until(lambda: running.delivered == [("a", 1)])
        running.scorer.go.clear()
        running.pipeline.add([(place(P0, 1), window("a", 2))])
        await running.until(lambda: len(running.scorer.batches) == 2)
        for offset in range(2, 6):
            running.pipeline.add([(place(P0, offset), window("bcde"[offset - 2], 1))])
        assert len(running.pipeline) == 4
        await running.until(lambda: running.committed == {P0: 0})
        running.scorer.go.set()
        await running.until(lambda: running.committed == {P0: 5})
        # What came meanwhile went together.
        assert len(running.scorer.batches[2]) == 4


async def test_a_rooms_scores_are_sent_in_order_however_long_sending_takes() -> None:
    async with Running(max_rooms=2) as running:
        running.sending_s = [0.05]  # the first answer takes longer than all that follow
        windows = [window(room, index) for index in range(8) for room in "ab"]
        running.pipeline.add([(place(P0, at), each) for at, each in enumerate(windows)])
        await running.until(lambda: running.committed == {P0: 15})
        for room in "ab":
            assert [index for name, index in running.sent if name == room] == list(range(8))


async def test_a_slow_broker_holds_the_engine_back() -> None:
    async with Running(max_rooms=1) as running:
        running.may_deliver.clear()
        for offset in range(10):
            running.pipeline.add([(place(P0, offset), window(f"room {offset}", 1))])
        await running.until(lambda: len(running.scorer.batches) == MAX_UNDELIVERED)
        await asyncio.sleep(0.05)
        assert len(running.scorer.batches) == MAX_UNDELIVERED
        running.may_deliver.set()
        await running.until(lambda: running.committed == {P0: 9})
        assert [index for _, index in running.delivered] == [1] * 10


async def test_the_window_that_is_nearer_to_its_deadline_goes_first() -> None:
    async with Running(max_rooms=1, deadline_s=10.0) as running:
        running.scorer.go.clear()
        running.pipeline.add([(place(P0, 0), window("first", 1))])
        await running.until(lambda: len(running.scorer.batches) == 1)
        now_ms = int(time.time() * 1000)
        running.pipeline.add(
            [
                (place(P0, 1, now_ms), window("fresh", 1)),
                (place(P0, 2, now_ms - 5_000), window("urgent", 1)),
            ]
        )
        running.scorer.go.set()
        await running.until(lambda: running.committed == {P0: 2})
        assert [room for room, _ in running.delivered] == ["first", "urgent", "fresh"]


async def test_work_between_batches_runs_alone_and_its_error_is_the_askers() -> None:
    async with Running() as running:
        running.scorer.left_to_catch_up = 3
        main = threading.get_ident()
        assert await running.pipeline.between_batches(threading.get_ident) != main
        await running.until(lambda: running.scorer.left_to_catch_up == 0)

        def refused() -> None:
            raise ValueError("does not fit")

        with pytest.raises(ValueError, match="does not fit"):
            await running.pipeline.between_batches(refused)
        running.pipeline.add([(place(P0, 0), window("a", 1))])
        await running.until(lambda: running.committed == {P0: 0})


async def test_before_a_rebalance_what_is_begun_is_finished_and_the_rest_forgotten() -> None:
    async with Running(max_rooms=1) as running:
        running.scorer.go.clear()
        running.pipeline.add([(place(P0, each), window(f"room {each}", 1)) for each in range(3)])
        await running.until(lambda: len(running.scorer.batches) == 1)
        giving_up = asyncio.create_task(running.pipeline.forget_partitions(5.0))
        await asyncio.sleep(0.02)
        assert not giving_up.done()
        running.scorer.go.set()
        await giving_up
        assert running.committed == {P0: 0}
        # The same partition comes back: what was not begun is read again from there.
        running.pipeline.add([(place(P0, each), window(f"room {each}", 1)) for each in (1, 2)])
        await running.until(lambda: running.committed == {P0: 2})
        assert running.delivered == [(f"room {each}", 1) for each in range(3)]


async def test_a_rebalance_does_not_wait_for_ever_nor_commit_what_is_not_safe() -> None:
    async with Running() as running:
        running.may_deliver.clear()
        running.pipeline.add([(place(P0, 0), window("a", 1))])
        await running.until(lambda: len(running.scorer.batches) == 1)
        await running.pipeline.forget_partitions(0.05)
        assert running.committed == {}
        running.may_deliver.set()
        await running.until(lambda: running.delivered == [("a", 1)])
        await asyncio.sleep(0.02)
        # Delivered late and not ours any more: its new reader commits it.
        assert running.committed == {}


async def test_a_delivery_that_fails_ends_the_pipeline_and_commits_nothing() -> None:
    async with Running() as running:

        async def fails(_: object) -> None:
            raise OSError("broker gone")

        running._deliver = fails  # type: ignore[method-assign,assignment]
        running.pipeline.add([(place(P0, 0), window("a", 1))])
        with pytest.raises(ExceptionGroup) as found:
            await running.task
        assert isinstance(found.value.exceptions[0], OSError)
        assert running.committed == {}
