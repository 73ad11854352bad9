"""Windows that wait for their score: which of them go together, and when.

A batch takes at most one window a room, so a room with a backlog takes one place in each batch
and holds up nobody. Who can still be in time goes first, the most urgent before the others; who is
late anyway shares a quarter of the batch, and whatever the others leave, so that a backlog is
worked off while live rooms stay live. A room that is new to the engine costs as much as all the
segments of its window: a hundred of them in one batch would hold up everybody else for seconds.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from limelight.engine.window import Window

Origin = TypeVar("Origin")

LATE_SHARE = 0.25


def one_each(_: Window) -> int:
    return 1


@dataclass(frozen=True, slots=True)
class Waiting(Generic[Origin]):
    """A window, where it came from, and two times of one clock, in seconds."""

    window: Window
    origin: Origin
    came_s: float
    due_s: float


class WaitingWindows(Generic[Origin]):
    """The queue between the log and the device. It has no clock of its own: callers say the time.

    Args:
        max_rooms: how many windows, or how much by their cost, make a full batch.
        max_wait_s: how long a window waits for others to fill its batch.
        cost: what a window takes, 1 for a room that goes on. Asked when a batch is taken.
    """

    def __init__(
        self, *, max_rooms: int, max_wait_s: float, cost: Callable[[Window], int] = one_each
    ) -> None:
        self._max_rooms = max_rooms
        self._max_wait_s = max_wait_s
        self._cost = cost
        self._rooms: dict[str, deque[Waiting[Origin]]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, window: Window, origin: Origin, *, now_s: float, due_s: float) -> None:
        """Puts a window behind those of its room."""
        room = self._rooms.setdefault(window.room_id, deque())
        room.append(Waiting(window, origin, now_s, due_s))
        self._count += 1

    def wait_s(self, now_s: float) -> float | None:
        """How long until a batch should go: 0 for now, None as long as nothing waits."""
        if not self._rooms:
            return None
        if len(self._rooms) >= self._max_rooms:
            return 0.0
        came_s = min(room[0].came_s for room in self._rooms.values())
        return max(0.0, came_s + self._max_wait_s - now_s)

    def take(self, now_s: float) -> list[Waiting[Origin]]:
        """The next batch, empty if nothing waits; those taken wait no more."""
        heads = sorted((room[0] for room in self._rooms.values()), key=lambda each: each.due_s)
        late = [each for each in heads if each.due_s < now_s]
        in_time = heads[len(late) :]
        share = max(1, round(self._max_rooms * LATE_SHARE))
        # The first goes whatever it costs: one dearer than a whole batch would wait for ever.
        batch, left = self._affordable(late, share, at_least=1)
        urgent, left = self._affordable(
            in_time, self._max_rooms - share + left, at_least=0 if batch else 1
        )
        more, _ = self._affordable(late[len(batch) :], left, at_least=0)
        batch = batch + urgent + more
        for each in batch:
            room = self._rooms[each.window.room_id]
            room.popleft()
            if not room:
                del self._rooms[each.window.room_id]
        self._count -= len(batch)
        return batch

    def _affordable(
        self, windows: list[Waiting[Origin]], budget: int, *, at_least: int
    ) -> tuple[list[Waiting[Origin]], int]:
        """As many of them, in their order, as the budget allows, and what is left of it."""
        for count, each in enumerate(windows):
            cost = self._cost(each.window)
            if cost > budget and count >= at_least:
                return windows[:count], budget
            budget -= cost
        return windows, budget

    def drop(self, unwanted: Callable[[Origin], bool]) -> int:
        """Forgets the windows of these origins; how many there were."""
        before = self._count
        for room_id, room in list(self._rooms.items()):
            kept = deque(each for each in room if not unwanted(each.origin))
            self._count -= len(room) - len(kept)
            if kept:
                self._rooms[room_id] = kept
            else:
                del self._rooms[room_id]
        return before - self._count
