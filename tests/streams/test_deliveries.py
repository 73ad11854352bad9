"""Emissions on their way: settled in order, and by nobody but the partition's owner."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limelight.streams.assembly import Emission
from limelight.streams.deliveries import Deliveries
from limelight.streams.watermark import SourceWatermark


class Log:
    """A broker that confirms when told to, and a table; `done` tells what happened, in order."""

    def __init__(self, table_confirms: bool = False) -> None:
        self.table_confirms = table_confirms
        self.done: list[str] = []
        self.sent: dict[str, int] = {}
        self.confirmations: dict[str, asyncio.Future[None]] = {}
        self._source = SourceWatermark(3_600_000)

    async def send(self, emission: Emission, partition: int) -> Awaitable[None]:
        name = emission.key.decode()
        self.sent[name] = partition
        self.confirmations[name] = asyncio.get_running_loop().create_future()
        return self.confirmations[name]

    def put(self, partition: int, key: bytes, value: bytes | None) -> asyncio.Future[None] | None:
        self.done.append(f"table {partition} {key.decode()}")
        if not self.table_confirms:
            return None
        logged = asyncio.get_running_loop().create_future()
        self.confirmations[f"table {key.decode()}"] = logged
        return logged

    def emission(self, name: str, topic: str | None = "windows", table: bool = False) -> Emission:
        hold = self._source.hold(lambda: self.done.append(f"ack {name}"))
        entries = {name.encode(): b"value"} if table else {}
        return Emission(topic, name.encode(), table=dict(entries), holds=[hold])

    async def confirm(self, *names: str) -> None:
        for name in names:
            self.confirmations[name].set_result(None)
            await take_turns()


async def take_turns() -> None:
    """Let every task that can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


@asynccontextmanager
async def running(deliveries: Deliveries) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(deliveries.run())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_the_table_and_then_the_source_wait_for_the_broker() -> None:
    log = Log()
    deliveries = Deliveries(log.send, log)
    async with running(deliveries):
        await deliveries.submit([log.emission("a", table=True)], partition=3)
        await take_turns()
        assert log.sent == {"a": 3}
        assert log.done == []
        await log.confirm("a")
        assert log.done == ["table 3 a", "ack a"]


async def test_the_source_waits_until_the_broker_has_the_tables_change() -> None:
    log = Log(table_confirms=True)
    deliveries = Deliveries(log.send, log)
    async with running(deliveries):
        emissions = [log.emission("a", table=True), log.emission("b", table=True)]
        await deliveries.submit(emissions, 3)
        await log.confirm("a", "b")
        # A crash now: both are read again, for nobody can restore the table without its change.
        assert log.done == ["table 3 a", "table 3 b"]
        await log.confirm("table b")
        assert log.done == ["table 3 a", "table 3 b"]
        await log.confirm("table a")
        assert log.done == ["table 3 a", "table 3 b", "ack a", "ack b"]


async def test_a_table_that_cannot_be_written_ends_the_run() -> None:
    log = Log(table_confirms=True)
    deliveries = Deliveries(log.send, log)
    run = asyncio.create_task(deliveries.run())
    await deliveries.submit([log.emission("a", table=True)], 3)
    await take_turns()
    await log.confirm("a")
    log.confirmations["table a"].set_exception(OSError("no broker"))
    with pytest.raises(OSError, match="no broker"):
        await run
    assert log.done == ["table 3 a"]


async def test_what_is_confirmed_out_of_order_is_settled_in_the_order_of_sending() -> None:
    log = Log()
    deliveries = Deliveries(log.send, log)
    async with running(deliveries):
        await deliveries.submit([log.emission("a"), log.emission("b")], partition=0)
        await deliveries.submit([log.emission("c")], partition=1)
        await log.confirm("c", "b")
        assert log.done == []
        await log.confirm("a")
        assert log.done == ["ack a", "ack b", "ack c"]


@given(st.permutations(range(6)), st.integers(0, 6))
@settings(deadline=None)
def test_what_is_settled_is_always_what_was_confirmed_from_the_first_on(order, count) -> None:
    async def run() -> None:
        log = Log()
        deliveries = Deliveries(log.send, log)
        async with running(deliveries):
            await deliveries.submit([log.emission(str(each)) for each in range(6)], partition=0)
            await log.confirm(*(str(each) for each in order[:count]))
            first_open = min(set(range(7)) - set(order[:count]))
            assert log.done == [f"ack {each}" for each in range(first_open)]

    asyncio.run(run())


