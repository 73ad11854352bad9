"""What the models look at in a clip: candidate covers, openings, and the sound."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from limelight.models.audio.log_mel import SAMPLE_RATE
from limelight.models.datasets.labelled_clip import KEY_FRAMES, OPENING_SECONDS
from limelight.replay.frames import FrameReader, open_video, picture_stream
from limelight.replay.readers.malformed import MalformedRecording

_OPENING_MS = OPENING_SECONDS * 1_000
# No model looks closer, and half a hundred pictures of 8K would take gigabytes.
_MOST_SIDE_PIXELS = 1_280
# A picture is asked for this long before the end at the latest.
_BEFORE_END_MS = 1
# The largest sample of a silent track: below the least that 16 bits can say.
_SILENCE = 2.0**-15


@dataclass(frozen=True, slots=True)
class ClipMedia:
    """A clip's pictures by their time in it, and its sound.

    Args:
        duration_ms: of its pictures.
        pictures: every picture that one of the offsets below names, at most 1,280 pixels a side.
        cover_offsets_ms: candidates for the cover, spread over the clip.
        key_offsets_ms: 8 moments of the whole clip, in the middle of equal parts.
        start_offsets_ms: where it may begin to play.
        sound: (n,) float32 mono at 16 kHz; empty for a silent clip.
    """

    duration_ms: int
    pictures: dict[int, Image]
    cover_offsets_ms: list[int]
    key_offsets_ms: list[int]
    start_offsets_ms: list[int]
    sound: NDArray[np.float32]

    def opening(self, start_ms: int) -> list[Image]:
        """The pictures 0, 1 and 2 s behind a start, the last there is where the clip has ended."""
        return [self.pictures[at] for at in opening_offsets(start_ms, self.duration_ms)]

    def opening_sound(self, start_ms: int) -> NDArray[np.float32]:
        """The sound of three patches of 0.96 s from a start on, or less at the clip's end."""
        first = start_ms * SAMPLE_RATE // 1_000
        return self.sound[first : first + OPENING_SECONDS * SAMPLE_RATE]


def read_clip(clip: Path, *, max_starts: int, max_covers: int) -> ClipMedia:
    """Decode the moments of a clip that the models look at, and its sound.

    Raises:
        MalformedRecording: it is no video, or damaged.
    """
    with FrameReader(clip) as reader:
        duration_ms = reader.duration_ms
        keys = [_in_middle(part, KEY_FRAMES, duration_ms) for part in range(KEY_FRAMES)]
        covers = sorted({_in_middle(part, max_covers, duration_ms) for part in range(max_covers)})
        starts = start_offsets(key_frames_ms(clip), duration_ms, max_starts)
        wanted = {*keys, *covers}
        for start_ms in starts:
            wanted.update(opening_offsets(start_ms, duration_ms))
        pictures = {
            each.offset_ms: _small(each.image) for each in reader.read(sorted(wanted), loop=False)
        }
    missing = wanted - pictures.keys()
    if missing:
        raise MalformedRecording(clip, None, "pictures that end early", f"{duration_ms} ms of them")
    return ClipMedia(duration_ms, pictures, covers, keys, starts, read_sound(clip))


def opening_offsets(start_ms: int, duration_ms: int) -> list[int]:
    last_ms = max(0, duration_ms - _BEFORE_END_MS)
    return [min(start_ms + second * 1_000, last_ms) for second in range(OPENING_SECONDS)]


def start_offsets(key_ms: Sequence[int], duration_ms: int, most: int) -> list[int]:
    """Up to `most` moments to begin at, each with three seconds of the clip behind it.

    Key frames, since there a player begins at once, evenly chosen if there are many; where there
    are fewer than half of what is asked for, whole seconds between them as well. A clip shorter
    than three seconds begins at 0.
    """
    last_ms = duration_ms - _OPENING_MS
    if last_ms <= 0:
        return [0]
    candidates = sorted({0, *(at for at in key_ms if 0 <= at <= last_ms)})
    if len(candidates) * 2 < most:
        step_ms = max(1_000, last_ms // most // 1_000 * 1_000)
        candidates = sorted({*candidates, *range(0, last_ms + 1, step_ms)})
    if len(candidates) <= most:
        return candidates
    places = np.linspace(0, len(candidates) - 1, most).round().astype(int)
    return [candidates[place] for place in dict.fromkeys(places.tolist())]


def key_frames_ms(clip: Path) -> list[int]:
    """The times of a video's key frames since its first picture; nothing is decoded."""
    found = []
    with open_video(clip) as container:
        stream = picture_stream(clip, container)
        first_pts = stream.start_time or 0
        for packet in container.demux(stream):
            if packet.is_keyframe and packet.pts is not None:
                found.append(round((packet.pts - first_pts) * packet.time_base * 1_000))
    return sorted(found)


def read_sound(clip: Path) -> NDArray[np.float32]:
    """(n,) float32 mono at 16 kHz; empty where there is no sound, or nothing but silence."""
    parts: list[NDArray[np.float32]] = []
    with open_video(clip) as container:
        if not container.streams.audio:
            return np.empty(0, np.float32)
        # Channels are averaged here: FFmpeg's own mono is louder than their mean.
        resampler = av.AudioResampler(format="fltp", rate=SAMPLE_RATE)
        try:
            for frame in container.decode(container.streams.audio[0]):
                parts += [each.to_ndarray().mean(0) for each in resampler.resample(frame)]
            parts += [each.to_ndarray().mean(0) for each in resampler.resample(None)]
        except av.FFmpegError:
            # Pictures without their sound are still worth showing: what came before is kept.
            pass
    sound = np.concatenate(parts) if parts else np.empty(0, np.float32)
    return sound if np.abs(sound).max(initial=0.0) > _SILENCE else np.empty(0, np.float32)


def _small(picture: Image) -> Image:
    # In place, and only ever smaller.
    picture.thumbnail((_MOST_SIDE_PIXELS, _MOST_SIDE_PIXELS))
    return picture


def _in_middle(part: int, parts: int, duration_ms: int) -> int:
    """Where the middle of one of so many equal parts lies: 625 ms of 10 s for the first of 8."""
    return duration_ms * (2 * part + 1) // (2 * parts)
