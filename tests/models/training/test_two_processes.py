"""Two processes, started by torchrun, train one network."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from limelight.models.datasets.room_files import save_rooms
from limelight.models.training.sequences import Sequences
from limelight.models.training.trainer import train

# Each case is a run of its own; the process group serves them one after the other.
PROGRAM = """
import json
import os
import sys
import warnings
from pathlib import Path

import torch
from safetensors.torch import save_file

from limelight.models.contentctr.model import ContentCTR
from limelight.models.datasets.room_files import load_rooms
from limelight.models.training.network import TrainedNetwork
from limelight.models.training.sequences import Sequences
from limelight.models.training.settings import TrainingSettings
from limelight.models.training.trainer import train

warnings.simplefilter("error")
folder, rank = Path(sys.argv[1]), int(os.environ["RANK"])
rooms = Sequences(load_rooms(folder / "rooms.safetensors"), 16)
held_out = Sequences(load_rooms(folder / "held_out.safetensors"), 16)
for name, fields in json.loads((folder / "cases.json").read_text()).items():
    settings = TrainingSettings.model_validate_json(json.dumps(fields))
    # Each process begins elsewhere: what counts is the first one's weights.
    torch.manual_seed(rank)
    network = TrainedNetwork(ContentCTR(settings.network_config()), settings.loss)
    outcome = {}
    try:
        trained = train(network, rooms, held_out, settings, resume=name.startswith("resumed"))
        outcome = {"tau": trained.best.tau, "steps": trained.total_steps}
    except ValueError as error:
        outcome = {"error": str(error)}
    (folder / f"{name}.{rank}.json").write_text(json.dumps(outcome))
    save_file(network.state_dict(), folder / f"{name}.{rank}.safetensors")
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two-processes")


@pytest.fixture
def cases(make_settings, folder: Path) -> dict[str, object]:
    plain = {
        "network": {"dropout": 0.0},
        "loss": {"align": 0.0, "pair": 0.0},
        "unknown_streamer_rate": 0.0,
    }
    varied = {"loss": {}, "network": {"dropout": 0.2}, "checkpoint_every_steps": 4}
    settings = {
        "plain": make_settings(out=folder / "plain", **plain),
        "varied": make_settings(out=folder / "varied", epochs=1, **varied),
        "resumed": make_settings(out=folder / "varied", **varied),
        "whole": make_settings(out=folder / "whole", **varied),
        # Nobody reads the streamers, so their embedding has no gradient.
        "blind": make_settings(out=folder / "blind", network={"fusion": "self-attention-plain"}),
        "few": make_settings(out=folder / "few", sequence_length=240),
        "small": make_settings(out=folder / "small", batch_size=1),
    }
    return settings


@pytest.fixture
def trained(make_rooms, cases, folder: Path) -> Path:
    """The folder after the two processes have run; they run once for all tests."""
    if (folder / "finished").exists():
        return folder
    save_rooms(folder / "rooms.safetensors", make_rooms([240]))
    save_rooms(folder / "held_out.safetensors", make_rooms([40] * 3, seed=1))
    fields = {name: each.model_dump(mode="json") for name, each in cases.items()}
    (folder / "cases.json").write_text(json.dumps(fields))
    (folder / "program.py").write_text(PROGRAM)
    # No hint to accelerate: the trainer alone must find out that there are two processes.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ACCELERATE_")}
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run"),
            *("--nproc_per_node", "2", "--master_addr", "127.0.0.1"),
            *("--master_port", str(free_port()), str(folder / "program.py"), str(folder)),
        ],
        env=environment | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-4000:]
    (folder / "finished").touch()
    return folder


def outcome(
    folder: Path, name: str, rank: int
) -> tuple[dict[str, object], dict[str, torch.Tensor]]:
    figures = json.loads((folder / f"{name}.{rank}.json").read_text())
    return figures, load_file(folder / f"{name}.{rank}.safetensors")


@pytest.mark.parametrize("name", ["plain", "varied", "resumed", "whole", "blind"])
def test_both_processes_end_with_the_same_weights(trained: Path, name: str) -> None:
    figures, weights = outcome(trained, name, 0)
    assert "error" not in figures
    theirs, their_weights = outcome(trained, name, 1)
    assert figures == theirs
    assert all(torch.equal(weight, their_weights[n]) for n, weight in weights.items())


def test_two_processes_learn_what_one_learns(
    trained: Path, cases, make_rooms, make_network, tmp_path: Path
) -> None:
    settings = cases["plain"].model_copy(update={"out": tmp_path / "alone"})
    rooms = Sequences(make_rooms([240]), 16)
    held_out = Sequences(make_rooms([40] * 3, seed=1), 16)
    network = make_network(settings)
    begin = {name: weight.clone() for name, weight in network.state_dict().items()}
    alone = train(network, rooms, held_out, settings)
    figures, weights = outcome(trained, "plain", 0)
    assert figures["steps"] == alone.total_steps == 6
    for name, weight in alone.network.state_dict().items():
        torch.testing.assert_close(weights[name], weight, rtol=0, atol=1e-5, msg=name)
    moved = max(float((weights[n] - weight).abs().max()) for n, weight in begin.items())
    assert moved > 100 * 1e-5


def test_two_processes_go_on_from_their_checkpoint_as_if_there_was_none(trained: Path) -> None:
    (figures, weights), (expected, their_weights) = (
        outcome(trained, name, 0) for name in ("resumed", "whole")
    )
    assert figures == expected
    assert all(torch.equal(weight, their_weights[name]) for name, weight in weights.items())
    lines = [(trained / name / "metrics.jsonl").read_text() for name in ("varied", "whole")]
    assert lines[0] == lines[1]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("few", "sequences: found 1 for 2 processes, expected at least one for each"),
        ("small", "batch_size: found 1 for 2 processes, expected at least one sequence for each"),
    ],
)
def test_a_process_that_would_get_nothing_is_an_error(trained: Path, name: str, text: str) -> None:
    for rank in (0, 1):
        assert outcome(trained, name, rank)[0] == {"error": text}
