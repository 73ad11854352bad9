import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL.Image import Image

from limelight.replay.frames import FrameReader, read_frames, segment_frame_offsets
from limelight.replay.readers.malformed import MalformedRecording

FindSecond = Callable[[Image, int], int]


def test_a_segments_pictures_are_the_centres_of_its_parts() -> None:
    assert segment_frame_offsets(30_000) == (5_000, 15_000, 25_000)
    assert segment_frame_offsets(1_000, 1) == (500,)
    with pytest.raises(ValueError, match="above 0"):
        segment_frame_offsets(0)


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        ("mp4", "libx264"),
        ("mkv", "libx264"),
        ("flv", "libx264"),
        ("ts", "libx264"),
        ("webm", "libvpx"),
    ],
)
def test_the_right_pictures_come_without_decoding_the_film(
    tmp_path: Path,
    make_video: Callable[..., Path],
    find_second: FindSecond,
    suffix: str,
    codec: str,
) -> None:
    film = make_video(tmp_path / f"film.{suffix}", 60, codec=codec)
    offsets_ms = [5_500, 15_500, 25_500, 35_500, 45_500, 55_500]
    with FrameReader(film) as reader:
        frames = list(reader.read(offsets_ms, loop=False))
        # The film has 600 pictures; a key frame every 2 s leaves at most 20 a target, and where
        # a container seeks late (TS) the reader starts a second sooner.
        assert reader.decoded_frames <= 6 * 40
        assert (reader.width, reader.height) == (64, 48)
    assert [frame.offset_ms for frame in frames] == offsets_ms
    assert [find_second(frame.image, 60) for frame in frames] == [5, 15, 25, 35, 45, 55]
    assert {frame.image.mode for frame in frames} == {"RGB"}


def test_targets_between_the_same_key_frames_are_decoded_once(
    tmp_path: Path, make_video: Callable[..., Path], find_second: FindSecond
) -> None:
    film = make_video(tmp_path / "film.mp4", 60, key_frame_every=600)
    with FrameReader(film) as reader:
        frames = list(reader.read(range(500, 40_000, 1_000), loop=False))
        assert reader.decoded_frames <= 39 * 10 + 6
    assert [find_second(frame.image, 60) for frame in frames] == list(range(40))


def test_going_back_and_forth_gives_the_right_pictures(
    tmp_path: Path, make_video: Callable[..., Path], find_second: FindSecond
) -> None:
    film = make_video(tmp_path / "film.mp4", 20)
    offsets_ms = [19_999, 0, 12_300, 12_300, 12_299, 999, 1_000, 7_050]
    frames = read_frames(film, offsets_ms, loop=False)
    assert [find_second(frame.image, 20) for frame in frames] == [19, 0, 12, 12, 12, 0, 1, 7]


