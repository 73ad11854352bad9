"""Event time against real time, with pauses."""

import asyncio
import contextlib
import time
from collections.abc import Callable


class Pace:
    """When a message of an event time is to be sent.

    Args:
        speed: event time over real time; 0 is as fast as possible.
        now_s: a clock that never goes back.

    Raises:
        ValueError: a speed below 0.
    """

    def __init__(self, speed: float, now_s: Callable[[], float] = time.monotonic) -> None:
        if not speed >= 0:
            raise ValueError(f"speed: found {speed}, expected 0 (as fast as possible) or more")
        self.speed = speed
        self.is_stopped = False
        self._now_s = now_s
        self._zero_ms: int | None = None
        self._started_s = self._paused_s = 0.0
        self._paused_since_s: float | None = None
        self._changed = asyncio.Event()

    @property
    def is_paused(self) -> bool:
        return self._paused_since_s is not None

    @property
    def running_s(self) -> float:
        """Real time since the first message, pauses taken off."""
        if self._zero_ms is None:
            return 0.0
        until_s = self._now_s() if self._paused_since_s is None else self._paused_since_s
        return until_s - self._started_s - self._paused_s

    def toggle(self) -> None:
        """Pause, or go on where it was: what was not sent meanwhile is not made up for."""
        if self._paused_since_s is None:
            self._paused_since_s = self._now_s()
        else:
            since_s, self._paused_since_s = self._paused_since_s, None
            if self._zero_ms is not None:
                self._paused_s += self._now_s() - max(since_s, self._started_s)
        self._changed.set()

    def stop(self) -> None:
        self.is_stopped = True
        self._changed.set()

    def begin(self, at_ms: int) -> None:
        """Real time runs from now on, event time from `at_ms`."""
        self._zero_ms, self._started_s = at_ms, self._now_s()
        if self._paused_since_s is not None:
            self._paused_since_s = self._started_s

    def due_in_s(self, at_ms: int) -> float:
        """Running time until a message of that event time is due; 0 or less when it is."""
        if not self.speed or self._zero_ms is None:
            return 0.0
        return (at_ms - self._zero_ms) / 1000 / self.speed - self.running_s

    async def reach(self, at_ms: int) -> bool:
        """Wait until a message of that event time is due; False once it is not to be sent."""
        while not self.is_stopped:
            self._changed.clear()
            if self.is_paused:
                await self._changed.wait()
                continue
            delay_s = self.due_in_s(at_ms)
            if delay_s <= 0:
                return True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._changed.wait()
        return False
