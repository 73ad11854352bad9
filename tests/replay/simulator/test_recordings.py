"""A simulated recording, read by the ordinary readers, is the room it was made of."""

import csv
from pathlib import Path

import numpy as np
import pytest

from limelight.models.datasets.labelled_room import COUNT_NAMES
from limelight.replay.measured_ctr import measured_ctrs, true_ctrs
from limelight.replay.readers.malformed import MalformedRecording
from limelight.replay.recording import load_recording
from limelight.replay.simulator.pictures import Artist
from limelight.replay.simulator.raw_rooms import PICTURES, segment_texts
from limelight.replay.simulator.recordings import SimulatedRecording, write_recording
from limelight.replay.simulator.world import World, WorldConfig

WORLD = World(WorldConfig(segments_a_room=3), 2)
NUMBER = 11


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "room"
    write_recording(WORLD, SimulatedRecording(NUMBER, segments=3), folder)
    return folder


def test_its_ids_and_duration_are_the_rooms(folder: Path) -> None:
    recording = load_recording(folder)
    assert recording.room_id == f"simulated-{NUMBER}"
    assert recording.streamer_id == WORLD.room(NUMBER).streamer.streamer_id
    assert recording.duration_ms == 90_000
    assert "world seed 2, room 11" in recording.note


def test_its_pictures_are_the_artists(folder: Path) -> None:
    artist, rng = Artist(WORLD.room(NUMBER, segments=3)), WORLD.rng(NUMBER, PICTURES)
    drawn = [artist.picture(segment, rng) for segment in range(3) for _ in range(15)]
    offsets_ms = [5_000, 35_000, 65_000]
    frames = load_recording(folder).read_frames(offsets_ms)
    for offset_ms, frame in zip(offsets_ms, frames, strict=True):
        expected = np.asarray(drawn[offset_ms // 2_000], np.float64)
        assert np.abs(np.asarray(frame.image, np.float64) - expected).mean() < 8


def test_its_words_are_those_that_encoders_are_trained_on(folder: Path) -> None:
    recording = load_recording(folder)
    expected = segment_texts(WORLD, WORLD.room(NUMBER, segments=3), NUMBER)
    said: list[list[str]] = [[], [], []]
    written: list[list[str]] = [[], [], []]
    for line in recording.read_speech():
        said[line.end_ms // 30_000].append(line.text)
    for comment in recording.read_comments():
        written[comment.offset_ms // 30_000].append(comment.text)
    assert [(" ".join(a), b) for a, b in zip(said, written, strict=True)] == expected


def test_its_clicks_are_the_rooms(folder: Path) -> None:
    truth = WORLD.room(NUMBER, segments=3)
    found = measured_ctrs(load_recording(folder), 30_000)
    expected = truth.clicks / truth.viewers
    assert list(found) == [0, 30_000, 60_000]
    np.testing.assert_allclose(list(found.values()), expected)
    lines = list(load_recording(folder).read_engagement())
    assert set(lines[0].counts) == set(COUNT_NAMES)


def test_the_truth_lies_beside_it(folder: Path) -> None:
    with (folder / "truth.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = [float(row["ctr"]) for row in rows]
    np.testing.assert_allclose(found, WORLD.room(NUMBER, segments=3).ctr, atol=1e-6)


def test_the_report_finds_the_truth_and_none_in_other_recordings(folder: Path, tmp_path) -> None:
    truth = WORLD.room(NUMBER, segments=3)
    found = true_ctrs(load_recording(folder))
    assert list(found) == [0, 30_000, 60_000]
    np.testing.assert_allclose(list(found.values()), truth.ctr, atol=1e-6)
    (tmp_path / "recording.toml").write_text(
        'room_id = "r"\nstreamer_id = "s"\nstarted_at = 2026-01-01T00:00:00Z\n'
        '[engagement]\nfile = "e.csv"\n'
    )
    (tmp_path / "e.csv").write_text("start_ms,end_ms,impressions,clicks\n0,30000,9,1\n")
    recording = load_recording(tmp_path)
    assert true_ctrs(recording) == {}
    (tmp_path / "truth.csv").write_text("a,b\n1,2\n")
    with pytest.raises(MalformedRecording, match="expected columns start_ms and ctr"):
        true_ctrs(recording)
    (tmp_path / "truth.csv").write_text("start_ms,ctr\n0,high\n")
    with pytest.raises(MalformedRecording, match="expected a number"):
        true_ctrs(recording)


def test_a_recording_is_never_overwritten(folder: Path) -> None:
    with pytest.raises(FileExistsError, match="found a recording, expected a new folder"):
        write_recording(WORLD, SimulatedRecording(NUMBER, segments=3), folder)


def test_measured_ctrs_need_impressions_and_no_more_clicks_than_those(tmp_path: Path) -> None:
    (tmp_path / "recording.toml").write_text(
        'room_id = "r"\nstreamer_id = "s"\nstarted_at = 2026-01-01T00:00:00Z\n'
        'duration_ms = 150000\n[engagement]\nfile = "e.csv"\n'
    )
    (tmp_path / "e.csv").write_text(
        "start_ms,end_ms,impressions,clicks\n"
        "0,15000,100,10\n15000,30000,300,10\n30000,60000,0,0\n60000,90000,5,1\n"
        "90000,120000,10,20\n"
    )
    recording = load_recording(tmp_path)
    assert measured_ctrs(recording, 30_000) == {0: 0.05, 60_000: 0.2}
    assert measured_ctrs(recording, 30_000, min_impressions=10) == {0: 0.05}
