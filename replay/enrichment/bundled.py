"""`python -m limelight.replay.enrichment.bundled`: the bundled models of what viewers get.

All of them learn from simulated clips of one platform and are judged on others; what they know is
the simulator, and a platform trains on its own clips by `limelight train`. Each is trained by the
very command that users have; the settings lie beside the weights, and an interrupted run goes on.
"""

import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.progress import Progress
from transformers.utils.logging import disable_progress_bar

from limelight.engine.tiny_encoders import tiny_frame_encoder, tiny_text_encoder
from limelight.models.content import MODEL, Figures, content_model
from limelight.models.datasets.clip_files import save_clips
from limelight.replay.bundled_model import bundled_world
from limelight.replay.enrichment.clip_models import BUNDLED
from limelight.replay.simulator.clip_table import simulated_clips

TRAINING_CLIPS, TEST_CLIPS = "clips-train.safetensors", "clips-test.safetensors"
_FIRST_TEST_CLIP = 100_000
RECORD = "training.json"

_AD = {
    "task": "ad_ctr",
    "preset": "tiny",
    "learning_rate": 1e-3,
    "batch_size": 64,
    "epochs": 60,
    "data": {"train": f"../{TRAINING_CLIPS}"},
}
# The settings of each part, as its training file has them.
PARTS: dict[str, dict[str, Any]] = {
    "play_rate": {**_AD, "target": "play_rate"},
    "ctr": {**_AD, "target": "ctr"},
    "cover_title": {
        "task": "cover_title",
        "preset": "tiny",
        "learning_rate": 5e-4,
        "batch_size": 64,
        "epochs": 12,
        "missing_modality_rate": 0.1,
        "label": {"thresholds": "equal-count"},
        "data": {"train": f"../{TRAINING_CLIPS}"},
    },
    "topics": {
        "task": "topics",
        "preset": "tiny",
        "learning_rate": 3e-3,
        "epochs": 8,
        "network": {"num_topics": 24},
        "data": {"train": f"../{TRAINING_CLIPS}"},
    },
    # Of a new clip there is no trend yet, and often no category.
    "popularity": {
        "task": "popularity",
        "preset": "tiny",
        "learning_rate": 3e-3,
        "network": {"modalities": ["N", "T", "A", "V"]},
        "weights": {"favorite": 0.2, "comment": 0.3, "share": 0.5},
        "missing_modality_rate": 0.1,
        "unknown_category_rate": 0.3,
        "data": {"path": f"../{TRAINING_CLIPS}"},
    },
}


def train_bundled(parts: list[str], work: Path, out: Path, console: Console, *, clips: int) -> None:
    """Simulate the clips, train each part and put it into `out`."""
    _simulate(work / TRAINING_CLIPS, range(clips), console)
    tests = range(_FIRST_TEST_CLIP, _FIRST_TEST_CLIP + clips // 5)
    _simulate(work / TEST_CLIPS, tests, console)
    for part in parts:
        fields = PARTS[part]
        model = content_model(fields["task"])
        folder = work / part
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "run.toml"
        config.write_text(toml(fields), encoding="utf-8")
        with console.status(f"training {part}"):
            report = model.train_model(config, resume=True, on_step=lambda seen: None)
        trained = folder / "trained" / MODEL
        found = model.evaluate_model(trained, work / TEST_CLIPS)
        shutil.rmtree(out / part, ignore_errors=True)
        shutil.copytree(trained, out / part)
        record: dict[str, Any] = {
            "clips": {"simulated": clips, "seed": 0, "test": len(tests)},
            "settings": fields,
            "epochs": report.epochs,
            "validation": report.validation,
            "test": found,
        }
        (out / part / RECORD).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
        console.print(f"{part}: {_shown(found)}", highlight=False)


def toml(fields: dict[str, Any]) -> str:
    """Plain fields as TOML; tables come last, as it wants them."""
    lines = [f"{name} = {_value(v)}" for name, v in fields.items() if not isinstance(v, dict)]
    for name, table in fields.items():
        if isinstance(table, dict):
            lines += ["", f"[{name}]", *(f"{key} = {_value(v)}" for key, v in table.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    # Strings, numbers, booleans and lists of them are written alike in JSON and TOML.
    return json.dumps(value, ensure_ascii=False)


def _simulate(path: Path, numbers: range, console: Console) -> None:
    if path.exists():
        return
    cpu = torch.device("cpu")
    with Progress(console=console) as progress:
        task = progress.add_task(f"simulating {path.name}", total=len(numbers))
        made = simulated_clips(
            bundled_world(0),
            numbers,
            tiny_frame_encoder(device=cpu),
            tiny_text_encoder(device=cpu),
            on_clip=lambda: progress.advance(task),
        )
    save_clips(path, made, note=f"simulated, seed 0, clips {numbers.start} to {numbers.stop - 1}")


def _shown(figures: Figures) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items() if value is not None)


def _main(
    part: Annotated[list[str] | None, typer.Option(help="Only these parts.")] = None,
    work: Annotated[Path, typer.Option(help="Where clips and runs lie.")] = Path("bundled-work"),
    out: Annotated[Path, typer.Option(help="Where the models go.")] = BUNDLED,
    clips: Annotated[int, typer.Option(min=100)] = 4_000,
) -> None:
    """Train the models that `tiny` names in the enrichment's settings."""
    torch.set_num_threads(1)
    disable_progress_bar()
    unknown = [name for name in part or () if name not in PARTS]
    if unknown:
        raise typer.BadParameter(f"part: found {unknown[0]}, expected some of {', '.join(PARTS)}")
    train_bundled(part or list(PARTS), work, out, Console(), clips=clips)


if __name__ == "__main__":
    typer.run(_main)
