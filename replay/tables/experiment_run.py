"""Running one experiment with one seed: a simulated platform, training, and the test rooms."""

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from limelight.kernels.energy import SEGMENT_MS, comment_energy
from limelight.models.contentctr.model import ContentCTR
from limelight.models.datasets.labelled_room import COUNT_NAMES, LabelledRoom
from limelight.models.training.evaluation import Evaluation, evaluate, measured_ctrs, predict
from limelight.models.training.network import TrainedNetwork
from limelight.models.training.sequences import Sequences
from limelight.models.training.settings import TrainingSettings
from limelight.models.training.trainer import train
from limelight.replay.simulator.features import FeatureConfig, labelled_rooms
from limelight.replay.simulator.world import World, WorldConfig
from limelight.replay.tables.experiments import Experiment

# Rooms of one world, far apart.
_TRAINING, _VALIDATION, _TEST = 0, 100_000, 200_000
LEARNING_RATE = 1e-3
# As the engine's energy: the newest segment against the window's older ones.
_ENERGY_SEGMENTS = 19


@dataclass(frozen=True, slots=True)
class RunSize:
    """How much is simulated and learned."""

    training_rooms: int = 800
    validation_rooms: int = 100
    test_rooms: int = 300
    epochs: int = 8


def run_experiment(experiment: Experiment, seed: int, size: RunSize) -> dict[str, Any]:
    """Measures on the test rooms of the platform of that seed, as JSON types."""
    torch.set_num_threads(1)
    world = World(WorldConfig(), seed)
    training = labelled_rooms(world, range(_TRAINING, _TRAINING + size.training_rooms))
    validation = labelled_rooms(world, range(_VALIDATION, _VALIDATION + size.validation_rooms))
    test = labelled_rooms(world, range(_TEST, _TEST + size.test_rooms))
    if experiment.baseline is None:
        found = _contentctr(experiment, seed, size, training, validation, test)
    else:
        if experiment.baseline == "truth":
            numbers = range(_TEST, _TEST + size.test_rooms)
            predicted = [world.room(number).ctr for number in numbers]
        else:
            predicted = _baseline(experiment.baseline, seed, training, validation, test)
        found = evaluate(predicted, [room.ctr for room in test])
    return {**run_about(experiment, seed, size), **asdict(found)}


def find_run(
    experiment: Experiment, seed: int, size: RunSize, folder: Path
) -> dict[str, Any] | None:
    """The measures of the same run in `folder`, if it was made before."""
    path = _run_path(experiment, seed, folder)
    if not path.exists():
        return None
    stored: dict[str, Any] = json.loads(path.read_text())
    same = all(
        stored.get(name) == value for name, value in run_about(experiment, seed, size).items()
    )
    return stored if same else None


def run_about(experiment: Experiment, seed: int, size: RunSize) -> dict[str, Any]:
    """What a run is made of: another network, loss or simulator is another run."""
    return {
        "name": experiment.name,
        "seed": seed,
        **asdict(size),
        "network": experiment.network,
        "loss": experiment.loss.model_dump(mode="json"),
        "learning_rate": LEARNING_RATE,
        # As JSON has it, for that is what it is compared with: a tuple comes back as a list.
        "world": json.loads(json.dumps(asdict(WorldConfig()))),
        "features": asdict(FeatureConfig()),
    }


def run_and_store(experiment: Experiment, seed: int, size: RunSize, folder: Path) -> dict[str, Any]:
    """The measures, which lie in `folder` when this returns."""
    found = run_experiment(experiment, seed, size)
    folder.mkdir(parents=True, exist_ok=True)
    path = _run_path(experiment, seed, folder)
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(found, indent=2))
    unfinished.replace(path)
    return found


def _run_path(experiment: Experiment, seed: int, folder: Path) -> Path:
    safe = "".join(c if c.isalnum() else "-" for c in experiment.name)
    return folder / f"{safe}-seed{seed}.json"


def energy_predictions(rooms: list[LabelledRoom]) -> list[NDArray[np.float64]]:
    """(S,) comment energies: what ranks segments before anything was learned."""
    column = COUNT_NAMES.index("comments")
    found = []
    for room in rooms:
        ends_ms = (np.arange(len(room)) + 1) * SEGMENT_MS
        found.append(
            comment_energy(
                ends_ms,
                ends_ms,
                weights=room.counts[:, column],
                short_ms=SEGMENT_MS,
                long_ms=_ENERGY_SEGMENTS * SEGMENT_MS,
                first_ms=0,
            )
        )
    return found


def before_predictions(rooms: list[LabelledRoom]) -> list[NDArray[np.float64]]:
    """(S,) the last CTR that was measured before a segment, at first the mean of all rooms."""
    mean = float(np.nanmean(np.concatenate([room.ctr for room in rooms])))
    found = []
    for room in rooms:
        last, known = mean, []
        for ctr in room.ctr:
            known.append(last)
            last = last if np.isnan(ctr) else float(ctr)
        found.append(np.array(known))
    return found


def _baseline(
    name: str,
    seed: int,
    training: list[LabelledRoom],
    validation: list[LabelledRoom],
    test: list[LabelledRoom],
) -> list[NDArray[np.float64]]:
    if name == "energy":
        return energy_predictions(test)
    if name == "before":
        return before_predictions(test)
    from limelight.models.baselines.id_baseline import IdBaseline

    model = IdBaseline(name, seed=seed)  # type: ignore[arg-type]
    model.fit(training, validation_rooms=validation)
    return model.predict(test)


def _contentctr(
    experiment: Experiment,
    seed: int,
    size: RunSize,
    training: list[LabelledRoom],
    validation: list[LabelledRoom],
    test: list[LabelledRoom],
) -> Evaluation:
    with tempfile.TemporaryDirectory() as out:
        settings = TrainingSettings(
            preset="tiny",
            out=Path(out),
            network=experiment.network,
            loss=experiment.loss,
            epochs=size.epochs,
            # The paper's 5e-5 is for 30,000 steps an epoch; a small network has a few hundred.
            learning_rate=LEARNING_RATE,
            schedule="cosine",
            seed=seed,
        )
        torch.manual_seed(seed)
        network = TrainedNetwork(ContentCTR(settings.network_config()), settings.loss)
        buckets = network.contentctr.config.num_streamers
        train(network, Sequences(training, buckets), Sequences(validation, buckets), settings)
        sequences = Sequences(test, buckets)
        return evaluate(predict(network, sequences), measured_ctrs(sequences))
