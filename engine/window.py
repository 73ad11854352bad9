"""What the engine is asked about: a room's last segments, as plain arrays and strings."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A segment's comments are counted in so many parts of it.
COMMENT_BINS = 15


@dataclass(frozen=True, slots=True)
class Segment:
    """`segment_ms` of one room.

    `frame_feature` is the mean of the segment's frame features, shape (frame_feature_size,),
    float16; None when no picture came. `comments` holds up to a bounded number of texts in event
    order, `comment_count` all that came. `comment_weight` counts a user's k-th comment as 1/k;
    comment energy bounds it by the number of users, so that one user cannot make a burst.
    `comment_bins` are the counts in `COMMENT_BINS` equal parts of the segment, `picture_changes`
    1 - cosine of each picture's feature and the next one's, one fewer than `frame_times_ms`; either
    may be missing.
    """

    index: int
    start_ms: int
    frame_feature: NDArray[np.float16] | None
    frame_times_ms: tuple[int, ...]
    speech: str
    comments: tuple[str, ...]
    comment_count: int
    user_count: int
    comment_weight: float
    comment_bins: tuple[int, ...] = ()
    picture_changes: tuple[float, ...] = ()

    @property
    def has_picture(self) -> bool:
        return self.frame_feature is not None

    @property
    def has_text(self) -> bool:
        return bool(self.speech.strip() or any(comment.strip() for comment in self.comments))


@dataclass(frozen=True, slots=True)
class Window:
    """A room's last segments, oldest first, consecutive, at most the model's window length.

    A room younger than that has fewer. `room_started_ms` tells a restart under the same id apart.
    `final` marks the last window that the room will ever send.
    """

    room_id: str
    streamer_id: str
    room_started_ms: int | None
    segment_ms: int
    encoder_id: str
    encoder_revision: str
    segments: tuple[Segment, ...]
    final: bool = False

    @property
    def segment_index(self) -> int:
        return self.segments[-1].index

    @property
    def start_ms(self) -> int:
        return self.segments[-1].start_ms

    @property
    def end_ms(self) -> int:
        return self.start_ms + self.segment_ms
