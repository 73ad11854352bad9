from collections.abc import Callable
from pathlib import Path

from PIL.Image import Image

from limelight.replay.bundle import FILM_HEIGHT, FILM_WIDTH, bundle
from limelight.replay.frames import FrameReader


def test_files_are_cut_and_the_film_made_small(
    tmp_path: Path, make_video: Callable[..., Path], find_second: Callable[[Image, int], int]
) -> None:
    film = make_video(tmp_path / "film.mp4", 5, rate=25, size=(320, 180))
    head = "[Events]\nFormat: Layer, Start, End, Text\n"
    kept = head + "Dialogue: 0,0:29:59.99,0:31:00.00,a\n"
    comments = tmp_path / "comments.ass"
    comments.write_text(kept + "Dialogue: 0,0:30:00.00,0:31:00.00,b\n")
    engagement = tmp_path / "engagement.csv"
    engagement.write_text("time_ms,kind,amount\n1799999,gift,1.0\n1800000,gift,2.0\n")
    captions = tmp_path / "captions.vtt"
    captions.write_text("WEBVTT\n")
    danmaku = tmp_path / "danmaku.xml"
    danmaku.write_text("<i></i>")
    out = tmp_path / "out"
    bundle(film, comments, engagement, captions, danmaku, out)
    live = out / "big-buck-bunny-live"
    assert (live / "comments.ass").read_text() == kept
    assert (live / "engagement.csv").read_text() == "time_ms,kind,amount\n1799999,gift,1.0\n"
    with FrameReader(live / "video.mp4") as reader:
        assert (reader.width, reader.height) == (FILM_WIDTH, FILM_HEIGHT)
        assert reader.duration_ms == 5_000
        frames = list(reader.read([500, 1_500, 2_500, 3_500, 4_500], loop=False))
    assert [find_second(frame.image, 5) for frame in frames] == [0, 1, 2, 3, 4]
    captioned = out / "elephants-dream-captions"
    assert (captioned / "asr.vtt").read_text() == "WEBVTT\n"
    assert (captioned / "comments.xml").read_text() == "<i></i>"
