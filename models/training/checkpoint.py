"""A run's state on disk: tensors as safetensors, the rest as JSON; nothing is ever unpickled."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands: `step` batches of `epoch` are done."""

    epoch: int = 0
    step: int = 0
    total_steps: int = 0
    best_tau: float | None = None
    best_epoch: int = -1


def save_checkpoint(
    folder: Path,
    network: nn.Module,
    optimizer: Optimizer,
    progress: Progress,
    random_states: list[Tensor],
    about: Mapping[str, Any] | None = None,
) -> None:
    """Write the state into `folder`; a crash leaves the former checkpoint or this one."""
    unfinished = folder.with_name(folder.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    state = optimizer.state_dict()
    tensors = {f"network.{name}": each for name, each in network.state_dict().items()}
    for number, parts in state["state"].items():
        tensors |= {f"optimizer.{number}.{name}": part for name, part in parts.items()}
    tensors |= {f"random.{rank}": each for rank, each in enumerate(random_states)}
    save_file(
        {n: t.detach().cpu().contiguous() for n, t in tensors.items()},
        unfinished / "state.safetensors",
    )
    fields = {
        "about": dict(about or {}),
        "progress": asdict(progress),
        "param_groups": state["param_groups"],
    }
    (unfinished / "state.json").write_text(json.dumps(fields, indent=2))
    former = folder.with_name(folder.name + ".old")
    if folder.exists():  # else a crash left only the former one, which stays until there is another
        shutil.rmtree(former, ignore_errors=True)
        folder.rename(former)
    unfinished.rename(folder)
    shutil.rmtree(former, ignore_errors=True)


def load_checkpoint(
    folder: Path,
    network: nn.Module,
    optimizer: Optimizer,
    rank: int,
    about: Mapping[str, Any] | None = None,
) -> Progress:
    """Put the state into network, optimizer and random generator; gives where the run stood.

    `about` is what the run is made of: a checkpoint that was saved about something else belongs to
    another run, and going on from it would mix the two.

    Raises:
        FileNotFoundError: no checkpoint there.
        ValueError: one of another run, network or number of processes, or a broken file.
    """
    if not folder.exists() and folder.with_name(folder.name + ".old").exists():
        folder = folder.with_name(folder.name + ".old")  # it crashed between the two renames
    if not (folder / "state.json").is_file():
        raise FileNotFoundError(f"{folder}: found no checkpoint, expected state.json in it")
    fields, tensors = _read(folder)
    _check_same_run(folder, fields["about"], dict(about or {}))
    weights = _under("network.", tensors)
    expected = network.state_dict()
    if weights.keys() != expected.keys() or any(
        weights[name].shape != expected[name].shape for name in weights
    ):
        differing = sorted(weights.keys() ^ expected.keys())[:3] or "sizes that differ"
        raise ValueError(f"{folder}: found another network ({differing}), expected this one")
    network.load_state_dict(weights)
    states: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _under("optimizer.", tensors).items():
        number, part = name.split(".", 1)
        states.setdefault(int(number), {})[part] = tensor
    optimizer.load_state_dict({"state": states, "param_groups": fields["param_groups"]})
    generators = _under("random.", tensors)
    if str(rank) not in generators:
        raise ValueError(
            f"{folder}: found {len(generators)} processes, expected a state for number {rank}"
        )
    torch.set_rng_state(generators[str(rank)].to(torch.uint8))
    progress: dict[str, Any] = fields["progress"]
    return Progress(**progress)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        fields: dict[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{folder / 'state.json'}: found {error}, expected JSON") from error
    if not {"about", "progress", "param_groups"} <= fields.keys():
        raise ValueError(
            f"{folder / 'state.json'}: found {sorted(fields)}, expected about, progress and"
            " param_groups"
        )
    try:
        return fields, load_file(folder / "state.safetensors")
    except SafetensorError as error:
        path = folder / "state.safetensors"
        raise ValueError(f"{path}: found {error}, expected a whole safetensors file") from error


def _check_same_run(folder: Path, saved: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name, value in wanted.items():
        if saved.get(name) != value:
            raise ValueError(
                f"{folder}: {name}: found {saved.get(name)!r} in the checkpoint, expected {value!r}"
                " (a run goes on with the settings and rooms that it was begun with)"
            )


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
