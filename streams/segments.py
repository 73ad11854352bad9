"""Event time cut into segments: which one holds a moment, and when each begins.

A room's segments are aligned to its start when the messages carry `room_started_ms`, else to a
phase hashed from its id, so that rooms do not all close at the same instant. Indexes count from
1970, so they go on where a room restarts:

    segment_ms = 30,000, room started at 1,000,010,000 -> phase 20,000
    index of 1,000,015,000 = (1,000,015,000 - 20,000) // 30,000 = 33,333 -> starts at 1,000,010,000
"""

from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True, slots=True)
class SegmentClock:
    """The segment grid of one room."""

    segment_ms: int
    phase_ms: int

    @classmethod
    def of_room(cls, room_id: str, room_started_ms: int | None, segment_ms: int) -> "SegmentClock":
        if room_started_ms is not None:
            return cls(segment_ms, room_started_ms % segment_ms)
        digest = blake2b(room_id.encode(), digest_size=8).digest()
        return cls(segment_ms, int.from_bytes(digest, "big") % segment_ms)

    def index_of(self, event_time_ms: int) -> int:
        return (event_time_ms - self.phase_ms) // self.segment_ms

    def start_ms(self, index: int) -> int:
        return index * self.segment_ms + self.phase_ms

    def end_ms(self, index: int) -> int:
        return self.start_ms(index + 1)
