"""How far a recording's comments run behind its picture, from the whole of it."""

from collections.abc import Callable

import numpy as np

from limelight.engine.comment_lag import STEP_MS, lag_of
from limelight.replay.frames import FrameReader
from limelight.replay.recording import Recording

# Pictures are compared small and grey: what counts is that the scene is another.
SIDE_PIXELS = 16
MAX_PICTURES = 900
BIN_MS = 1_000


def recording_lag_ms(recording: Recording, advance: Callable[[int], None]) -> int | None:
    """The comments' lag in ms, a multiple of 2 s; None where none shows.

    Needs pictures and comments; a video that is looped under a longer stream says nothing of it.

    Raises:
        MalformedRecording: the video or the comments cannot be read.
    """
    video = recording.video
    if video is None or video.loop or recording.comments is None:
        return None
    step_ms = max(STEP_MS, recording.duration_ms // MAX_PICTURES)
    times_ms, pictures = [], []
    with FrameReader(video.path) as reader:
        end_ms = min(reader.duration_ms, recording.duration_ms - video.offset_ms)
        for frame in reader.read(range(0, max(end_ms, 0), step_ms), loop=False):
            small = frame.image.convert("L").resize((SIDE_PIXELS, SIDE_PIXELS))
            times_ms.append(frame.offset_ms + video.offset_ms)
            pictures.append(np.asarray(small, np.float64) / 255)
            advance(1)
    if len(pictures) < 2:
        return None
    changes = np.abs(np.diff(np.stack(pictures), axis=0)).mean(axis=(1, 2))
    edges_ms = np.arange(0, recording.duration_ms + BIN_MS, BIN_MS)
    said_ms = [line.offset_ms for line in recording.read_comments()]
    counts = np.histogram(said_ms, edges_ms)[0]
    taken_ms = np.array(times_ms, np.float64)
    return lag_of(taken_ms[:-1], taken_ms[1:], changes, counts, BIN_MS)
