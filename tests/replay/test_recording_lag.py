"""The lag of a recording's comments: found where it was put, and not claimed elsewhere."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from limelight.replay.recording import load_recording
from limelight.replay.recording_lag import recording_lag_ms

SECONDS = 400


def make_scenes(path: Path, rng: np.random.Generator) -> list[int]:
    """A film whose scene changes at random seconds, as much as chance has it; gives the seconds."""
    cuts = sorted(rng.choice(np.arange(10, SECONDS - 40), 25, replace=False).tolist())
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        picture = np.full((48, 64, 3), 20, np.uint8)
        for second in range(SECONDS):
            if second in cuts:
                picture = np.full((48, 64, 3), rng.integers(0, 256), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return cuts


def make_comments(seconds: np.ndarray) -> str:
    return "time_ms,text\n" + "".join(f"{int(each * 1000)},t\n" for each in np.sort(seconds))


@pytest.fixture
def make_room(make_recording: Callable[..., Path], tmp_path: Path) -> Callable[..., int | None]:
    def make(lag_s: int | None, seed: int) -> int | None:
        rng = np.random.default_rng(seed)
        cuts = make_scenes(tmp_path / "scenes.mp4", rng)
        background = rng.uniform(0, SECONDS, 150)
        after = rng.uniform(0, SECONDS, 20 * len(cuts))
        if lag_s is not None:
            after = np.repeat(cuts, 20) + lag_s + rng.uniform(0, 2, 20 * len(cuts))
        said = np.concatenate([background, after])
        parts = '[video]\nfile="v.mp4"\n[comments]\nfile="c.csv"\n'
        folder = make_recording(parts, c_csv=make_comments(said[said < SECONDS]))
        (tmp_path / "scenes.mp4").rename(folder / "v.mp4")
        return recording_lag_ms(load_recording(folder), lambda count: None)

    return make


@pytest.mark.parametrize("lag_s", [4, 12, 22])
def test_a_lag_is_found_where_it_was_put(make_room: Callable[..., int | None], lag_s: int) -> None:
    found = make_room(lag_s, seed=lag_s)
    assert found is not None and abs(found - lag_s * 1_000) <= 2_000


def test_comments_that_follow_nothing_show_no_lag(make_room: Callable[..., int | None]) -> None:
    assert make_room(None, seed=1) is None


def test_without_pictures_there_is_nothing_to_lag_behind(
    make_recording: Callable[..., Path],
) -> None:
    folder = make_recording('[comments]\nfile="c.csv"\n', c_csv="time_ms,text\n1,t\n")
    assert recording_lag_ms(load_recording(folder), lambda count: None) is None
