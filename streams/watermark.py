"""Marks and acknowledgements of one topic-partition.

The log is the write-ahead log: a message is acknowledged when everything made of it has been
delivered. Marks are held too, for a restarted worker must judge lateness as the first one did.
So a mark is acknowledged only when a later mark stands and every message between the two is done.
Reading again therefore always begins at a mark (or at the start of the log):

    offset   0      1     2      3     4      5
             mark A data  data   mark B data  mark C
    done            yes   no            yes
    acked    no     yes   no     yes    yes   no        -> the next worker starts at 0, mark A
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Ack = Callable[[], None]


def no_ack() -> None:
    """For a source without acknowledgements, such as a direct pass over a recording."""


class _Span:
    """The messages between one mark and the next."""

    __slots__ = ("mark_ack", "pending", "superseded")

    def __init__(self, mark_ack: Ack) -> None:
        self.mark_ack = mark_ack
        self.pending = 0
        self.superseded = False

    def settle(self) -> None:
        if self.superseded and self.pending == 0:
            self.mark_ack()


class Hold:
    """Keeps one message unacknowledged until each of its users has released it."""

    __slots__ = ("_ack", "_span", "_users")

    def __init__(self, ack: Ack, span: _Span) -> None:
        self._ack = ack
        self._span = span
        self._users = 1
        span.pending += 1

    def retain(self) -> "Hold":
        self._users += 1
        return self

    def release(self) -> None:
        self._users -= 1
        if self._users == 0:
            self._ack()
            self._span.pending -= 1
            self._span.settle()


@dataclass(frozen=True, slots=True)
class Doubt:
    """A mark that was too far ahead to be believed by itself; `message` is whatever carried it."""

    mark_ms: int
    hold: Hold
    message: Any


class SourceWatermark:
    """How far one topic-partition has come in event time; never goes back in one reading.

    Args:
        max_jump_ms: a mark further ahead is believed only when the next one is as far, so that one
            wrong clock does not make a day's data late. The first mark is always believed.
    """

    def __init__(self, max_jump_ms: int) -> None:
        self.watermark_ms: int | None = None
        self._max_jump_ms = max_jump_ms
        self._doubt: Doubt | None = None
        self._span = _Span(no_ack)
        self.last_offset = -1

    def read(self, offset: int) -> None:
        """Note which message is read next; one that was read before begins a second reading.

        Faust seeks back to what is committed, sometimes without a word, after a rebalance and again
        after its tables are recovered. What was in time at the first reading must be in time at the
        second, so the watermark is forgotten; the mark that is read first restores it.
        """
        if offset <= self.last_offset:
            self.watermark_ms = None
            self._doubt = None
            # The newest mark was not superseded: it is read, held and acknowledged once more.
            self._span = _Span(no_ack)
        self.last_offset = offset

    def advance(self, mark_ms: int, ack: Ack, message: Any = None) -> Doubt | None:
        """Take a mark; gives the doubted one before it if this one contradicts it.

        A mark that is behind is acknowledged at once, a doubted one is held like data.
        """
        doubt, self._doubt = self._doubt, None
        confirms = doubt is not None and 0 <= mark_ms - doubt.mark_ms <= self._max_jump_ms
        if self.watermark_ms is not None:
            if mark_ms - self.watermark_ms > self._max_jump_ms and not confirms:
                self._doubt = Doubt(mark_ms, self.hold(ack), message)
                return doubt
            if mark_ms <= self.watermark_ms:
                ack()
                return doubt
        self.watermark_ms = mark_ms
        superseded, self._span = self._span, _Span(ack)
        superseded.superseded = True
        superseded.settle()
        if doubt is not None and confirms:
            doubt.hold.release()
            return None
        return doubt

    def hold(self, ack: Ack) -> Hold:
        return Hold(ack, self._span)

    def has_passed(self, event_time_ms: int) -> bool:
        return self.watermark_ms is not None and self.watermark_ms >= event_time_ms
