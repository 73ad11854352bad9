"""The bundled model against comment energy and the ID baselines, on rooms nobody has learned from.

`python -m limelight.replay.bundled_comparison` trains the ID baselines on the rooms that the
bundled model was trained on, three times, and the network three times anew on the bundled encoders'
features, to see how much the seed alone changes. It writes its table into docs/results.md.
"""

import json
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console

from limelight.engine.network import load_network
from limelight.engine.tiny_encoders import PRETRAINED, TINY
from limelight.models.baselines.id_baseline import IdBaseline
from limelight.models.contentctr.model import ContentCTR
from limelight.models.datasets.labelled_room import LabelledRoom
from limelight.models.training.evaluation import Evaluation, evaluate, measured_ctrs, predict
from limelight.models.training.network import TrainedNetwork
from limelight.models.training.sequences import Sequences
from limelight.models.training.settings import LossSettings, TrainingSettings
from limelight.models.training.trainer import train
from limelight.replay.bundled_model import BundleOptions, encoded_rooms
from limelight.replay.tables.experiment_run import before_predictions, energy_predictions
from limelight.replay.tables.experiments import ID_BASELINES
from limelight.replay.tables.markdown import between_markers, row, spread

SEEDS = (0, 1, 2)

Rooms = dict[str, list[LabelledRoom]]


def compare(rooms: Rooms, console: Console) -> dict[str, list[Evaluation]]:
    """Measures on the test rooms: of the bundled model, and over the seeds of the others."""
    test = rooms["test"]
    measured = [room.ctr for room in test]

    def told(name: str, found: list[Evaluation]) -> list[Evaluation]:
        console.print(f"{name}: tau {np.mean([each.tau for each in found]):.4f}", highlight=False)
        return found

    network = TrainedNetwork(load_network(TINY), LossSettings())
    buckets = int(network.contentctr.config.num_streamers)

    def judged(some: list[LabelledRoom]) -> Evaluation:
        sequences = Sequences(some, buckets)
        return evaluate(predict(network, sequences), measured_ctrs(sequences))

    unmet = [replace(room, streamer_id="") for room in test]
    results = {
        "bundled model": told("bundled model", [judged(test)]),
        "bundled model, streamers unknown": told("streamers unknown", [judged(unmet)]),
        "its network, trained anew": told(
            "trained anew", [_trained_anew(rooms, seed) for seed in SEEDS]
        ),
        "comment energy": told("energy", [evaluate(energy_predictions(test), measured)]),
        "CTR of the segment before": told(
            "segment before", [evaluate(before_predictions(test), measured)]
        ),
    }
    for experiment in ID_BASELINES:
        found = []
        for seed in SEEDS:
            model = IdBaseline(experiment.baseline, seed=seed)  # type: ignore[arg-type]
            model.fit(rooms["training"], validation_rooms=rooms["validation"])
            found.append(evaluate(model.predict(test), measured))
        results[experiment.name] = told(experiment.name, found)
    return results


def _trained_anew(rooms: Rooms, seed: int) -> Evaluation:
    """The network alone from random weights, with the settings that the bundled one ended with."""
    note: dict[str, Any] = json.loads((PRETRAINED / "training.json").read_text())
    with tempfile.TemporaryDirectory() as out:
        settings = TrainingSettings.model_validate(note["alone"] | {"out": out, "seed": seed})
        torch.manual_seed(seed)
        network = TrainedNetwork(ContentCTR(settings.network_config()), settings.loss)
        buckets = int(network.contentctr.config.num_streamers)
        training, validation, test = (
            Sequences(rooms[name], buckets) for name in ("training", "validation", "test")
        )
        train(network, training, validation, settings)
        return evaluate(predict(network, test), measured_ctrs(test))


def comparison_text(results: dict[str, list[Evaluation]], rooms: Rooms) -> list[str]:
    """The Markdown lines: the table, and whether the margin exceeds the seeds' spread."""
    lines = ["", "| method | tau | log loss | avg. s/y | mean s / mean y |", row(["---"] * 5)]
    for name, found in results.items():
        values = [asdict(each) for each in found]
        measures = ("tau", "log_loss", "mean_ratio", "ratio_of_means")
        lines.append(row([name, *(spread([v[each] for v in values]) for each in measures)]))
    taus = {name: [each.tau for each in found] for name, found in results.items()}
    ours = taus.pop("bundled model")[0]
    anew = taus.pop("its network, trained anew")
    del taus["bundled model, streamers unknown"]
    best = max(taus, key=lambda name: float(np.mean(taus[name])))
    margin = ours - float(np.mean(taus[best]))
    widest = max(
        float(np.std(values, ddof=1)) for values in (anew, *taus.values()) if len(values) > 1
    )
    lines += [
        "",
        f"The bundled model stands {margin:.4f} above the best of the others ({best}); the widest"
        f" spread of any method's seeds is {widest:.4f}. {len(rooms['test'])} test rooms,"
        f" {results['bundled model'][0].windows} windows; {len(SEEDS)} seeds where there is a"
        " spread.",
        "",
    ]
    return lines


def main(
    out: Annotated[Path, typer.Option(help="Markdown with the two markers.")] = Path(
        "docs/results.md"
    ),
) -> None:
    """Compare, and write the table between its markers."""
    console = Console()
    torch.set_num_threads(1)
    rooms = encoded_rooms(BundleOptions(), console)
    between_markers(out, "bundled", comparison_text(compare(rooms, console), rooms))
    console.print(f"written: {out}", highlight=False)


if __name__ == "__main__":
    typer.run(main)
