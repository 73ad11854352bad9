"""A recording's highlights as an edit list and as clips."""

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from limelight.replay.exports.clips import clip_suffix, cut_clip, parts_of
from limelight.replay.exports.edl import Cut, edl, write_edl
from limelight.replay.exports.highlights import ExportFailed, read_highlights
from limelight.replay.frames import FrameReader, open_video, picture_stream
from limelight.replay.recording import load_recording


def export_recording(
    events: Path,
    folder: Path,
    *,
    edl_path: Path | None,
    clips_folder: Path | None,
    exact: bool,
    base_ms: int | None,
) -> Iterator[Path]:
    """Write what is asked for; gives each file that has been written.

    Args:
        base_ms: the event time at which the recording was played; None for its own start.

    Raises:
        ExportFailed: the recording has no video, or a highlight lies outside of it.
        MalformedRecording: the recording or its video cannot be read.
    """
    recording = load_recording(folder)
    video = recording.video
    if video is None:
        raise ExportFailed(f"{folder}: found no video, expected one to cut")
    base_ms = recording.started_ms if base_ms is None else base_ms
    cuts = [
        Cut(
            each.start_ms - base_ms - video.offset_ms,
            each.end_ms - base_ms - video.offset_ms,
            str(each.data.get("reason", "")),
        )
        for each in read_highlights(events, [recording.room_id])
    ]
    with FrameReader(video.path) as reader:
        duration_ms = reader.duration_ms
    # What the recorder closed a moment after the film's end ends with it.
    if not video.loop:
        cuts = [
            Cut(cut.start_ms, min(cut.end_ms, duration_ms), cut.note)
            if cut.start_ms < duration_ms
            else cut
            for cut in cuts
        ]
    parts = [parts_of(cut.start_ms, cut.end_ms, duration_ms, loop=video.loop) for cut in cuts]
    if edl_path:
        own = [Cut(*part, cut.note) for cut, some in zip(cuts, parts, strict=True) for part in some]
        write_edl(edl_path, edl(recording.room_id, video.path.name, own, _rate(video.path)))
        yield edl_path
    if clips_folder:
        clips_folder.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[^\w.-]", "_", recording.room_id)
        for number, some in enumerate(parts, 1):
            path = clips_folder / f"{name}-{number:03d}{clip_suffix(video.path)}"
            cut_clip(video.path, some, path, exact=exact)
            yield path


def _rate(video: Path) -> Fraction:
    with open_video(video) as source:
        stream = picture_stream(video, source)
        return Fraction(stream.average_rate or stream.guessed_rate or 25)
