"""Simulated rooms as recordings: files like those of a real stream, for the ordinary readers.

Beside them lies `truth.csv`, which only the report opens: the true CTR and the activity of each
segment.
"""

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import av
import numpy as np

from limelight.kernels.energy import SEGMENT_MS
from limelight.models.datasets.labelled_room import COUNT_NAMES
from limelight.replay.measured_ctr import TRUTH_NAME
from limelight.replay.recording_manifest import MANIFEST_NAME
from limelight.replay.simulator.pictures import HEIGHT, WIDTH, Artist
from limelight.replay.simulator.raw_rooms import PICTURES, WORDS
from limelight.replay.simulator.words import Utterance, ViewerComment, comments, speech
from limelight.replay.simulator.world import ACTIVITIES, RoomTruth, World

FRAMES_A_SECOND = 1
# A new picture every two seconds: as much movement as the encoder's three a segment can tell.
_FRAMES_A_PICTURE = 2
_VIDEO_OPTIONS = {"crf": "32", "preset": "veryslow", "g": "10", "keyint_min": "1"}
_STARTED_AT = datetime(2026, 5, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SimulatedRecording:
    """Which room of a world is recorded, and for how many segments."""

    number: int
    segments: int = 40


def write_recording(
    world: World,
    wanted: SimulatedRecording,
    folder: Path,
    *,
    on_segment: Callable[[], None] = lambda: None,
) -> None:
    """Write the room's video, comments, speech, engagement, manifest and truth into `folder`.

    The same world and number give the same room as `World.room`; the comments and the speech are
    those that `raw_rooms` trains on, if it is as long as the world's rooms are.

    Raises:
        FileExistsError: the folder holds a recording already.
    """
    if (folder / MANIFEST_NAME).exists():
        raise FileExistsError(f"{folder}: found a recording, expected a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    truth = world.room(wanted.number, segments=wanted.segments)
    _write_video(folder / "video.mp4", truth, world.rng(wanted.number, PICTURES), on_segment)
    words = world.rng(wanted.number, WORDS)
    _write_speech(folder / "speech.vtt", speech(truth, words))
    _write_comments(folder / "comments.csv", comments(truth, words))
    _write_engagement(folder / "engagement.csv", world.counts(truth, wanted.number))
    _write_truth(folder / TRUTH_NAME, truth)
    # Last: without a manifest it is no recording, so one that was cut off is never taken for whole.
    (folder / MANIFEST_NAME).write_text(_manifest(world, truth), encoding="utf-8")


def _write_video(
    path: Path, truth: RoomTruth, rng: np.random.Generator, on_segment: Callable[[], None]
) -> None:
    artist = Artist(truth)
    a_segment = SEGMENT_MS // 1000 * FRAMES_A_SECOND
    with av.open(str(path), "w", options={"movflags": "faststart"}) as video:
        stream = video.add_stream("libx264", rate=FRAMES_A_SECOND, options=_VIDEO_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for segment in range(len(truth)):
            for place in range(a_segment):
                if place % _FRAMES_A_PICTURE == 0:
                    frame = av.VideoFrame.from_image(artist.picture(segment, rng))
                frame.pts = segment * a_segment + place
                video.mux(stream.encode(frame))
            on_segment()
        video.mux(stream.encode())


def _write_speech(path: Path, said: Sequence[Utterance]) -> None:
    cues = [f"{_clock(each.start_ms)} --> {_clock(each.end_ms)}\n{each.text}\n" for each in said]
    path.write_text("WEBVTT\n\n" + "\n".join(cues), encoding="utf-8")


def _write_comments(path: Path, written: Sequence[ViewerComment]) -> None:
    rows = [(each.at_ms, each.user, each.text) for each in written]
    _write_csv(path, ("time_ms", "user", "text"), rows)


def _write_engagement(path: Path, counts: np.ndarray) -> None:
    rows = [
        (segment * SEGMENT_MS, (segment + 1) * SEGMENT_MS, *(int(count) for count in row))
        for segment, row in enumerate(counts)
    ]
    _write_csv(path, ("start_ms", "end_ms", *COUNT_NAMES), rows)


def _write_truth(path: Path, truth: RoomTruth) -> None:
    rows = [
        (segment * SEGMENT_MS, f"{truth.ctr[segment]:.6f}", ACTIVITIES[truth.activity[segment]])
        for segment in range(len(truth))
    ]
    _write_csv(path, ("start_ms", "ctr", "activity"), rows)


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _manifest(world: World, truth: RoomTruth) -> str:
    number = int(truth.room_id.removeprefix("room-"))
    started_at = _STARTED_AT + timedelta(hours=number % 24)
    return f'''room_id = "simulated-{number}"
streamer_id = "{truth.streamer.streamer_id}"
title = "A simulated room"
started_at = {started_at.isoformat()}
duration_ms = {truth.duration_ms}
align_segments = "start"
note = """\\
Drawn, written and clicked by Limelight's simulator (world seed {world.seed}, room {number}): \\
what happens in it and how likely people click is known, so predictions can be compared with it."""

[video]
file = "video.mp4"

[comments]
file = "comments.csv"
format = "comments-csv"

[asr]
file = "speech.vtt"
format = "vtt"

[engagement]
file = "engagement.csv"
format = "engagement-csv"
'''


def _clock(time_ms: int) -> str:
    seconds, ms = divmod(time_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}.{ms:03d}"
