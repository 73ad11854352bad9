"""Recordings scored by the engines of a live system, and read back from its topics."""

import json
import re
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import orjson
import pytest
from typer.testing import CliRunner

from limelight.engine.score import Score
from limelight.engine.settings import EngineSettings
from limelight.replay.demo import bundled_recordings
from limelight.replay.direct import run_directly
from limelight.replay.evaluation import live
from limelight.replay.evaluation.data import load_data
from limelight.replay.evaluation.encoders import DataEncoders
from limelight.replay.evaluation.live import LiveRooms, NotAllScored
from limelight.replay.evaluation.models import load_models
from limelight.replay.recording import Recording, load_recording
from limelight.replay.system import running_system
from limelight.streams.cli import app
from limelight.streams.dead_letters import Origin, encode_dead_letter
from limelight.streams.engine_process import load_networks
from limelight.streams.settings import PushSettings, Settings
from limelight.streams.topics import partition_of
from tests.replay.feature_log.records import SEGMENT_MS, START_MS, score_record, window_record

MANIFEST = """\
room_id = "{room_id}"
streamer_id = "anna"
started_at = 2026-05-01T20:0{minute}:00+08:00
[comments]
file = "comments.csv"
[engagement]
file = "engagement.csv"
"""
WITH_PICTURES = next(each for each in bundled_recordings() if each.name == "simulated-200003")


def talk(folder: Path, room_id: str, minute: int) -> Recording:
    """Six segments without pictures, each room with comments and clicks of its own."""
    folder.mkdir()
    (folder / "recording.toml").write_text(MANIFEST.format(room_id=room_id, minute=minute))
    said = [f"{1000 * at},ann,{room_id} {at}" for at in range(minute, 180, 2 + minute)]
    (folder / "comments.csv").write_text("time_ms,user,text\n" + "\n".join(said) + "\n")
    counts = [f"{30_000 * n},{30_000 * (n + 1)},100,{(7 * n + minute) % 20}" for n in range(6)]
    header = "start_ms,end_ms,impressions,clicks\n"
    (folder / "engagement.csv").write_text(header + "\n".join(counts) + "\n")
    return load_recording(folder)


def in_partition(partition: int) -> str:
    names = (f"talk {number}" for number in range(1_000))
    return next(name for name in names if partition_of(name, 4) == partition)


def talks(tmp_path: Path) -> list[Recording]:
    """One in each of the embedded broker's four partitions; they started minutes apart."""
    return [talk(tmp_path / f"{at}", in_partition(at), at) for at in range(4)]


@cache
def networks():
    return load_networks(EngineSettings())


def directly(recording: Recording) -> list[Score]:
    """What one process says with the networks that an engine loads."""
    passed = run_directly([recording], Settings(), *networks(), base_ms=recording.started_ms)
    return passed.scores


@pytest.mark.broker
def test_two_engines_share_recordings_and_say_what_one_process_says(tmp_path: Path) -> None:
    recordings = [load_recording(WITH_PICTURES), *talks(tmp_path)]
    out = tmp_path / "out"
    folders = [str(recording.folder) for recording in recordings]
    options = ["--model", "champion", "--model", "energy", "--engines", "2", "--out", str(out)]
    options += ["--resamples", "20"]
    done = CliRunner().invoke(app, ["evaluate", *folders, *options])
    assert done.exit_code == 0, done.output
    logs = [(out / "logs" / f"{name}.log").read_text() for name in ("engine", "engine-2")]
    shares = [int(re.search(r"windows_scored=(\d+)", log)[1]) for log in logs]
    assert min(shares) > 0
    assert sum(shares) == 40 + 4 * 6
    # The file keeps measures, not predictions; of all predictions the loss tells the last digits.
    plain = tmp_path / "plain"
    options = ["--model", "champion=tiny", "--model", "energy", "--out", str(plain)]
    done = CliRunner().invoke(app, ["evaluate", *folders, *options, "--resamples", "20"])
    assert done.exit_code == 0, done.output
    found, wanted = (
        json.loads((each / "evaluation.json").read_text())["whole"]["models"]
        for each in (out, plain)
    )
    for name, measure in product(("champion", "energy"), ("log_loss", "auc", "mean_ratio")):
        value = wanted[name]["measures"][measure]["value"]
        assert found[name]["measures"][measure]["value"] == pytest.approx(value, rel=1e-5)


