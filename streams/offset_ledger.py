"""Which offset of a topic-partition may be committed: everything before it is done."""

from collections import deque


class OffsetLedger:
    """Offsets in the order they were read, and how far from the first on all are acknowledged.

    read 5 6 7 9 (8 is a gap of the log), acknowledged 5 6 9 -> commit 7; after 7 -> commit 10
    """

    def __init__(self) -> None:
        self._read: deque[int] = deque()

    def read(self, offset: int) -> None:
        """Note an offset; one that is not newer begins a second reading of the log."""
        if self._read and offset <= self._read[-1]:
            self._read.clear()
        self._read.append(offset)

    def committable(self, acknowledged: set[int]) -> int | None:
        """The next offset to read after all that is done, None if the first is not.

        Takes what it has passed out of `acknowledged`.
        """
        next_offset = None
        while self._read and self._read[0] in acknowledged:
            done = self._read.popleft()
            acknowledged.discard(done)
            next_offset = done + 1
        return next_offset
