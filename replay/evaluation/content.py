"""`limelight evaluate` for the models of what viewers get: each judged by its paper's figures."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from limelight.models.content import Figures, content_model, content_task_of


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A trained model in a folder, by the name it is shown under."""

    name: str
    folder: Path
    task: str


def content_models(specs: Sequence[str]) -> list[NamedModel]:
    """The models of the specs (a folder, or NAME=FOLDER); none where none of them is such a one.

    Raises:
        ValueError: some are and some are not, or they are of different tasks.
    """
    found, others = [], []
    for spec in specs:
        name, _, folder = spec.rpartition("=")
        task = content_task_of(Path(folder))
        if task is None:
            others.append(spec)
        else:
            found.append(NamedModel(name or folder, Path(folder), task))
    if not found:
        return []
    if others:
        raise ValueError(f"--model: found {others[0]} beside {found[0].task}, expected one kind")
    tasks = sorted({each.task for each in found})
    if len(tasks) > 1:
        raise ValueError(f"--model: found {' and '.join(tasks)}, expected models of one task")
    return found


def evaluate_content(
    models: Sequence[NamedModel], data: Sequence[str], out: Path, console: Console
) -> None:
    """Judge the models on each of the data, print the figures and write `evaluation.json`."""
    judged: dict[str, dict[str, Figures]] = {}
    for path in data:
        judged[path] = {}
        for each in models:
            with console.status(f"judging {each.name} on {path}"):
                judge = content_model(each.task).evaluate_model
                judged[path][each.name] = judge(each.folder, Path(path))
        console.print(_table(path, judged[path]))
    out.mkdir(parents=True, exist_ok=True)
    written = {"task": models[0].task, "data": judged}
    (out / "evaluation.json").write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    console.print(f"written: {out / 'evaluation.json'}", highlight=False, soft_wrap=True)


def _table(path: str, figures: dict[str, Figures]) -> Table:
    table = Table("measure", *(Column(Text(name)) for name in figures), title=path)
    for measure in dict.fromkeys(name for found in figures.values() for name in found):
        cells = (found.get(measure) for found in figures.values())
        table.add_row(measure, *(_shown(cell) for cell in cells))
    return table


def _shown(cell: float | None) -> str:
    if cell is None:
        return ""
    return str(cell) if isinstance(cell, int) else f"{cell:.4g}"
