"""Where a highlight's video is: by room, by pattern, and what is said where it is not."""

from pathlib import Path

import pytest

from limelight.replay.enrichment.sources import PartMissing, load_sources, sources_toml
from limelight.replay.media_url import MediaUrl
from limelight.replay.recording import load_recording

TOML = """\
[default]
url = "https://media.example.com/{room_id}/{room_started_ms}.mp4?key=abc"

[rooms."room-1"]
path = "videos/one.mp4"
started_ms = 7
loop = true
title = "A title"
tags = ["dance"]
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "sources.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_room_has_its_own_source_or_the_default_one(tmp_path, highlight) -> None:
    sources = load_sources(write(tmp_path, TOML), timeout_s=5)
    own = sources.of(highlight(0, 1))
    assert own.video == tmp_path / "videos/one.mp4"
    assert (own.started_ms, own.loop, own.title, own.tags) == (7, True, "A title", ("dance",))
    other = sources.of(highlight(0, 1, room_id="room/../2", room_started_ms=12))
    assert isinstance(other.video, MediaUrl) and other.started_ms == 12
    # A slash in a room's name is no folder of the server's.
    assert other.video.url == "https://media.example.com/room%2F..%2F2/12.mp4?key=abc"
    assert str(other.video) == "12.mp4"


def test_a_room_without_a_source_or_a_start_says_so(tmp_path, highlight) -> None:
    sources = load_sources(write(tmp_path, '[rooms.a]\npath = "a.mp4"\n'), timeout_s=5)
    with pytest.raises(PartMissing, match="no source of the room's video is given"):
        sources.of(highlight(0, 1))
    with pytest.raises(PartMissing, match="neither the source nor the room says when"):
        sources.of(highlight(0, 1, room_id="a", room_started_ms=None))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rooms = 3", "rooms: "),
        ("[rooms.a]\nlength = 3", r"rooms\.a"),
        ('[rooms.a]\npath = "a"\nurl = "http://b"', r"rooms\.a: .*expected one of path and url"),
        ("[rooms.a]\nloop = true", "expected one of path and url"),
        ('[default]\nurl = "http://x/{secret}"', r"found \{secret\}, expected one of room_id"),
        ("[rooms", "expected TOML"),
    ],
)
def test_sources_that_fit_nothing_are_refused_by_name(tmp_path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_sources(write(tmp_path, text), timeout_s=5)


@pytest.mark.parametrize("room_id", [".", "..", ""])
def test_a_room_named_like_a_folder_above_has_no_address(tmp_path, highlight, room_id) -> None:
    sources = load_sources(write(tmp_path, TOML), timeout_s=5)
    with pytest.raises(PartMissing, match="room_id makes no address"):
        sources.of(highlight(0, 1, room_id=room_id))


def test_a_url_without_the_time_that_it_wants_is_not_asked(tmp_path, highlight) -> None:
    text = '[default]\nurl = "http://x/{room_started_ms}.mp4"\nstarted_ms = 7\n'
    sources = load_sources(write(tmp_path, text), timeout_s=5)
    with pytest.raises(PartMissing, match="room_started_ms makes no address"):
        sources.of(highlight(0, 1, room_started_ms=None))


@pytest.mark.parametrize("server", ["{room_id}", "{room_id}.example.com", "a:b@{streamer_id}:80"])
def test_no_room_names_the_server(tmp_path, server: str) -> None:
    with pytest.raises(ValueError, match=r"found .* for a server, expected \{...\} in the path"):
        load_sources(write(tmp_path, f'[default]\nurl = "http://{server}/a.mp4"'), timeout_s=5)


def test_another_scheme_than_http_is_refused(tmp_path, highlight) -> None:
    sources = load_sources(write(tmp_path, '[default]\nurl = "file:///etc/{room_id}"'), timeout_s=5)
    with pytest.raises(ValueError, match="found file and no server, expected http"):
        sources.of(highlight(0, 1))


def test_recordings_come_back_out_of_their_toml(tmp_path, make_recording, make_video, highlight):
    folder = make_recording('[video]\nfile = "video.mp4"\noffset_ms = 250\nloop = true\n')
    make_video(folder / "video.mp4", 2)
    text = sources_toml([load_recording(folder)], 1_000)
    source = load_sources(write(tmp_path, text), timeout_s=5).of(highlight(0, 1))
    assert source.video == (folder / "video.mp4").resolve()
    assert (source.started_ms, source.loop) == (1_250, True)