async def test_what_was_under_way_when_partitions_moved_is_settled_by_nobody_here() -> None:
    log = Log()
    deliveries = Deliveries(log.send, log)
    async with running(deliveries):
        await deliveries.submit([log.emission("a", table=True)], partition=0)
        await take_turns()
        deliveries.forget()
        await deliveries.submit([log.emission("b", table=True)], partition=0)
        await log.confirm("a", "b")
        assert log.done == ["table 0 b", "ack b"]


async def test_what_was_being_sent_when_partitions_moved_is_settled_by_nobody_here() -> None:
    log = Log()
    gate = asyncio.Event()

    async def send_slowly(emission: Emission, partition: int) -> Awaitable[None]:
        await gate.wait()
        return await log.send(emission, partition)

    deliveries = Deliveries(send_slowly, log)
    async with running(deliveries):
        emissions = [log.emission("a"), log.emission("b", topic=None)]
        submitting = asyncio.create_task(deliveries.submit(emissions, partition=0))
        await take_turns()
        deliveries.forget()
        gate.set()
        await submitting
        await log.confirm("a")
        assert log.done == []


async def test_an_emission_that_sends_nothing_still_waits_for_its_turn() -> None:
    log = Log()
    deliveries = Deliveries(log.send, log)
    async with running(deliveries):
        emissions = [log.emission("a"), log.emission("b", topic=None, table=True)]
        await deliveries.submit(emissions, partition=0)
        await take_turns()
        assert log.done == []
        await log.confirm("a")
        assert log.done == ["table 0 b", "ack a", "ack b"]
    assert log.sent.keys() == {"a"}


async def test_a_failed_send_ends_the_run_and_settles_nothing_behind_it() -> None:
    log = Log()
    deliveries = Deliveries(log.send, log)
    await deliveries.submit([log.emission("a", table=True), log.emission("b")], partition=0)
    log.confirmations["a"].set_exception(ConnectionError("broker gone"))
    log.confirmations["b"].set_result(None)
    with pytest.raises(ConnectionError, match="broker gone"):
        await deliveries.run()
    assert log.done == []


async def test_sending_waits_while_too_much_is_unconfirmed() -> None:
    log = Log()
    deliveries = Deliveries(log.send, log, most_in_flight=2)
    async with running(deliveries):
        emissions = [log.emission(str(each)) for each in range(10)]
        submitting = asyncio.create_task(deliveries.submit(emissions, partition=0))
        await take_turns()
        assert not submitting.done()
        # Two in the queue, one being waited for, and one that waits for a place.
        assert len(log.sent) == 4
        for each in range(10):
            await log.confirm(str(each))
        await submitting
        assert log.done == [f"ack {each}" for each in range(10)]


async def test_no_more_bytes_are_sent_while_too_many_are_unconfirmed() -> None:
    log = Log()
    deliveries = Deliveries(log.send, log, most_bytes=100)

    def window(name: str, size: int) -> Emission:
        emission = log.emission(name)
        emission.value = b"x" * size
        return emission

    async with running(deliveries):
        await deliveries.submit([window("a", 60), window("b", 60)], 0)
        third = asyncio.create_task(deliveries.submit([window("c", 500)], 0))
        await take_turns()
        assert list(log.sent) == ["a", "b"]
        await log.confirm("a")
        assert third.done()
        # Larger than all that is allowed, it goes when there is room at all.
        fourth = asyncio.create_task(deliveries.submit([window("d", 1)], 0))
        await log.confirm("b")
        assert not fourth.done()
        await log.confirm("c")
        assert fourth.done()
        await log.confirm("d")
        assert log.done == ["ack a", "ack b", "ack c", "ack d"]


async def test_what_is_forgotten_no_longer_counts_among_the_unconfirmed_bytes() -> None:
    log = Log()
    deliveries = Deliveries(log.send, log, most_bytes=1)
    first, second = log.emission("a"), log.emission("b")
    first.value = second.value = b"xx"
    async with running(deliveries):
        await deliveries.submit([first], 0)
        deliveries.forget()
        waiting = asyncio.create_task(deliveries.submit([second], 0))
        await take_turns()
        assert not waiting.done()
        await log.confirm("a")
        assert waiting.done()
        assert log.done == []
