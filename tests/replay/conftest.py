import os
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

MakeVideo = Callable[..., Path]

MANIFEST = """\
room_id = "room-1"
streamer_id = "anna"
started_at = 2026-05-01T20:00:00+08:00
"""


@pytest.fixture
def shared_data() -> Path:
    """The folder of real data; the test is skipped without it."""
    folder = os.environ.get("LIMELIGHT_TEST_DATA")
    if not folder:
        pytest.skip("LIMELIGHT_TEST_DATA does not name the folder of real data")
    return Path(folder)


def second_colour(second: int) -> tuple[int, int, int]:
    """One of 216 colours that are still told apart after compression."""
    return 51 * (second % 6), 51 * (second // 6 % 6), 51 * (second // 36 % 6)


def shown_second(image: Image.Image, seconds: int) -> int:
    """The second whose colour the middle of the picture is nearest to."""
    middle = image.getpixel((image.width // 2, image.height // 2))
    distances = [
        sum((a - b) ** 2 for a, b in zip(middle, second_colour(second), strict=True))
        for second in range(seconds)
    ]
    return distances.index(min(distances))


@pytest.fixture
def find_second() -> Callable[[Image.Image, int], int]:
    return shown_second


@pytest.fixture
def make_video() -> MakeVideo:
    """Makes a video that shows each second in a colour of its own."""

    def make(
        path: Path,
        seconds: int,
        *,
        rate: int = 10,
        key_frame_every: int = 20,
        codec: str = "libx264",
        size: tuple[int, int] = (64, 48),
        sound_seconds: int = 0,
        rotation_degrees: int = 0,
    ) -> Path:
        options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
        with av.open(str(path), "w", options=options) as file:
            stream = file.add_stream(codec, rate=rate)
            stream.width, stream.height = size
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.gop_size = key_frame_every
            if rotation_degrees:
                stream.set_display_rotation(rotation_degrees)
            sound = file.add_stream("aac", rate=8_000) if sound_seconds else None
            for index in range(seconds * rate):
                colour = np.array(second_colour(index // rate), np.uint8)
                pixels = np.broadcast_to(colour, (size[1], size[0], 3)).copy()
                # Noise, so that cutting the file loses pictures rather than some last few bytes.
                generator = np.random.default_rng(index)
                pixels[:8] = generator.integers(0, 255, pixels[:8].shape, np.uint8)
                file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            file.mux(stream.encode())
            if sound is not None:
                mux_silence(file, sound, sound_seconds)
        return path

    return make


@pytest.fixture
def make_sound() -> Callable[[Path, int], Path]:
    def make(path: Path, seconds: int) -> Path:
        with av.open(str(path), "w") as file:
            mux_silence(file, file.add_stream("aac", rate=8_000), seconds)
        return path

    return make


def mux_silence(file, stream, seconds: int) -> None:  # type: ignore[no-untyped-def]
    for index in range(seconds * 8):
        silence = av.AudioFrame.from_ndarray(
            np.zeros((1, 1_000), np.float32), format="fltp", layout="mono"
        )
        silence.sample_rate = 8_000
        silence.pts = index * 1_000
        file.mux(stream.encode(silence))
    file.mux(stream.encode())


@pytest.fixture
def make_recording(tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder of the manifest's lines and the files given by name."""

    def make(manifest: str, **files: str) -> Path:
        folder = tmp_path / "recording"
        folder.mkdir(exist_ok=True)
        (folder / "recording.toml").write_text(MANIFEST + manifest, encoding="utf-8")
        for name, content in files.items():
            (folder / name.replace("_", ".")).write_text(content, encoding="utf-8")
        return folder

    return make
