"""Ending asyncio tasks for certain."""

import asyncio

_ASK_AGAIN_S = 1.0


async def end(*tasks: asyncio.Task[object]) -> None:
    """Cancel the tasks and wait until they are over; what they raise stays in them.

    Asked again every second: clients of a broker lose a cancellation now and then while they
    connect, and would go on for ever.
    """
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=_ASK_AGAIN_S)
