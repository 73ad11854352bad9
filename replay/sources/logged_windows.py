"""The windows of a feature log, made again of its rows.

Each row is the newest segment of one window, so a window is that of its row and the rows before it,
in the very bytes that the worker had written.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from limelight.engine.window import Segment
from limelight.replay.feature_log.rows import HOUR_MS
from limelight.streams.window_records import encode_segment, encode_window


@dataclass(slots=True)
class _Life:
    """A room's last segments; none of them after its final one."""

    segments: deque[bytes]
    newest_index: int = -1
    end_ms: int = 0


@dataclass(slots=True)
class LoggedWindows:
    """Rows in, ordered by their ends; windows out.

    `incomplete` counts windows that lack segments which the log does not have, though the worker
    had them; `repeated` rows that give none, as a window that was sent twice gives one.

    Args:
        shift_ms: how much later than logged; a multiple of every room's segment length.
    """

    window_length: int
    shift_ms: int = 0
    incomplete: int = 0
    repeated: int = 0
    _lives: dict[tuple[str, int | None], _Life] = field(default_factory=dict)

    def window(self, row: Mapping[str, Any]) -> bytes | None:
        """The `windows` record whose newest segment the row is; None for one that was sent before.

        Raises:
            ValueError: a shift that would leave the room's grid.
        """
        segment_ms, index = row["segment_ms"], row["segment_index"]
        if self.shift_ms % segment_ms:
            raise ValueError(
                f"--start-at: found a shift of {self.shift_ms} ms, expected a multiple of the"
                f" segments' {segment_ms} ms"
            )
        key = row["room_id"], row["room_started_ms"]
        life = self._lives.get(key)
        if life is None:
            life = self._lives[key] = _Life(deque(maxlen=self.window_length))
        if index <= life.newest_index:
            self.repeated += 1
            return None
        if life.segments and index != life.newest_index + 1:
            life.segments.clear()
            self.incomplete += 1
        life.segments.append(_segment(row, self.shift_ms))
        life.newest_index, life.end_ms = index, row["start_ms"] + segment_ms
        started_ms = row["room_started_ms"]
        window = encode_window(
            room_id=row["room_id"],
            streamer_id=row["streamer_id"],
            room_started_ms=None if started_ms is None else started_ms + self.shift_ms,
            segment_ms=segment_ms,
            segments=list(life.segments),
            segment_index=index + self.shift_ms // segment_ms,
            start_ms=row["start_ms"] + self.shift_ms,
            final=row["final"],
        )
        if row["final"]:
            life.segments.clear()
        return window

    def forget_before(self, time_ms: int) -> None:
        """Let go of rooms without a segment since; nothing is repeated after an hour."""
        old = [key for key, life in self._lives.items() if life.end_ms < time_ms - HOUR_MS]
        for key in old:
            del self._lives[key]


def _segment(row: Mapping[str, Any], shift_ms: int) -> bytes:
    feature = row["frame_feature"]
    has_encoder = row["encoder_id"] is not None
    segment = Segment(
        index=row["segment_index"] + shift_ms // row["segment_ms"],
        start_ms=row["start_ms"] + shift_ms,
        frame_feature=None if feature is None else np.frombuffer(feature, "<f2"),
        frame_times_ms=tuple(time_ms + shift_ms for time_ms in row["frame_times_ms"]),
        speech=row["speech"],
        comments=tuple(row["comments"]),
        comment_count=row["comment_count"],
        user_count=row["user_count"],
        comment_weight=row["comment_weight"],
        comment_bins=tuple(row["comment_bins"]),
        picture_changes=tuple(row["picture_changes"]),
    )
    encoder = (row["encoder_id"], row["encoder_revision"]) if has_encoder else None
    return encode_segment(segment, encoder, dict(row["entries"]))
