"""Which offset of a topic-partition may be committed: everything before it is done."""

from collections import deque


class OffsetLedger:
    """Offsets in the order they were read, and how far from the first on all are acknowledged.

    read 5 6 7 9 (8 is a gap of the log), acknowledged 5 6 9 -> commit 7; after 7 -> commit 10

    While the log is being read a second time, acknowledgements of the first reading still come in.
    Nothing is committed until the second has come as far: a mark may be among what the first has
    acknowledged, and only the offset after all of it is sure to be a mark again.
    """

    def __init__(self) -> None:
        self._read: deque[int] = deque()

    def read(self, offset: int) -> None:
        """Note an offset; one that is not newer begins a second reading of the log."""
        if self._read and offset <= self._read[-1]:
            self._read.clear()
        self._read.append(offset)

    def committable(self, acknowledged: set[int]) -> int | None:
        """The next offset to read after all that is done, None if there is nothing to commit.

        Takes what it has passed out of `acknowledged`.
        """
        next_offset = None
        if self._read and max(acknowledged, default=-1) > self._read[-1]:
            return None
        while self._read and self._read[0] in acknowledged:
            done = self._read.popleft()
            acknowledged.discard(done)
            next_offset = done + 1
        return next_offset
