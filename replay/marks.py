"""The watermark marks that a replay puts between its messages."""

from collections.abc import Iterator

from limelight.replay.scripted_message import ScriptedMessage
from limelight.streams.records import Watermark
from limelight.streams.topics import MARKED_SOURCE_TOPICS

# Comments go out in lists of so long, and marks sit on the same grid, so that they part them.
MARK_GRID_MS = 2_000
# About this many marks a second of real time; more would only cost, fewer would delay closing.
_MARKS_A_SECOND = 5


def mark_interval_ms(speed: float) -> int:
    """Event time between marks: a multiple of the grid that suits the speed."""
    wanted_ms = 1_000 * (speed or 60.0) / _MARKS_A_SECOND
    return max(1, round(wanted_ms / MARK_GRID_MS)) * MARK_GRID_MS


class Marks:
    """Marks from `start_ms` on, one every `interval_ms`, in all partitions of the marked topics.

    Raises:
        ValueError: an interval off the grid.
    """

    def __init__(self, start_ms: int, *, interval_ms: int, partitions: int) -> None:
        if interval_ms <= 0 or interval_ms % MARK_GRID_MS:
            raise ValueError(
                f"mark_interval_ms: found {interval_ms}, expected a multiple of {MARK_GRID_MS}"
            )
        self._start_ms = self._next_ms = start_ms
        self._interval_ms = interval_ms
        self._partitions = partitions

    def first(self) -> Iterator[ScriptedMessage]:
        """A topic that has stood still for long believes a second mark, not a first one."""
        yield from self._everywhere(self._start_ms - 1, self._start_ms - 1)

    def up_to(self, at_ms: int) -> Iterator[ScriptedMessage]:
        """The marks that are due before a message of that time."""
        while self._next_ms <= at_ms:
            yield from self._everywhere(self._next_ms, self._next_ms)
            self._next_ms += self._interval_ms

    def last(self, at_ms: int, closing_ms: int) -> Iterator[ScriptedMessage]:
        """Marks of `closing_ms`, sent when all else is: nobody waits until it is that late."""
        yield from self._everywhere(at_ms, closing_ms)

    def _everywhere(self, at_ms: int, mark_ms: int) -> Iterator[ScriptedMessage]:
        for topic in MARKED_SOURCE_TOPICS:
            for partition in range(self._partitions):
                yield mark(at_ms, topic, partition, mark_ms)


def mark(at_ms: int, topic: str, partition: int, mark_ms: int) -> ScriptedMessage:
    """One mark of one topic-partition."""
    return ScriptedMessage(at_ms, topic, partition, None, b"", Watermark(mark_ms).encode())


def closing_mark_ms(last_ms: int, segment_ms: int, closing_delay_ms: int) -> int:
    """The mark that closes every room's last segment, whatever its phase."""
    return last_ms + segment_ms + closing_delay_ms