@pytest.mark.broker
async def test_topics_are_used_again_behind_what_they_have_seen(tmp_path: Path) -> None:
    recordings = talks(tmp_path)
    encoders = DataEncoders(EngineSettings())
    base_ms = live.common_start_ms(recordings)
    async with running_system(Settings(), PushSettings(), tmp_path / "logs") as system:
        found = []
        for start_ms in (base_ms, base_ms + 3_600_000):
            seen = await live.score_with(recordings, system.settings, base_ms=start_ms)
            found.append(
                live.data_rooms(
                    recordings, seen, Settings(), encoders, base_ms=start_ms, with_texts=True
                )
            )
        with pytest.raises(NotAllScored, match=r"found a late record.*--start-at"):
            await live.score_with(recordings, system.settings, base_ms=base_ms)
    (champion,) = load_models(["champion"], encoders)
    direct = load_data([str(tmp_path)], Settings(), encoders)
    for rooms in found:
        predicted = champion.predict(rooms, lambda count: None)
        for room, ctrs, recording, expected in zip(
            rooms, predicted, recordings, direct, strict=True
        ):
            np.testing.assert_allclose(
                ctrs, [score.ctr for score in directly(recording)], atol=1e-5
            )
            np.testing.assert_array_equal(room.start_ms, expected.start_ms)
            np.testing.assert_array_equal(room.room.ctr, expected.room.ctr)
            np.testing.assert_array_equal(room.room.counts, expected.room.counts)
            np.testing.assert_array_equal(room.room.present, expected.room.present)
            np.testing.assert_allclose(
                room.room.text_features, expected.room.text_features, atol=1e-5
            )
            np.testing.assert_array_equal(room.recorded.energies, expected.recorded.energies)


def seen(*records) -> LiveRooms:
    rooms = LiveRooms(frozenset(["a", "b"]))
    for record in records:
        rooms.see(record.topic, record)
    return rooms


def final(record):
    value = orjson.loads(record.value) | {"final": True}
    return replace(record, value=orjson.dumps(value))


def test_a_run_is_over_when_each_room_ended_and_each_window_has_a_score() -> None:
    records = [window_record("a", 0, 0), final(window_record("a", 1, 1))]
    records += [final(window_record("b", 0, 2)), window_record("somebody else's", 0, 3)]
    scores = [score_record("a", 0, 0), score_record("a", 1, 1), score_record("b", 0, 2)]
    assert seen(*records, *scores).is_complete
    for left_out in (1, 2):
        rest = [record for at, record in enumerate(records) if at != left_out]
        assert not seen(*rest, *scores).is_complete
    assert not seen(*records, *scores[:2]).is_complete


def test_what_is_missing_is_named() -> None:
    assert "no window of 2 rooms; does a worker" in seen().missing()
    window = window_record("a", 0, 0)
    assert "no score of 1 windows; does an engine" in seen(window).missing()
    rooms = seen(window, final(window_record("a", 1, 1)), score_record("a", 0, 0))
    assert rooms.missing() == (
        f"rooms without their last window: b; windows without a score: a at {START_MS + SEGMENT_MS}"
    )


def test_segments_that_windows_share_are_kept_once() -> None:
    rooms = seen(*(window_record("a", index, index) for index in range(3)))
    first, second, third = (window for _, window in sorted(rooms.windows["a"].items()))
    assert third.segments[0] is first.segments[0] and third.segments[1] is second.segments[-1]


def test_a_refused_window_ends_the_run_and_other_dead_letters_do_not() -> None:
    def letter(topic: str):
        value = encode_dead_letter(Origin(topic, 3, 17), "too long", b"", {})
        return SimpleNamespace(topic="dlq", value=value)

    assert seen(letter("frames")).failure == ""
    assert seen(letter("windows")).failure == "found window windows/3@17 refused: too long"


def test_a_model_that_changed_or_was_not_there_is_refused(tmp_path: Path) -> None:
    encoders = DataEncoders(EngineSettings())
    recording = talk(tmp_path / "talk", "a", 0)
    data = load_data([str(recording.folder)], Settings(), encoders)
    champion, challenger = load_models(["champion", "challenger"], encoders)
    with pytest.raises(ValueError, match="champion: found no scores of engines"):
        champion.predict(data, lambda count: None)
    scores = directly(recording)

    def scored(*changed):
        return [replace(data[0], recorded=replace(data[0].recorded, scores=tuple(changed)))]

    assert champion.predict(scored(*scores), lambda count: None)[0].tolist() == [
        score.ctr for score in scores
    ]
    version = scores[0].model_version
    mixed = [replace(scores[0], model_version="old"), *scores[1:]]
    text = f"model champion: found old in 1, {version} in {len(scores) - 1} segments"
    with pytest.raises(ValueError, match=text):
        champion.predict(scored(*mixed), lambda count: None)
    with pytest.raises(ValueError, match=rf"challenger: found none in {len(scores)} segments"):
        challenger.predict(scored(*scores), lambda count: None)
