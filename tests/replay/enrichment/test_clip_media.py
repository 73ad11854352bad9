"""The moments of a clip that the models look at, in videos that show which second they are of."""

import av
import numpy as np
import pytest

from limelight.replay.enrichment.clip_media import (
    opening_offsets,
    read_clip,
    read_sound,
    start_offsets,
)
from limelight.replay.readers.malformed import MalformedRecording


def write_tone(path, seconds: float, hertz: float, rate: int = 44_100, loudness: float = 0.5):
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=rate, layout="stereo")
        samples = loudness * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
        frame = av.AudioFrame.from_ndarray(
            np.stack([samples, samples]).astype(np.float32), format="fltp", layout="stereo"
        )
        frame.sample_rate = rate
        file.mux(stream.encode(frame))
        file.mux(stream.encode())


def test_each_picture_is_of_its_second(tmp_path, make_video, find_second) -> None:
    media = read_clip(make_video(tmp_path / "clip.mp4", 16), max_starts=4, max_covers=4)
    assert media.duration_ms == 16_000 and not len(media.sound)
    shown = {at: find_second(picture, 16) for at, picture in media.pictures.items()}
    assert shown == {at: at // 1_000 for at in media.pictures}
    assert media.key_offsets_ms == [1_000 + 2_000 * n for n in range(8)]
    assert media.cover_offsets_ms == [2_000, 6_000, 10_000, 14_000]
    for start_ms in media.start_offsets_ms:
        seconds = [find_second(picture, 16) for picture in media.opening(start_ms)]
        assert seconds == [start_ms // 1_000 + n for n in range(3)]


def test_a_clip_shorter_than_three_seconds_begins_at_0(tmp_path, make_video, find_second) -> None:
    media = read_clip(make_video(tmp_path / "clip.mp4", 2), max_starts=4, max_covers=8)
    assert media.start_offsets_ms == [0]
    # The third second is not there: the last picture stands for it.
    assert [find_second(picture, 2) for picture in media.opening(0)] == [0, 1, 1]
    assert media.opening_sound(0).shape == (0,)


@pytest.mark.parametrize(
    ("key_ms", "duration_ms", "most", "expected"),
    [
        ([0, 2_000, 4_000, 6_000, 8_000], 10_000, 5, [0, 2_000, 4_000, 6_000]),
        (list(range(0, 60_000, 1_000)), 60_000, 4, [0, 19_000, 38_000, 57_000]),
        ([0], 9_000, 3, [0, 4_000, 6_000]),
        ([500], 2_000, 3, [0]),
        ([], 3_000, 3, [0]),
    ],
)
def test_starts_are_key_frames_spread_over_the_clip(key_ms, duration_ms, most, expected) -> None:
    found = start_offsets(key_ms, duration_ms, most)
    assert found == expected and len(found) <= most
    assert all(at + 3_000 <= duration_ms or at == 0 for at in found)


def test_an_opening_never_leaves_the_clip() -> None:
    assert opening_offsets(1_000, 2_500) == [1_000, 2_000, 2_499]


def test_no_more_of_a_large_picture_is_kept_than_models_see(tmp_path, make_video) -> None:
    video = make_video(tmp_path / "clip.mp4", 3, rate=2, size=(2_560, 320))
    media = read_clip(video, max_starts=4, max_covers=4)
    assert {picture.size for picture in media.pictures.values()} == {(1_280, 160)}


def test_sound_comes_as_mono_at_16_khz(tmp_path) -> None:
    write_tone(tmp_path / "tone.mp4", 2.0, 1_000.0)
    sound = read_sound(tmp_path / "tone.mp4")
    assert abs(len(sound) - 32_000) < 2_000
    middle = sound[8_000:24_000]
    spectrum = np.abs(np.fft.rfft(middle))
    assert int(spectrum.argmax()) == 1_000  # one second: a bin is 1 Hz
    assert np.sqrt((middle**2).mean()) == pytest.approx(0.5 / np.sqrt(2), rel=0.1)


def test_a_silent_track_is_no_sound(tmp_path) -> None:
    write_tone(tmp_path / "silent.mp4", 2.0, 1_000.0, loudness=0.0)
    assert read_sound(tmp_path / "silent.mp4").shape == (0,)


def test_what_is_no_video_is_refused(tmp_path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"\x00\x01nothing")
    with pytest.raises(MalformedRecording, match=r"clip\.mp4: found a file that it cannot read"):
        read_clip(tmp_path / "clip.mp4", max_starts=4, max_covers=4)
