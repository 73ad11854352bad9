"""A log judged by Ray's workers, beside the same log judged in one process.

Ray is in no extra that tests are installed with; `pip install 'limelight[ray]'` lets them all run.
"""

import json
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from limelight.engine.errors import EncoderMismatch
from limelight.engine.network import load_network
from limelight.engine.settings import EngineSettings
from limelight.engine.window import Segment
from limelight.replay.evaluation.data import load_data
from limelight.replay.evaluation.encoders import DataEncoders
from limelight.replay.evaluation.models import judged_rooms, load_models
from limelight.streams.cli import app
from limelight.streams.settings import Settings
from limelight.streams.window_records import encode_segment, encode_window
from tests.replay.feature_log.logs import write
from tests.replay.feature_log.records import SEGMENT_MS, START_MS, engagement_record, record

# Behind the first hour, so that rooms go over the end of a file.
SEGMENTS = 125
GAP_AT = 70
MODELS = ("tiny", "before", "energy")


def window(room_id: str, index: int, offset: int, partition: int, encoder: tuple[str, str], size):
    generator = np.random.default_rng([index, *room_id.encode()])
    start_ms = START_MS + index * SEGMENT_MS
    segment = Segment(
        index=index,
        start_ms=start_ms,
        frame_feature=generator.normal(size=size).astype(np.float16) if index % 5 else None,
        frame_times_ms=(start_ms + 1,) if index % 5 else (),
        speech=f"{room_id} at {index}" if index % 3 else "",
        comments=("666",) * (index % 4),
        comment_count=index % 4,
        user_count=index % 4,
        comment_weight=float(index % 4),
    )
    value = encode_window(
        room_id=room_id,
        streamer_id=f"streamer of {room_id}",
        room_started_ms=START_MS,
        segment_ms=SEGMENT_MS,
        segments=[encode_segment(segment, encoder if index % 5 else None, {})],
        segment_index=index,
        start_ms=start_ms,
        final=False,
    )
    return record("windows", partition, offset, value, [("closed_at_ms", b"1700000000123")])


def make_log(root: Path, encoder: tuple[str, str], size: int) -> None:
    """Five rooms in three partitions; one of them has a hole."""
    windows, engagement = [], []
    for partition, names in ((0, "ab"), (1, "cd"), (3, "e")):
        places = [(room_id, at) for at in range(SEGMENTS) for room_id in names]
        places = [each for each in places if each != ("d", GAP_AT)]
        for offset, (room_id, at) in enumerate(places):
            windows.append(window(room_id, at, offset, partition, encoder, size))
            clicks = float(np.random.default_rng([at, ord(room_id)]).integers(0, 30))
            engagement.append(
                engagement_record(room_id, at, offset, partition=partition, clicks=clicks)
            )
    write(str(root), windows)
    write(str(root), engagement)


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> Path:
    config = load_network("tiny").config
    root = tmp_path_factory.mktemp("log")
    encoder = (config.frame_encoder_id, config.frame_encoder_revision)
    make_log(root, encoder, config.frame_feature_size)
    return root


@pytest.fixture(scope="module")
def two_workers():
    """Ray with two processors, and no more than the least of its services."""
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=80_000_000,
        log_to_driver=False,
        logging_level="ERROR",
        _system_config={"enable_metrics_collection": False},
    )
    yield
    ray.shutdown()


# Ray's own: it warns of itself, and leaves sockets and files to the interpreter's end.
@pytest.mark.filterwarnings("default")
def test_two_workers_say_what_one_process_says(log: Path, tmp_path: Path, two_workers) -> None:
    from limelight.replay.evaluation.ray_data import judge_log

    data, found, workers = judge_log(str(log), MODELS, Settings())
    assert workers == 2
    encoders = DataEncoders(EngineSettings())
    plain = load_data([str(log)], Settings(), encoders)
    expected = judged_rooms(plain, load_models(MODELS, encoders))
    assert sorted(len(room) for room in found) == [54, 70, 125, 125, 125, 125]
    assert [each.room.room_id for each in data] == [each.room_id for each in found]
    for room, wanted in zip(found, expected, strict=True):
        assert list(room.predictions) == list(MODELS)
        for name in MODELS:
            # Rooms of a batch are padded to one length, and rounding goes with the length.
            np.testing.assert_allclose(room.predictions[name], wanted.predictions[name], atol=1e-6)
        for field in fields(room):
            if field.name != "predictions":
                np.testing.assert_array_equal(
                    getattr(room, field.name), getattr(wanted, field.name)
                )
    out = tmp_path / "out"
    options = ["--out", str(out), "--resamples", "10", "--ray", "local"]
    for name in MODELS:
        options += ["--model", name]
    done = CliRunner().invoke(app, ["evaluate", str(log), *options])
    assert done.exit_code == 0, done.output
    assert json.loads((out / "evaluation.json").read_text())["whole"]["rooms"] == 5
    assert (out / "report.html").stat().st_size > 10_000


@pytest.mark.filterwarnings("default")
def test_what_cannot_be_judged_in_parts_is_refused(log: Path, tmp_path: Path, two_workers) -> None:
    from limelight.replay.evaluation.ray_data import judge_log

    with pytest.raises(ValueError, match="model champion: found one that is not judged in parts"):
        judge_log(str(log), ["tiny", "champion"], Settings())
    make_log(tmp_path, ("tiny", "r1"), load_network("tiny").config.frame_feature_size)
    with pytest.raises(EncoderMismatch, match="model tiny: frame encoder tiny: found revision 'r1"):
        judge_log(str(tmp_path), ["tiny"], Settings())


@pytest.mark.filterwarnings("default")
def test_an_error_on_a_worker_is_told(log: Path, two_workers, monkeypatch) -> None:
    from limelight.replay.evaluation import ray_data

    gone = Path(str(log) + "-gone")
    make = ray_data.LogWork
    monkeypatch.setattr(ray_data, "LogWork", lambda root, *rest: make(str(gone), *rest))
    with pytest.raises(ray_data.TaskFailed, match=r"MalformedLog: .*gone: found no partition"):
        ray_data.judge_log(str(log), ["energy"], Settings())


def test_without_ray_the_extra_is_named(log: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "limelight.replay.evaluation.ray_data", raising=False)
    done = CliRunner().invoke(app, ["evaluate", str(log), "--model", "energy", "--ray", "local"])
    assert "found no package ray, expected it from the extra `ray`" in str(done.exception)
