"""The bundled weights: encoders and network trained on simulated rooms, by one command.

`python -m limelight.replay.bundled_model` (`make weights`) trains in two steps: encoders and
network together over short sequences, as the paper does; then the network alone over whole rooms,
on the features that the trained encoders serve, with the banded mask that it serves with. It is
calibrated on rooms that neither step has learned from (they only chose the best epoch), and judged
on others.
"""

import json
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.progress import Progress
from safetensors.torch import save_file

from limelight.engine.frame_encoder import FrameEncoder
from limelight.engine.text_encoder import TextEncoder
from limelight.engine.tiny_encoders import (
    FRAME_WEIGHTS,
    PRETRAINED,
    TEXT_WEIGHTS,
    TINY,
    tiny_frame_encoder,
    tiny_text_encoder,
)
from limelight.engine.weights import weights_revision
from limelight.models.contentctr.config import tiny
from limelight.models.contentctr.model import ContentCTR
from limelight.models.datasets.labelled_room import LabelledRoom, RawRoom
from limelight.models.training.evaluation import Evaluation, evaluate, measured_ctrs, predict
from limelight.models.training.network import SegmentEncoders, TrainedNetwork
from limelight.models.training.sequences import Sequences
from limelight.models.training.settings import LossSettings, TrainingSettings
from limelight.models.training.trainer import StepSeen, train
from limelight.replay.registry.code_version import commit
from limelight.replay.simulator.raw_rooms import raw_rooms
from limelight.replay.simulator.world import World, WorldConfig
from limelight.replay.train import save_calibrated

NETWORK_FOLDER = "contentctr"
WORK_FOLDERS = ("together", "alone", "bundle")
# Rooms of one world, far apart: what calibrates and what judges is never what was learned from.
TRAINING_ROOMS, VALIDATION_ROOMS, TEST_ROOMS = 0, 100_000, 200_000
_MAX_TOKENS = 64
_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class BundleOptions:
    rooms: int = 400
    held_out_rooms: int = 60
    epochs_together: int = 10
    epochs_alone: int = 30
    seed: int = 0


def bundled_world(seed: int) -> World:
    """The platform that the bundled weights know."""
    return World(WorldConfig(median_viewers=2_000.0), seed)


def train_bundled(options: BundleOptions, work: Path, out: Path, console: Console) -> Evaluation:
    """Train, calibrate, judge, and at the very end put all that the engine loads into `out`."""
    started_s = time.monotonic()
    world = bundled_world(options.seed)
    frames = tiny_frame_encoder(device=_CPU, weights=None)
    texts = tiny_text_encoder(device=_CPU, weights=None, max_tokens=_MAX_TOKENS)
    sets = _raw_sets(world, options, frames, texts, console)
    together = TrainingSettings(
        preset="tiny",
        out=work / "together",
        batch_size=16,
        epochs=options.epochs_together,
        learning_rate=1e-3,
        schedule="cosine",
        missing_modality_rate=0.1,
        seed=options.seed,
    )
    torch.manual_seed(options.seed)
    network = TrainedNetwork(
        ContentCTR(together.network_config()), together.loss, _encoders(frames, texts)
    )
    _train(network, sets["training"], sets["validation"], together, console)

    bundle = work / "bundle"
    bundle.mkdir(exist_ok=True)
    save_file(_tensors(frames.model), bundle / FRAME_WEIGHTS.name)
    save_file(_tensors(texts.model), bundle / TEXT_WEIGHTS.name)
    features = {name: _encoded(rooms, network) for name, rooms in sets.items()}
    alone = together.model_copy(
        update={
            "out": work / "alone",
            "sequence_length": world.config.segments_a_room,
            "epochs": options.epochs_alone,
            "learning_rate": 5e-4,
        }
    )
    network = TrainedNetwork(network.contentctr, alone.loss)
    _train(network, features["training"], features["validation"], alone, console)
    found = _finish(network, features, bundle, options)
    note = {
        "options": asdict(options),
        "commit": commit() or "unknown",
        "command": "python -m limelight.replay.bundled_model",
        "minutes": round((time.monotonic() - started_s) / 60, 1),
        "together": together.model_dump(mode="json", exclude={"out", "data"}),
        "alone": alone.model_dump(mode="json", exclude={"out", "data"}),
        "world": asdict(world.config),
        "test": asdict(found),
    }
    (bundle / "training.json").write_text(json.dumps(note, indent=2) + "\n")
    # Encoders and network belong together: until all are there, the former ones stay.
    shutil.copytree(bundle, out, dirs_exist_ok=True)
    return found


def encoded_rooms(options: BundleOptions, console: Console) -> dict[str, list[LabelledRoom]]:
    """Training, validation and test rooms with the features of the bundled encoders."""
    world = bundled_world(options.seed)
    return {
        name: encoded(world, range(first, first + count), console)
        for name, first, count in _sets(options)
    }


def encoded(world: World, numbers: range, console: Console) -> list[LabelledRoom]:
    """The rooms of those numbers, drawn and spoken, with the features of the bundled encoders."""
    frames = tiny_frame_encoder(device=_CPU)
    texts = tiny_text_encoder(device=_CPU, max_tokens=_MAX_TOKENS)
    network = TrainedNetwork(ContentCTR(tiny()), LossSettings(), _encoders(frames, texts))
    name = f"{numbers.start} to {numbers.stop - 1}"
    return _encoded(_raw(world, numbers, frames, texts, name, console), network)


