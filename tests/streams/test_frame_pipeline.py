"""Batches in flight, each at another stage; committed in order, after delivery, or not at all.

The stages are the test's own functions, held by hand, so that every interleaving is one it chose.
"""

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from aiokafka import ConsumerRecord, TopicPartition

from limelight.engine.encoders import load_frame_encoder
from limelight.engine.settings import EngineSettings
from limelight.streams.frame_batch import FrameMessage, FrameOutput, encode_frames
from limelight.streams.frame_consumer import feed
from limelight.streams.frame_pipeline import MAX_IN_FLIGHT, FramePipeline
from limelight.streams.records import Watermark, header_map

PARTITION = TopicPartition("frames", 0)


@dataclass
class Stages:
    """Every batch passes a stage once its gate is open; `log` says what happened, in order."""

    log: list[tuple[str, int]] = field(default_factory=list)
    decoded: dict[int, threading.Event] = field(default_factory=dict)
    encoded: dict[int, threading.Event] = field(default_factory=dict)
    delivered: dict[int, asyncio.Event] = field(default_factory=dict)
    broken: int | None = None  # the batch whose encoding fails

    def __post_init__(self) -> None:
        self.pipeline = FramePipeline(self.decode, self.encode, self.deliver, self.commit)

    def gates(self, count: int) -> None:
        for gates, new in (
            (self.decoded, threading.Event),
            (self.encoded, threading.Event),
            (self.delivered, asyncio.Event),
        ):
            gates.update({k: new() for k in range(count)})

    def open(self) -> None:
        for gates in (self.decoded, self.encoded, self.delivered):
            for gate in gates.values():
                gate.set()

    def decode(self, messages: Sequence[FrameMessage]) -> list[FrameOutput]:
        self.log.append(("decode", number := messages[0].offset))
        assert self.decoded[number].wait(20)
        return [FrameOutput(0, "frame-features", None, str(number).encode(), [])]

    def encode(self, frames: list[FrameOutput]) -> list[FrameOutput]:
        self.log.append(("encode", number := int(frames[0].value)))
        assert self.encoded[number].wait(20)
        if number == self.broken:
            raise RuntimeError("the device is gone")
        return frames

    async def deliver(self, outputs: list[FrameOutput]) -> None:
        number = int(outputs[0].value)
        await self.delivered[number].wait()
        self.log.append(("deliver", number))

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.log.append(("commit", offsets[PARTITION]))

    def submit(self, number: int) -> None:
        self.pipeline.submit([FrameMessage(0, number, None, {})], {PARTITION: number})

    async def until(self, *entries: tuple[str, int]) -> None:
        async with asyncio.timeout(20):
            while not set(entries) <= set(self.log):
                await asyncio.sleep(0.001)

    def committed(self) -> list[int]:
        return [number for what, number in self.log if what == "commit"]


@pytest.fixture
def stages() -> Iterator[Stages]:
    found = Stages()
    found.gates(6)
    yield found
    found.open()  # so that no thread is left waiting where a test has failed


async def test_each_stage_works_at_another_batch(stages) -> None:
    for number in range(3):
        stages.submit(number)
    stages.decoded[0].set()
    stages.decoded[1].set()
    stages.encoded[0].set()
    # 0 waits for its delivery, 1 is on the device, 2 is being decoded; none of them is done.
    await stages.until(("encode", 1), ("decode", 2))
    assert not await stages.pipeline.has_room(0)
    assert stages.committed() == []
    stages.open()
    await stages.until(("commit", 2))
    assert await stages.pipeline.has_room(1)


async def test_offsets_are_committed_in_order_and_each_after_its_delivery(stages) -> None:
    stages.open()
    for number in range(6):
        while not await stages.pipeline.has_room(1):
            pass
        stages.submit(number)
    await stages.until(("commit", 5))
    for number in range(6):
        assert stages.log.index(("deliver", number)) < stages.log.index(("commit", number))
    assert stages.committed() == list(range(6))


async def test_a_batch_that_is_ready_early_waits_for_the_one_before(stages) -> None:
    for number in range(2):
        stages.decoded[number].set()
        stages.encoded[number].set()
        stages.submit(number)
    stages.delivered[1].set()
    await stages.until(("encode", 1))
    await asyncio.sleep(0.05)
    assert not {("deliver", 1), ("commit", 1)} & set(stages.log)
    stages.delivered[0].set()
    await stages.until(("commit", 1))
    assert [entry for entry in stages.log if entry[0] in ("deliver", "commit")] == [
        ("deliver", 0),
        ("commit", 0),
        ("deliver", 1),
        ("commit", 1),
    ]


