"""A task ends even if it loses a cancellation."""

import asyncio

import pytest

from limelight.streams import tasks
from limelight.streams.tasks import end


async def test_tasks_that_swallow_a_cancellation_are_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "_ASK_AGAIN_S", 0.01)
    lost = 0

    async def stubborn() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                lost += 1
                if lost == 3:
                    raise

    async def fails() -> None:
        raise ValueError("its own")

    running = [asyncio.create_task(stubborn()), asyncio.create_task(fails())]
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await end(*running)
    assert running[0].cancelled() and lost == 3
    assert isinstance(running[1].exception(), ValueError)


async def test_nothing_to_end_is_fine() -> None:
    await end()
