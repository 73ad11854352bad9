"""A candidate from the champion's weights: trained on the log's older part, calibrated, saved.

`python -m limelight.replay.retraining.training RUN` does it in a process of its own, under torchrun
in several; the run's folder says on what, and with which settings.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from limelight.engine.network import load_network
from limelight.models.training.network import TrainedNetwork
from limelight.models.training.sequences import Sequences
from limelight.models.training.settings import TrainingSettings, load_training_settings
from limelight.models.training.trainer import StepSeen, is_main_process, train
from limelight.replay.retraining.errors import RunFailed
from limelight.replay.retraining.rooms import load
from limelight.replay.train import save_calibrated

ROOMS, CANDIDATE, _SETTINGS, _TRAINED = "rooms", "candidate", "training.json", "trained"
CHAMPION = "champion"
# From weights that know the task already: little steps, and no more epochs than help.
DEFAULTS = TrainingSettings(
    preset="tiny",
    epochs=8,
    learning_rate=3e-4,
    schedule="cosine",
    patience=3,
    sequence_length=20,
    checkpoint_every_steps=100,
)


def prepare(folder: Path, config: str) -> None:
    """Write the training's settings into a run's folder, unless they are there.

    Raises:
        ValueError, OSError: settings that do not fit.
    """
    path = folder / _SETTINGS
    if not path.exists():
        settings = load_training_settings(Path(config)) if config else DEFAULTS
        settings = settings.model_copy(update={"data": None, "out": folder / _TRAINED})
        path.write_text(settings.model_dump_json(indent=2))


def settings_of(folder: Path) -> TrainingSettings:
    settings = TrainingSettings.model_validate_json((folder / _SETTINGS).read_text())
    return settings.model_copy(update={"out": folder / _TRAINED})


def train_candidate(
    folder: Path, version: str, on_step: Callable[[StepSeen], None] = lambda seen: None
) -> None:
    """Train in this process; a training that was interrupted goes on from its checkpoint."""
    settings, rooms = settings_of(folder), load(folder / ROOMS)
    torch.manual_seed(settings.seed)
    network = TrainedNetwork(load_network(folder / CHAMPION), settings.loss)
    buckets = int(network.contentctr.config.num_streamers)
    training, validation = Sequences(rooms.training, buckets), Sequences(rooms.validation, buckets)
    train(network, training, validation, settings, on_step=on_step, resume=True)
    if is_main_process():
        # A folder that is there is whole.
        unfinished = folder / f"{CANDIDATE}.part"
        save_calibrated(network, training, validation, unfinished, version)
        unfinished.rename(folder / CANDIDATE)


def train_in_processes(folder: Path, version: str, processes: int) -> None:
    """The same by torchrun.

    Raises:
        RunFailed: a process ended early; its last words are in `training.log`.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(processes), "-m", "limelight.replay.retraining.training"]
    log = folder / "training.log"
    with log.open("ab") as output:
        found = subprocess.run(
            [*command, str(folder), version], stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if found.returncode:
        raise RunFailed(f"training: found exit status {found.returncode}, expected 0; see {log}")


if __name__ == "__main__":
    train_candidate(Path(sys.argv[1]), sys.argv[2])
