"""`limelight evaluate` as a user types it, on a bundled recording, simulated rooms and a log."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from limelight.engine.errors import EncoderMismatch
from limelight.engine.network import BUNDLED_NETWORK, load_network
from limelight.engine.settings import EngineSettings
from limelight.models.datasets.room_files import save_rooms
from limelight.replay.bundled_model import bundled_world
from limelight.replay.evaluation.data import DataRoom, NothingToJudge, load_data
from limelight.replay.evaluation.encoders import DataEncoders
from limelight.replay.evaluation.models import judged_rooms, load_models
from limelight.replay.evaluation.result import MEASURES
from limelight.replay.feature_log.errors import EmptyInterval
from limelight.replay.measured_ctr import measured_ctrs
from limelight.replay.recording import MalformedRecording, load_recording
from limelight.replay.simulator.features import FeatureConfig, labelled_rooms
from limelight.streams.cli import app
from limelight.streams.settings import Settings
from tests.replay.feature_log.logs import write
from tests.replay.feature_log.records import (
    ENCODER,
    SEGMENT_MS,
    START_MS,
    engagement_record,
    window_record,
)

MANIFEST = """\
room_id = "talk"
streamer_id = "anna"
started_at = 2026-05-01T20:00:00+08:00
[comments]
file = "comments.csv"
[engagement]
file = "engagement.csv"
"""


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["evaluate", *map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def encoders() -> DataEncoders:
    return DataEncoders(EngineSettings())


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """A recording without pictures: ten segments whose comments and clicks are counted."""
    folder = tmp_path / "talk"
    folder.mkdir()
    (folder / "recording.toml").write_text(MANIFEST)
    comments = [f"{1000 * second},ann,hello {second}" for second in range(0, 300, 3)]
    (folder / "comments.csv").write_text("time_ms,user,text\n" + "\n".join(comments) + "\n")
    counts = [f"{30_000 * n},{30_000 * (n + 1)},100,{3 * n}" for n in range(10)]
    header = "start_ms,end_ms,impressions,clicks\n"
    (folder / "engagement.csv").write_text(header + "\n".join(counts) + "\n")
    return folder


@pytest.fixture(scope="module")
def rooms_file(tmp_path_factory) -> Path:
    """Six simulated rooms with features of the sizes that the bundled network reads."""
    config = load_network("tiny").config
    sizes = FeatureConfig(config.frame_feature_size, config.text_feature_size)
    path = tmp_path_factory.mktemp("rooms") / "rooms.safetensors"
    save_rooms(path, labelled_rooms(bundled_world(0), range(6), sizes))
    return path


def test_a_report_of_rooms_and_a_recording_is_written(
    talk: Path, rooms_file: Path, tmp_path
) -> None:
    out = tmp_path / "out"
    told = run(
        *(talk, rooms_file, "--out", out, "--resamples", 40, "--rooms-shown", 3),
        *("--model", "tiny", "--model", "energy", "--model", "last=before"),
    )
    assert "7 rooms" in told and "report.html" in told
    found = json.loads((out / "evaluation.json").read_text())
    assert found["models"] == ["tiny", "energy", "last"]
    assert list(found["whole"]["models"]["tiny"]["measures"]) == list(MEASURES)
    assert [each["minus"] for each in found["whole"]["differences"]] == ["energy", "last"]
    assert found["about"]["data"] == [str(talk), str(rooms_file)]
    assert {part["kind"] for part in found["slices"]} >= {"missing modality"}
    page = (out / "report.html").read_text()
    # Nothing is loaded and nothing runs: links are to what the page itself holds.
    assert "<script" not in page
    assert all(url.startswith("data:") for url in re.findall(r'(?:src|href)="([^"]*)"', page))
    assert "Kendall&#39;s tau, windows" in page and "room talk, 10 segments" in page
    assert page.count("<svg") == 1 + 3


def test_a_recordings_labels_and_counts_are_its_engagement(talk: Path, encoders) -> None:
    (data,) = load_data([str(talk)], Settings(), encoders)
    assert data.start_ms[0] == load_recording(talk).started_ms
    expected = measured_ctrs(load_recording(talk), 30_000)
    np.testing.assert_allclose(data.room.ctr[:10], list(expected.values()), rtol=1e-6)
    np.testing.assert_array_equal(data.viewers[:10], [100] * 10)
    np.testing.assert_array_equal(data.clicks[:10], [3 * n for n in range(10)])
    assert not data.room.present[:10, 0].any() and data.room.present[:10, 1].all()


def test_the_engine_and_the_network_over_features_say_the_same(talk: Path, encoders) -> None:
    (data,) = load_data([str(talk)], Settings(), encoders)
    (model,) = load_models(["tiny"], encoders)
    by_engine = model.predict([data], lambda count: None)[0]
    by_features = model.predict([replace(data, recorded=None)], lambda count: None)[0]
    np.testing.assert_allclose(by_engine, by_features, atol=1e-5)


def test_marked_highlights_beside_the_manifest_are_the_truth(talk: Path, encoders) -> None:
    (talk / "highlights.csv").write_text("start_ms,end_ms\n30000,90000\n120000,150000\n")
    (data,) = load_data([str(talk)], Settings(), encoders)
    start = load_recording(talk).started_ms
    assert (data.intervals - start).tolist() == [[30_000, 90_000], [120_000, 150_000]]
    (talk / "highlights.csv").write_text("start_ms,end_ms\n30000,90000\n60000,150000\n")
    with pytest.raises(MalformedRecording, match=r"line 3.*a start from 90000 on"):
        load_data([str(talk)], Settings(), encoders)


def test_models_are_found_by_their_specs(rooms_file: Path, encoders) -> None:
    specs = ["tiny", str(BUNDLED_NETWORK), "energy", "old=before", f"id:wdl:{rooms_file}"]
    models = load_models(specs, encoders)
    version = load_network("tiny").config.model_version
    assert [model.name for model in models] == ["tiny", version, "energy", "old", "id"]
    assert [model.is_energy for model in models] == [False, False, True, False, False]
    data = load_data([str(rooms_file)], Settings(), encoders)
    rooms = judged_rooms(data, models)
    for room, each in zip(rooms, data, strict=True):
        assert list(room.predictions) == [model.name for model in models]
        np.testing.assert_array_equal(room.predictions["tiny"], room.predictions[version])
        np.testing.assert_array_equal(room.predictions["old"][1:], each.room.ctr[:-1])


@pytest.mark.parametrize(
    ("specs", "text"),
    [
        (["tiny", "tiny"], "found 2 named 'tiny', expected different names"),
        (["a=energy", "a=before"], "found 2 named 'a'"),
        (["best"], "found 'best', which is no folder, expected a folder, tiny, energy"),
    ],
)
def test_models_that_cannot_be_told_apart_or_found_are_refused(specs, text, encoders) -> None:
    with pytest.raises(ValueError, match=text):
        load_models(specs, encoders)


def test_data_that_is_not_there_is_refused(tmp_path: Path, encoders) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(FileNotFoundError, match="missing: found nothing there, expected a record"):
        load_data([str(missing)], Settings(), encoders)
    (tmp_path / "empty").mkdir()
    with pytest.raises(EmptyInterval, match="empty: found no segments, expected a feature log"):
        load_data([str(tmp_path / "empty")], Settings(), encoders)


def test_data_without_any_label_is_refused(talk: Path, encoders) -> None:
    (talk / "engagement.csv").write_text("start_ms,end_ms,impressions,clicks\n")
    with pytest.raises(NothingToJudge, match="talk: found no label in 10 segments of 1 rooms"):
        load_data([str(talk)], Settings(), encoders)


def test_a_model_of_other_encoders_is_refused_with_both_revisions(talk: Path, encoders) -> None:
    (data,) = load_data([str(talk)], Settings(), encoders)
    (model,) = load_models(["tiny"], encoders)
    model.network.config.text_encoder_revision = "0123abcd"
    text = rf"talk, model tiny: text encoder tiny: found revision '{encoders.text.revision}', "
    with pytest.raises(EncoderMismatch, match=text + "expected '0123abcd'"):
        model.predict([data], lambda count: None)


def test_features_of_another_size_are_refused(rooms_file: Path, encoders) -> None:
    (data, *_) = load_data([str(rooms_file)], Settings(), encoders)
    (model,) = load_models(["tiny"], encoders)
    room = replace(data.room, text_features=data.room.text_features[:, :-1])
    wide = DataRoom(room, data.start_ms, data.segment_ms, "rooms")
    with pytest.raises(ValueError, match=r"rooms, model tiny: text features: found \d+ numbers"):
        model.predict([wide], lambda count: None)


def test_a_time_that_is_none_is_refused(rooms_file: Path) -> None:
    with pytest.raises(ValueError, match="from: found 'noon', expected a time such as"):
        run(rooms_file, "--model", "energy", "--from", "noon")


def test_categories_are_of_rooms_and_streamers(rooms_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "categories.csv"
    path.write_text("id,category\nroom-00000,chess\nroom-00001,music\n")
    out = tmp_path / "out"
    arguments = (rooms_file, "--model", "energy", "--out", out, "--resamples", 10)
    run(*arguments, "--categories", path)
    parts = json.loads((out / "evaluation.json").read_text())["slices"]
    found = {part["value"]: part["rooms"] for part in parts if part["kind"] == "category"}
    assert found == {"chess": 1, "music": 1}
    path.write_text("id,category\na,b\na,c\n")
    with pytest.raises(MalformedRecording, match=r"line 3.*each id once"):
        run(*arguments, "--categories", path)


def test_a_feature_log_is_judged_in_its_interval(tmp_path: Path, encoders) -> None:
    records = [window_record("room", index, index) for index in range(60)]
    write(str(tmp_path), records)
    write(str(tmp_path), [engagement_record("room", index, index) for index in range(60)])
    last_ms = START_MS + 40 * SEGMENT_MS
    found = load_data([str(tmp_path)], Settings(), encoders, from_ms=START_MS, to_ms=last_ms)
    assert sum(len(each.room) for each in found) == 40
    assert found[0].start_ms[0] == START_MS and found[-1].start_ms[-1] == last_ms - SEGMENT_MS
    assert found[0].encoder == ENCODER
    known = ~np.isnan(found[0].room.ctr)
    expected = found[0].clicks[known] / found[0].viewers[known]
    assert known.any()
    np.testing.assert_allclose(found[0].room.ctr[known], expected, rtol=1e-6)
    (model,) = load_models(["tiny"], encoders)
    config = load_network("tiny").config
    text = "model tiny: frame encoder tiny: found revision 'r1', expected"
    with pytest.raises(EncoderMismatch, match=f"{text} '{config.frame_encoder_revision}'"):
        model.predict(found, lambda count: None)
    with pytest.raises(EmptyInterval, match="found no segments from"):
        load_data([str(tmp_path)], Settings(), encoders, to_ms=START_MS - 1, from_ms=0)