async def test_what_follows_a_failed_batch_is_neither_delivered_nor_committed(stages) -> None:
    stages.broken = 1
    for number in range(3):
        stages.submit(number)
    stages.open()
    with pytest.raises(RuntimeError, match="the device is gone"):
        while True:
            await stages.pipeline.has_room(1)
            await asyncio.sleep(0)
    await stages.pipeline.close()
    assert stages.committed() == [0]
    assert not {("deliver", 1), ("deliver", 2)} & set(stages.log)


async def test_a_rebalance_waits_for_what_is_in_flight(stages) -> None:
    for number in range(3):
        stages.submit(number)
    draining = asyncio.create_task(stages.pipeline.drain(20))
    await asyncio.sleep(0.02)
    assert not draining.done()
    stages.open()
    await draining
    assert stages.committed() == [0, 1, 2]


async def test_a_rebalance_drops_what_takes_too_long_and_goes_on(stages) -> None:
    stages.submit(0)
    stages.submit(1)
    stages.decoded[0].set()
    await stages.until(("encode", 0))
    await stages.pipeline.drain(0.01)
    # The partition may have come back: what was dropped is read again, as batch 2.
    stages.submit(2)
    stages.open()
    await stages.until(("commit", 2))
    assert stages.committed() == [2]
    assert [number for what, number in stages.log if what == "deliver"] == [2]


async def test_a_batch_in_delivery_at_the_deadline_is_not_committed(stages) -> None:
    stages.decoded[0].set()
    stages.encoded[0].set()
    stages.submit(0)
    await stages.until(("encode", 0))
    await asyncio.sleep(0.05)
    await stages.pipeline.drain(0.01)
    stages.open()
    await stages.until(("deliver", 0))
    await stages.pipeline.drain(1)
    assert stages.committed() == []


async def test_closing_commits_nothing_that_was_not_delivered(stages) -> None:
    stages.delivered[0].set()
    for number in range(3):
        stages.decoded[number].set()
        stages.encoded[number].set()
        stages.submit(number)
    await stages.until(("commit", 0), ("encode", 1))
    await stages.pipeline.close()
    stages.open()
    await asyncio.sleep(0.02)
    assert stages.committed() == [0]


def record(offset: int, value: bytes, headers: list[tuple[str, bytes]]) -> ConsumerRecord:
    return ConsumerRecord("frames", 0, offset, 0, 0, None, value, None, 0, 0, tuple(headers))


async def test_a_slow_batch_does_not_stop_the_polling(stages) -> None:
    polls = fetches = 0

    async def fetch() -> dict[TopicPartition, list[ConsumerRecord]]:
        nonlocal fetches
        fetches += 1
        return {PARTITION: [record(fetches - 1, b"", [])]}

    async def poll_nothing() -> None:
        nonlocal polls
        polls += 1

    feeding = asyncio.create_task(feed(stages.pipeline, fetch, poll_nothing, poll_every_s=0.005))
    async with asyncio.timeout(20):
        while polls < 5:
            await asyncio.sleep(0.001)
    # The device has been busy all the time: no more is taken from the log than it has room for.
    assert fetches == MAX_IN_FLIGHT
    assert stages.committed() == []
    feeding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await feeding
    stages.open()
    await stages.pipeline.close()


async def test_from_log_to_log_with_real_marks_and_a_real_encoder() -> None:
    encoder, settings = load_frame_encoder("tiny"), EngineSettings()
    marks = [Watermark(k).encode() for k in range(10)]
    batches = [
        {PARTITION: [record(2 * k, b"", marks[2 * k]), record(2 * k + 1, b"", marks[2 * k + 1])]}
        for k in range(5)
    ]
    delivered: list[FrameOutput] = []
    committed: list[int] = []
    done = asyncio.Event()

    async def fetch() -> dict[TopicPartition, list[ConsumerRecord]]:
        if not batches:
            await asyncio.sleep(0.001)
            return {}
        return batches.pop(0)

    async def deliver(outputs: list[FrameOutput]) -> None:
        delivered.extend(outputs)

    async def commit(offsets: Mapping[TopicPartition, int]) -> None:
        committed.append(offsets[PARTITION])
        if len(committed) == 5:
            done.set()

    pipeline = FramePipeline(
        lambda messages: encode_frames(messages, encoder, settings),
        lambda outputs: outputs,
        deliver,
        commit,
    )
    feeding = asyncio.create_task(feed(pipeline, fetch, fetch))
    async with asyncio.timeout(20):
        await done.wait()
    feeding.cancel()
    await asyncio.gather(feeding, return_exceptions=True)
    await pipeline.close()
    assert [header_map(output.headers)["event_time_ms"] for output in delivered] == [
        str(k) for k in range(10)
    ]
    assert committed == [1, 3, 5, 7, 9]
