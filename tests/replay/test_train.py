"""`limelight train` from files to a network that the engine loads, as a user types it."""

import json
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from limelight.engine.network import load_network
from limelight.engine.weights import weights_revision
from limelight.models.contentctr.model import UNKNOWN_STREAMER, streamer_bucket
from limelight.models.datasets.room_files import load_rooms, save_rooms
from limelight.replay.measured_ctr import measured_ctrs
from limelight.replay.recording import load_recording
from limelight.replay.train import run_training
from limelight.streams.cli import app

CONFIG = """
preset = "tiny"
epochs = 1
batch_size = 8
learning_rate = 1e-3
out = "{out}"

[network]
hidden_size = 16
num_perceiver_layers = 1
num_decoder_layers = 1

[data]
train = "train.safetensors"
validation = "validation.safetensors"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("rooms")
    for name, first in (("train", "0"), ("validation", "100000")):
        command = ["simulate", "rooms", str(folder / f"{name}.safetensors")]
        done = CliRunner().invoke(app, [*command, "--count", "6", "--first", first])
        assert done.exit_code == 0, done.output
    return folder


def test_a_number_is_the_same_room_as_features_and_as_a_recording(folder: Path, tmp_path) -> None:
    command = ["simulate", "recordings", str(tmp_path), "--room", "100000", "--segments", "60"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    recording = load_recording(tmp_path / "simulated-100000")
    (room, *_) = load_rooms(folder / "validation.safetensors")
    assert room.streamer_id == recording.streamer_id
    clicked = list(measured_ctrs(recording, 30_000).values())
    known = ~np.isnan(room.ctr)
    np.testing.assert_allclose(np.array(clicked)[known], room.ctr[known], rtol=1e-6)


def write_config(folder: Path, out: str) -> Path:
    path = folder / f"{out}.toml"
    path.write_text(CONFIG.format(out=out))
    return path


def test_a_calibrated_network_comes_out_that_the_engine_loads(folder: Path) -> None:
    done = CliRunner().invoke(app, ["train", str(write_config(folder, "first"))])
    assert done.exit_code == 0, done.output
    model = load_network(folder / "first" / "model")
    assert model.config.trained
    assert model.config.hidden_size == 16
    revision = weights_revision([folder / "first" / "model" / "model.safetensors"])
    assert model.config.model_version == f"tiny-first-seed0-{revision[:8]}"
    report = json.loads((folder / "first" / "report.json").read_text())
    # Calibrated on the validation rooms, so right on average there.
    assert report["validation"]["ratio_of_means"] == pytest.approx(1.0, abs=0.02)
    assert report["validation"]["windows"] == 18


def test_streamers_that_were_not_met_are_unknown_to_it(folder: Path) -> None:
    run_training(write_config(folder, "second"), resume=False)
    weights = load_network(folder / "second" / "model").streamers.weight
    met = {streamer_bucket(r.streamer_id, 1024) for r in load_rooms(folder / "train.safetensors")}
    alike = (weights == weights[UNKNOWN_STREAMER]).all(1).nonzero().flatten().tolist()
    assert set(alike) == set(range(1024)) - met


def test_a_second_run_into_the_same_folder_is_refused_and_resuming_is_not(folder: Path) -> None:
    config = write_config(folder, "third")
    run_training(config, resume=False)
    with pytest.raises(FileExistsError, match="found an earlier run, expected a new folder"):
        run_training(config, resume=False)
    run_training(config, resume=True)


def changed_validation(folder: Path, **changes: object) -> None:
    rooms = [
        replace(room, **{name: change(getattr(room, name)) for name, change in changes.items()})
        for room in load_rooms(folder / "validation.safetensors")
    ]
    save_rooms(folder / "validation.safetensors", rooms)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"frame_features": lambda x: x[:, :5]}, "frame_features: found 5 numbers a segment"),
        ({"ctr": lambda x: x * 0}, "measured segments between 0 and 0, expected at least two"),
        ({"ctr": lambda x: x * np.nan}, "found 0 measured segments"),
    ],
)
def test_what_would_fail_at_the_end_is_refused_at_the_start(
    folder: Path, tmp_path: Path, changes, text
) -> None:
    for name in ("train", "validation"):
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes((folder / path.name).read_bytes())
    changed_validation(tmp_path, **changes)
    with pytest.raises(ValueError, match=rf"validation\.safetensors: .*{text}"):
        run_training(write_config(tmp_path, "run"), resume=False)
    assert not (tmp_path / "run").exists()


def test_rooms_shorter_than_a_window_train_without_a_tau(folder: Path, tmp_path: Path) -> None:
    names = ("frame_features", "text_features", "present", "ctr", "counts")
    rooms = [
        replace(room, **{name: getattr(room, name)[:12] for name in names})
        for room in load_rooms(folder / "validation.safetensors")
    ]
    save_rooms(tmp_path / "validation.safetensors", rooms)
    save_rooms(tmp_path / "train.safetensors", rooms)
    run_training(write_config(tmp_path, "run"), resume=False)
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["validation"]["tau"] is None
    assert report["best_epoch"] == 0


def test_two_processes_train_one_network(folder: Path) -> None:
    config = write_config(folder, "both")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    command += ["--master_addr", "127.0.0.1", "--master_port", str(port)]
    command += ["-m", "limelight.streams.cli", "train", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("6 rooms to learn from") == 1
    assert done.stdout.count("written: ") == 1
    state = json.loads((folder / "both" / "checkpoint" / "state.json").read_text())
    assert state["about"]["processes"] == 2
    assert torch.isfinite(load_network(folder / "both" / "model").head.weight).all()
