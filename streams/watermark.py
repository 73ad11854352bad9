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


class SourceWatermark:
    """How far one topic-partition has come in event time; never goes back in one reading."""

    def __init__(self) -> None:
        self.watermark_ms: int | None = None
        self._span = _Span(no_ack)
        self._last_offset = -1

    def read(self, offset: int) -> None:
        """Note which message is read next; one that was read before begins a second reading.

        Faust seeks back to what is committed, sometimes without a word, after a rebalance and again
        after its tables are recovered. What was in time at the first reading must be in time at the
        second, so the watermark is forgotten; the mark that is read first restores it.
        """
        if offset <= self._last_offset:
            self.watermark_ms = None
            # The newest mark was not superseded: it is read, held and acknowledged once more.
            self._span = _Span(no_ack)
        self._last_offset = offset

    def advance(self, mark_ms: int, ack: Ack) -> bool:
        """Whether the mark moved the watermark; one that does not is acknowledged at once."""
        if self.watermark_ms is not None and mark_ms <= self.watermark_ms:
            ack()
            return False
        self.watermark_ms = mark_ms
        superseded, self._span = self._span, _Span(ack)
        superseded.superseded = True
        superseded.settle()
        return True

    def hold(self, ack: Ack) -> Hold:
        return Hold(ack, self._span)

    def has_passed(self, event_time_ms: int) -> bool:
        return self.watermark_ms is not None and self.watermark_ms >= event_time_ms