def test_without_loop_reading_stops_at_the_end(
    tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    film = make_video(tmp_path / "film.mp4", 10)
    frames = read_frames(film, [500, 9_999, 10_000, 10_500], loop=False)
    assert [frame.offset_ms for frame in frames] == [500, 9_999]


def test_with_loop_offsets_wrap_at_the_duration(
    tmp_path: Path, make_video: Callable[..., Path], find_second: FindSecond
) -> None:
    film = make_video(tmp_path / "film.mp4", 10)
    with FrameReader(film) as reader:
        assert reader.duration_ms == 10_000
        frames = list(reader.read([9_500, 10_500, 39_500, 123_456], loop=True))
    assert [frame.offset_ms for frame in frames] == [9_500, 10_500, 39_500, 123_456]
    assert [find_second(frame.image, 10) for frame in frames] == [9, 0, 9, 3]


def test_a_negative_offset_is_the_callers_mistake(
    tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    film = make_video(tmp_path / "film.mp4", 2)
    with pytest.raises(ValueError, match="found -1"):
        list(read_frames(film, [-1], loop=True))


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "flv"])
def test_a_truncated_film_gives_what_comes_before_the_damage(
    tmp_path: Path, make_video: Callable[..., Path], find_second: FindSecond, suffix: str
) -> None:
    film = make_video(tmp_path / f"film.{suffix}", 30)
    os.truncate(film, film.stat().st_size * 6 // 10)
    seconds = []
    with pytest.raises(MalformedRecording, match=rf"^film.{suffix}, at \d+.5 s: found ") as caught:
        for frame in read_frames(film, range(500, 30_000, 1_000), loop=False):
            seconds.append(find_second(frame.image, 30))
    assert seconds == list(range(len(seconds)))
    assert 10 <= len(seconds) <= 20
    assert caught.value.where == f"at {len(seconds)}.5 s"


def test_a_truncated_film_is_found_when_looping_too(
    tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    film = make_video(tmp_path / "film.mp4", 30)
    os.truncate(film, film.stat().st_size * 6 // 10)
    with pytest.raises(MalformedRecording, match=r"at 29.0 s"):
        list(read_frames(film, [1_000, 29_000, 31_000], loop=True))


@pytest.mark.parametrize(("length", "found"), [(8, "a damaged picture"), (3_000, "damage ")])
def test_overwritten_bytes_are_found(
    tmp_path: Path, make_video: Callable[..., Path], length: int, found: str
) -> None:
    film = make_video(tmp_path / "film.mp4", 30)
    content = bytearray(film.read_bytes())
    middle = len(content) // 2
    content[middle : middle + length] = b"\x55" * length
    film.write_bytes(content)
    with pytest.raises(MalformedRecording, match=rf"film.mp4, at 1\d.\d s: found {found}"):
        list(read_frames(film, range(50, 30_000, 100), loop=False))


def test_a_film_held_upright_comes_out_upright(
    tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    # The band of noise at the top of the stored picture: turned counterclockwise it is at the left.
    film = make_video(tmp_path / "film.mp4", 1, rotation_degrees=90)
    image = next(read_frames(film, [500], loop=False)).image
    assert image.size == (48, 64)
    assert image.crop((0, 0, 4, 64)).getextrema() != ((0, 0), (0, 0), (0, 0))
    assert max(high for _, high in image.crop((30, 0, 48, 64)).getextrema()) < 20


def test_sound_that_outlasts_the_pictures_is_no_damage(
    tmp_path: Path, make_video: Callable[..., Path], find_second: FindSecond
) -> None:
    film = make_video(tmp_path / "film.mkv", 10, sound_seconds=20)
    frames = list(read_frames(film, [9_500, 15_500], loop=False))
    assert [find_second(frame.image, 10) for frame in frames] == [9, 9]


def test_sound_alone_is_refused(tmp_path: Path, make_sound: Callable[[Path, int], Path]) -> None:
    file = make_sound(tmp_path / "sound.mp4", 2)
    with pytest.raises(
        MalformedRecording, match=r"sound.mp4: found streams of audio, expected a v"
    ):
        FrameReader(file)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "found an empty file"),
        (b"hello, I am not a film\n" * 50, "found text that starts b'hello"),
        (b"#EXTM3U\n#EXTINF:9,\nfile:///etc/hostname\n", "found text that starts b'#EXTM3U"),
        (b"\0\1\2\3" * 500, "found a file that it cannot read"),
    ],
)
def test_what_is_no_video_is_refused(tmp_path: Path, content: bytes, error: str) -> None:
    file = tmp_path / "film.mp4"
    file.write_bytes(content)
    with pytest.raises(MalformedRecording, match=rf"^film.mp4: {error}.*expected a video"):
        FrameReader(file)


def test_huge_pictures_are_refused_before_one_is_decoded(
    tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    film = make_video(tmp_path / "film.mkv", 1, rate=1, codec="mjpeg", size=(8_208, 16))
    with pytest.raises(MalformedRecording, match="found pictures of 8208 x 16, expected at most"):
        FrameReader(film)


@pytest.mark.shared_data
def test_the_whole_film_costs_a_fraction_of_its_pictures(shared_data: Path) -> None:
    film = shared_data / "big-buck-bunny" / "big_buck_bunny_448x252.mp4"
    with FrameReader(film) as reader:
        frames = list(reader.read(range(5_000, 596_000, 10_000), loop=False))
        # 14,315 pictures; a key frame every 2 s, 48 pictures.
        assert reader.decoded_frames <= len(frames) * 48
        assert (len(frames), reader.duration_ms) == (60, 596_458)


def test_pictures_left_out_are_those_that_nobody_would_see(tmp_path: Path) -> None:
    # Frames of uneven length, many of them B-frames, and one that stays for longer than it says.
    film, pts = tmp_path / "film.mkv", 0
    rng = np.random.default_rng(3)
    with av.open(str(film), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options = {"bf": "3", "g": "50", "preset": "veryfast"}
        stream.codec_context.time_base = Fraction(1, 1_000)
        for index in range(200):
            pixels = np.full((48, 64, 3), index, np.uint8)
            pixels[:, : index % 60] = 255 - index
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = pts, Fraction(1, 1_000)
            file.mux(stream.encode(frame))
            pts += 40 if index % 17 else 900
        file.mux(stream.encode())
    with av.open(str(film)) as file:
        every = [(round(frame.time * 1000), frame.to_image()) for frame in file.decode(video=0)]
    offsets_ms = sorted(int(each) for each in rng.integers(0, every[-1][0], 150))
    with FrameReader(film) as reader:
        for frame in reader.read(offsets_ms[::3], loop=False):
            shown = [image for at_ms, image in every if at_ms <= frame.offset_ms][-1]
            assert frame.image.tobytes() == shown.tobytes(), frame.offset_ms