def _sets(options: BundleOptions) -> tuple[tuple[str, int, int], ...]:
    """Name, first number and how many of each set of rooms."""
    return (
        ("training", TRAINING_ROOMS, options.rooms),
        ("validation", VALIDATION_ROOMS, options.held_out_rooms),
        ("test", TEST_ROOMS, options.held_out_rooms),
    )


def _raw_sets(
    world: World,
    options: BundleOptions,
    frames: FrameEncoder,
    texts: TextEncoder,
    console: Console,
) -> dict[str, list[RawRoom]]:
    return {
        name: _raw(world, range(first, first + count), frames, texts, name, console)
        for name, first, count in _sets(options)
    }


def _raw(
    world: World,
    numbers: range,
    frames: FrameEncoder,
    texts: TextEncoder,
    name: str,
    console: Console,
) -> list[RawRoom]:
    with Progress(console=console) as progress:
        task = progress.add_task(f"simulating {name} rooms", total=len(numbers))
        return raw_rooms(
            world,
            numbers,
            texts,
            image_size=frames.image_size,
            on_room=lambda: progress.advance(task),
        )


def _encoders(frames: FrameEncoder, texts: TextEncoder) -> SegmentEncoders:
    return SegmentEncoders(
        frames.model,
        texts.model,
        mean=frames.mean,
        std=frames.std,
        separator_id=texts.separator_id,
    )


def _train(
    network: TrainedNetwork,
    training: list[RawRoom] | list[LabelledRoom],
    validation: list[RawRoom] | list[LabelledRoom],
    settings: TrainingSettings,
    console: Console,
) -> None:
    buckets = network.contentctr.config.num_streamers
    with Progress(console=console) as progress:
        task = progress.add_task(f"training {settings.out.name}")

        def show(seen: StepSeen) -> None:
            total = settings.epochs * seen.steps_an_epoch
            done = seen.epoch * seen.steps_an_epoch + seen.step
            tau = "" if seen.watched is None else f", tau {seen.watched:.3f}"
            text = f"training {settings.out.name}: loss {seen.loss:.3f}{tau}"
            progress.update(task, total=total, completed=done, description=text)

        train(
            network,
            Sequences(training, buckets),
            Sequences(validation, buckets),
            settings,
            on_step=show,
            resume=True,
        )


@torch.no_grad()
def _encoded(rooms: list[RawRoom], network: TrainedNetwork) -> list[LabelledRoom]:
    """The rooms with the features that the trained encoders give them."""
    network.eval()
    encoded = []
    for room, batch in zip(rooms, Sequences(rooms, 2).rooms(batch_size=1), strict=True):
        frames, texts = network.features(batch)
        encoded.append(
            LabelledRoom(
                room_id=room.room_id,
                streamer_id=room.streamer_id,
                # As served: features travel as float16.
                frame_features=frames[0].half().numpy(),
                text_features=texts[0].numpy(),
                present=room.present,
                ctr=room.ctr,
                counts=room.counts,
            )
        )
    return encoded


def _finish(
    network: TrainedNetwork,
    features: dict[str, list[LabelledRoom]],
    out: Path,
    options: BundleOptions,
) -> Evaluation:
    """Calibrate, judge on the test rooms, and save the network."""
    config = network.contentctr.config
    config.frame_encoder_id = config.text_encoder_id = TINY
    config.frame_encoder_revision = weights_revision([out / FRAME_WEIGHTS.name])
    config.text_encoder_revision = weights_revision([out / TEXT_WEIGHTS.name])
    validation = Sequences(features["validation"], config.num_streamers)
    version = f"tiny-simulated-seed{options.seed}"
    training = Sequences(features["training"], config.num_streamers)
    save_calibrated(network, training, validation, out / NETWORK_FOLDER, version)
    test = Sequences(features["test"], config.num_streamers)
    return evaluate(predict(network, test), measured_ctrs(test), config.window_length)


def _tensors(model: Any) -> dict[str, torch.Tensor]:
    return {name: each.detach().contiguous() for name, each in model.state_dict().items()}


def main(
    work: Annotated[Path, typer.Option(help="Checkpoints; a run that was cut goes on.")] = Path(
        "weights-work"
    ),
    out: Annotated[Path, typer.Option(help="Where the weights go.")] = PRETRAINED,
    rooms: int = 400,
    seed: int = 0,
    keep_work: Annotated[bool, typer.Option("--keep-work")] = False,
) -> None:
    """Train the bundled weights on simulated rooms; about half an hour on two cores."""
    console = Console()
    found = train_bundled(BundleOptions(rooms=rooms, seed=seed), work, out, console)
    console.print(f"test rooms: {found}")
    if not keep_work:
        for name in WORK_FOLDERS:
            shutil.rmtree(work / name, ignore_errors=True)
        with suppress(OSError):  # whatever else lies there is not ours
            work.rmdir()


if __name__ == "__main__":
    typer.run(main)
