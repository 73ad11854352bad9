"""Videos a second by `limelight clips encode`, one thread.

Copies of an upright film of 10 s, 720 x 1280 at 25 pictures a second with a tone; bundled encoders.
"""

import tempfile
import time
from pathlib import Path
from shutil import copy
from statistics import median

import av
import numpy as np
import torch

from limelight.engine.tiny_encoders import tiny_frame_encoder, tiny_text_encoder
from limelight.models.audio.sound_encoder import load_sound_encoder
from limelight.models.audio.sound_statistics import SOUND_STATISTICS
from limelight.replay.clip_encoding import ClipEncoders, EncodingOptions, encode_clips
from limelight.replay.clip_manifest import read_manifest
from tests.bench.result import Result

VIDEOS, SECONDS, PICTURES_A_SECOND, ROUNDS = 6, 10, 25, 3
WIDTH, HEIGHT, SAMPLE_RATE = 720, 1_280, 44_100


def write_film(path: Path) -> None:
    """A gradient that moves, with noise, which takes the decoder as long as a real film."""
    random = np.random.default_rng(0)
    rows = np.arange(HEIGHT)[:, None, None]
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=PICTURES_A_SECOND, options={"preset": "veryfast"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = file.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        for number in range(SECONDS * PICTURES_A_SECOND):
            noise = random.integers(0, 24, (HEIGHT, WIDTH, 3))
            pixels = ((rows // 6 + 3 * number) % 200 + noise).astype(np.uint8)
            file.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(video.encode())
        tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE)
        frame = av.AudioFrame.from_ndarray(
            tone.astype(np.float32)[None], format="fltp", layout="mono"
        )
        frame.sample_rate = SAMPLE_RATE
        file.mux(sound.encode(frame))
        file.mux(sound.encode())


def run() -> Result:
    torch.set_num_threads(1)
    rows = []
    cpu = torch.device("cpu")
    encoders = ClipEncoders(
        tiny_frame_encoder(device=cpu),
        tiny_text_encoder(device=cpu),
        load_sound_encoder(SOUND_STATISTICS),
    )
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        lines = ["path,clip_id,title"]
        write_film(folder / "film.mp4")
        for number in range(VIDEOS):
            copy(folder / "film.mp4", folder / f"{number}.mp4")
            lines.append(f"{number}.mp4,clip-{number},dancing")
        (folder / "manifest.csv").write_text("\n".join(lines))
        table = read_manifest(folder / "manifest.csv")
        encode_clips(table[:1], folder / "warm-up", encoders, EncodingOptions())
        for label, work in (("new", "work-{}"), ("kept", "work-0")):
            seconds = []
            for number in range(ROUNDS):
                started = time.perf_counter()
                encode_clips(table, folder / work.format(number), encoders, EncodingOptions())
                seconds.append(time.perf_counter() - started)
            best, middle = (1e3 * each / VIDEOS for each in (min(seconds), median(seconds)))
            rows.append((label, f"{best:,.1f}", f"{middle:,.1f}"))
    return Result(
        title="Videos to labelled clips",
        columns=("features", "minimum ms a video", "median ms a video"),
        rows=tuple(rows),
        note=(
            f"`python -m tests.bench clip_encoding`: `limelight clips encode` of {VIDEOS} films"
            f" of {SECONDS} s, {WIDTH} x {HEIGHT} at {PICTURES_A_SECOND} pictures a second with a"
            f" tone, {ROUNDS} rounds; bundled encoders, one torch thread, PyAV's own threads; kept:"
            " an earlier run has left each video's features."
        ),
    )
