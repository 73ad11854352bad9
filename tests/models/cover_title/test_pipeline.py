"""Stages in processes of their own, started by torchrun, learn what one process learns."""

import json
import os
import socket
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file

from limelight.models.cover_title.pipeline import balanced, stages
from limelight.models.cover_title.training import train_cover_title

# Each case is a run of its own; the process group serves them one after the other.
PROGRAM = """
import json
import os
import sys
import warnings
from pathlib import Path

from safetensors.numpy import load_file as load_arrays
from safetensors.torch import save_file

from limelight.models.cover_title.settings import CoverTitleSettings
from limelight.models.cover_title.training import train_cover_title
from limelight.models.cover_title.videos import TitledVideos

warnings.simplefilter("error")
folder, rank = Path(sys.argv[1]), int(os.environ["RANK"])


def videos(name):
    columns = load_arrays(folder / f"{name}.safetensors")
    words = json.loads((folder / f"{name}.json").read_text())
    return TitledVideos(**words, covers=columns.pop("covers"), counts=columns)


training, validation = videos("training"), videos("validation")
for name, fields in json.loads((folder / "cases.json").read_text()).items():
    settings = CoverTitleSettings.model_validate_json(json.dumps(fields))
    losses, outcome = [], {}
    try:
        trained = train_cover_title(
            training, validation, settings,
            on_step=lambda seen: losses.append(seen.loss), resume=name == "resumed",
        )
        outcome = {"best": trained.best.cross_entropy, "steps": trained.steps}
        if rank == 0:
            save_file(trained.model.state_dict(), folder / f"{name}.weights")
    except ValueError as error:
        outcome = {"error": str(error)}
    (folder / f"{name}.{rank}.json").write_text(json.dumps({**outcome, "losses": losses}))
"""

# Without dropout, whose draws are each process's own; with gradients clipped, and some hidden.
STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
NETWORKS: dict[str, dict[str, Any]] = {
    "vit-bert": {"title_encoder": STILL},
    "vgg-rnn": {"vision": "vgg", "language": "rnn", "cover_encoder": {"dropout": 0.0}},
    "titles": {"cover_weight": 0.0, "title_encoder": STILL},
    "covers": {"cover_weight": 1.0},
}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pipeline")


@pytest.fixture
def alike():
    """Settings that one process and a pipeline share."""

    def make(settings, network: dict[str, Any], **changes: Any):
        whole = {"dropout": 0.0, **network}
        return settings(
            network=whole, clip_norm=0.5, missing_modality_rate=0.1, batch_size=8, **changes
        )

    return make


@pytest.fixture
def trained(videos, settings, alike, folder: Path) -> Path:
    """The folder after two processes have run; they run once for all tests."""
    if (folder / "finished").exists():
        return folder
    for name, each in (("training", videos(16)), ("validation", videos(8, seed=1))):
        save_arrays({"covers": each.covers, **each.counts}, folder / f"{name}.safetensors")
        words = {"video_ids": each.video_ids, "titles": each.titles}
        (folder / f"{name}.json").write_text(json.dumps(words))
    two = {"pipeline_stages": 2}
    cases = {
        name: alike(settings, network, out=folder / name, **two)
        for name, network in NETWORKS.items()
    }
    bert = NETWORKS["vit-bert"]
    cases["cut"] = alike(settings, bert, out=folder / "cut", epochs=1, **two)
    cases["resumed"] = alike(settings, bert, out=folder / "cut", **two)
    cases["three"] = alike(settings, bert, out=folder / "three", pipeline_stages=3)
    cases["odd"] = alike(settings, bert, out=folder / "odd", **two)
    fields = {name: each.model_dump(mode="json") for name, each in cases.items()}
    fields["odd"] |= {"batch_size": 35, "micro_batches": 5}
    (folder / "cases.json").write_text(json.dumps(fields))
    (folder / "program.py").write_text(PROGRAM)
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


def outcome(folder: Path, name: str, rank: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{name}.{rank}.json").read_text())
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_two_stages_have_the_losses_and_weights_of_one_process(
    trained: Path, name: str, videos, settings, alike
) -> None:
    losses: list[float] = []
    alone = train_cover_title(
        videos(16),
        videos(8, seed=1),
        alike(settings, NETWORKS[name]),
        on_step=lambda seen: losses.append(seen.loss),
    )
    found = outcome(trained, name)
    assert len(losses) == alone.steps == found["steps"] == 4
    np.testing.assert_allclose(found["losses"], losses, rtol=0, atol=5e-6)
    assert np.ptp(losses) > 1e-2
    assert found["best"] == pytest.approx(alone.best.cross_entropy, abs=1e-5)
    weights = load_file(trained / f"{name}.weights")
    # Adam divides by gradients' sizes: a rounding of one near 0 moves a weight by much of a step.
    for key, expected in alone.model.state_dict().items():
        torch.testing.assert_close(weights[key], expected, rtol=0, atol=2e-3, msg=key)


def test_the_second_process_knows_the_same_figures(trained: Path) -> None:
    first, second = outcome(trained, "vit-bert", 0), outcome(trained, "vit-bert", 1)
    assert (first["best"], first["steps"]) == (second["best"], second["steps"])


def test_a_pipeline_goes_on_from_its_stages_checkpoints(trained: Path) -> None:
    cut, resumed, whole = (outcome(trained, name) for name in ("cut", "resumed", "vit-bert"))
    assert cut["losses"] == whole["losses"][:2]
    assert resumed["losses"] == whole["losses"][2:]
    ours, theirs = (load_file(trained / f"{name}.weights") for name in ("resumed", "vit-bert"))
    assert all(torch.equal(each, theirs[name]) for name, each in ours.items())
    lines = [(trained / name / "metrics.jsonl").read_text() for name in ("cut", "vit-bert")]
    assert lines[0] == lines[1]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("three", "pipeline_stages: found 3 for 2 processes, expected as many"),
        ("odd", "batch_size: found 16 videos in all, expected a multiple of micro_batches, 5"),
    ],
)
def test_what_makes_no_pipeline_is_refused_by_all_processes(
    trained: Path, name: str, text: str
) -> None:
    for rank in (0, 1):
        assert outcome(trained, name, rank)["error"].startswith(text)


@pytest.mark.parametrize(("vision", "language"), [("vit", "bert"), ("vgg", "rnn")])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_each_parameter_is_in_one_part(ranker, vision: str, language: str, count: int) -> None:
    model = ranker(vision, language).model
    groups = stages(model, count)
    assert len(groups) == count and all(groups)
    owned = [
        id(each)
        for part in (part for group in groups for part in group)
        for each in [*(p for m in part.modules for p in m.parameters()), *part.parameters]
    ]
    assert sorted(owned) == sorted(id(each) for each in model.parameters())


def test_more_stages_than_parts_are_refused(ranker) -> None:
    with pytest.raises(ValueError, match="pipeline_stages: found 99, expected 1 to 10"):
        stages(ranker().model, 99)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_groups_are_as_balanced_as_trying_all_cuts_finds(count: int) -> None:
    costs = [3, 0, 8, 1, 4, 4, 9, 2]
    found = balanced(costs, count)
    assert [begin for begin, _ in found[1:]] == [end for _, end in found[:-1]]
    assert found[0][0] == 0 and found[-1][1] == len(costs) and all(b < e for b, e in found)
    every = (
        max(sum(costs[b:e]) for b, e in zip((0, *cuts), (*cuts, len(costs)), strict=True))
        for cuts in combinations(range(1, len(costs)), count - 1)
    )
    assert max(sum(costs[begin:end]) for begin, end in found) == min(every)
