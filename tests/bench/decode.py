"""The pictures that a replay uses of a film, against a loop that decodes all of it."""

import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np

from limelight.replay.frames import FrameReader, read_frames, segment_frame_offsets
from tests.bench.result import Result, interleaved

MINUTES = 10
RATE = 25
SIZE = (854, 480)
SEGMENT_MS = 30_000
KEY_FRAMES_EVERY_S = (2, 10)
REPEATS = 3
TARGET = 10


def run() -> Result:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for seconds in KEY_FRAMES_EVERY_S:
            rows.append(_measure(Path(folder), seconds))
    return Result(
        title="Pictures of a film",
        columns=(
            "key frame every",
            "pictures used",
            "of them decoded",
            "ours min ms",
            "ours median ms",
            "decode everything min ms",
            "median ms",
            "ratio",
            "target",
        ),
        rows=tuple(rows),
        note=(
            f"{MINUTES} minutes of H.264, {SIZE[0]}x{SIZE[1]} at {RATE} pictures a second"
            f" (x264, veryfast, crf 23, three B-frames), a moving gradient with noise; three"
            f" pictures a segment of 30 s. Both loops turn the pictures used into RGB, both run in"
            f" one process with PyAV's default of threads, taking turns, {REPEATS} times; ratios by"
            f" minimum. Every picture used was found equal to that of the loop. PyAV"
            f" {av.__version__}."
        ),
    )


def _measure(folder: Path, key_frame_s: int) -> tuple[str | float, ...]:
    film = folder / f"film-{key_frame_s}.mp4"
    _make_film(film, folder / "minute.mp4", key_frame_s)
    offsets_ms = [
        start_ms + centre_ms
        for start_ms in range(0, MINUTES * 60_000, SEGMENT_MS)
        for centre_ms in segment_frame_offsets(SEGMENT_MS)
    ]
    wanted = [image.tobytes() for image in _decode_everything(film, offsets_ms)]
    with FrameReader(film) as reader:
        found = [frame.image.tobytes() for frame in reader.read(offsets_ms, loop=False)]
        decoded = reader.decoded_frames
    if found != wanted:
        raise AssertionError("found other pictures than by decoding everything")
    timings = interleaved(
        {
            "ours": lambda: [frame.image for frame in read_frames(film, offsets_ms, loop=False)],
            "everything": lambda: list(_decode_everything(film, offsets_ms)),
        },
        repeats=REPEATS,
    )
    ours, everything = timings["ours"], timings["everything"]
    return (
        f"{key_frame_s} s",
        f"{len(offsets_ms)} of {MINUTES * 60 * RATE:,}",
        f"{decoded:,}",
        round(ours.min_ms),
        round(ours.median_ms),
        round(everything.min_ms),
        round(everything.median_ms),
        f"{everything.min_ms / ours.min_ms:.1f}x",
        f"{TARGET}x" if key_frame_s == KEY_FRAMES_EVERY_S[0] else "",
    )


def _decode_everything(film: Path, offsets_ms: list[int]) -> Iterator[Any]:
    """The picture on screen at each offset."""
    waiting = list(reversed(offsets_ms))
    with av.open(str(film)) as file:
        stream = file.streams.video[0]
        ms_per_tick = float(1000 * stream.time_base)
        for before, frame in pairwise(_and_none(file.decode(stream))):
            while waiting and (frame is None or frame.pts * ms_per_tick > waiting[-1]):
                waiting.pop()
                yield before.to_image()


def _and_none(frames: Iterator[Any]) -> Iterator[Any]:
    yield from frames
    yield None


def _make_film(film: Path, minute: Path, key_frame_s: int) -> None:
    """A minute, encoded once and repeated: the decoder has ten times the same work."""
    rng = np.random.default_rng(0)
    width, height = SIZE
    base = np.linspace(0, 255, width * 2, dtype=np.float32)
    noise = rng.integers(-4, 4, (8, height, width, 1), dtype=np.int16)
    shapes = rng.integers(0, 255, (height // 40, width // 40 + 1, 3), dtype=np.uint8)
    blocks = shapes.repeat(40, 0).repeat(40, 1)[:, :width]
    with av.open(str(minute), "w") as file:
        stream = file.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        options = {"preset": "veryfast", "crf": "23", "bf": "3", "sc_threshold": "0"}
        stream.options = options | {"g": str(key_frame_s * RATE)}
        for index in range(60 * RATE):
            row = np.roll(base, 5 * index)[:width]
            pixels = np.broadcast_to(row[None, :, None], (height, width, 3)).astype(np.int16)
            moved = np.roll(blocks, (index, 3 * index), (0, 1))
            pixels[: len(moved)] = (pixels[: len(moved)] + moved) // 2
            pixels += noise[index % len(noise)]
            picture = np.clip(pixels, 0, 255).astype(np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode())
    with av.open(str(film), "w") as out:
        target = None
        for number in range(MINUTES):
            with av.open(str(minute)) as file:
                source = file.streams.video[0]
                target = target or out.add_stream_from_template(source)
                shift = round(60 * number / source.time_base)
                for packet in file.demux(source):
                    if packet.dts is None:
                        continue
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = target
                    out.mux(packet)
