"""Recordings as a source: all their rooms on air together."""

from collections.abc import Sequence

from limelight.replay.event_time import shown_event_time
from limelight.replay.marks import mark_interval_ms
from limelight.replay.recording import Recording
from limelight.replay.script import script
from limelight.replay.sources.source import Source, read_ahead
from limelight.streams.settings import Settings
from limelight.streams.user_ids import make_user_key


def recordings_source(
    recordings: Sequence[Recording],
    settings: Settings,
    *,
    base_ms: int,
    speed: float,
    from_ms: int | None = None,
    to_ms: int | None = None,
    shift_ms: int = 0,
) -> Source:
    """The recordings, all starting at `base_ms`; of them what lies in `[from_ms, to_ms)`.

    Raises:
        ValueError: see `script`; or an interval outside of the recordings.
        MalformedRecording: how long a recording is cannot be told.
    """
    end_ms = base_ms + max((recording.duration_ms for recording in recordings), default=0)
    start_ms = base_ms if from_ms is None else max(base_ms, from_ms)
    end_ms = end_ms if to_ms is None else min(end_ms, to_ms)
    if recordings and start_ms >= end_ms:
        raise ValueError(
            f"replay: found an interval from {shown_event_time(start_ms)} to"
            f" {shown_event_time(end_ms)}, expected one that overlaps the recordings"
        )
    messages = script(
        recordings,
        base_ms=base_ms,
        segment_ms=settings.assembler.segment_ms,
        partitions=settings.kafka.partitions,
        mark_interval_ms=mark_interval_ms(speed),
        closing_delay_ms=settings.assembler.closing_delay_ms,
        user_key=make_user_key(settings.privacy.user_key),
        from_ms=from_ms,
        to_ms=to_ms,
    )
    return Source(read_ahead(messages), start_ms, end_ms, shift_ms)
