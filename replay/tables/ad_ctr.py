"""`python -m limelight.replay.tables.ad_ctr`: tables 1 to 3 of the ad network, simulated clips.

Three fusions of as many parameters, for two targets, as a regression and as five classes. Mean and
standard deviation over seeds, which change initial weights, order and the clips held back.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from limelight.models.ad_ctr.clips import ad_clips
from limelight.models.ad_ctr.config import FUSIONS, NUM_CLASSES
from limelight.models.ad_ctr.figures import (
    classes_of,
    equal_count_edges,
    regression_figures,
)
from limelight.models.ad_ctr.prediction import judge
from limelight.models.ad_ctr.training import AdDataSettings, AdSettings, train_ad
from limelight.models.datasets.clip_files import load_clips
from limelight.models.datasets.labelled_clip import LabelledClips
from limelight.replay.page import template
from limelight.replay.tables.markdown import between_markers, row

TARGETS = {"ctr": "CTR", "play_rate": "3-second play rate"}
CONSTANT = "mean of the training clips"
# MSE, MAE and MAR of tables 1 and 2, accuracy of table 3.
PAPER = {
    ("ctr", "baseline"): ("1.87e-5", "2.26e-3", "35.5 %", "61.3 %"),
    ("ctr", "all-connected"): ("2.00e-5", "2.58e-3", "40.6 %", "63.5 %"),
    ("ctr", "self-organizing"): ("1.77e-5", "2.20e-3", "34.6 %", "66.3 %"),
    ("play_rate", "baseline"): ("0.0152", "0.0744", "17.6 %", "61.4 %"),
    ("play_rate", "all-connected"): ("0.0148", "0.0738", "17.4 %", "61.5 %"),
    ("play_rate", "self-organizing"): ("0.0143", "0.0725", "17.1 %", "62.8 %"),
}
# All three are trained until their validation has not improved for so long.
_PATIENCE = 8
_PLOT = (640, 260)
_COLOURS = ("#3b6fb6", "#c4572e", "#2e9e6b", "#8a5bc7", "#667085")

Run = dict[str, Any]
# By fusion and what is predicted, a run for each seed.
Runs = dict[tuple[str, str], list[Run]]


def run(
    target: str,
    fusion: str,
    predict: str,
    seed: int,
    training: LabelledClips,
    test: LabelledClips,
    work: Path,
    epochs: int,
) -> Run:
    """The figures of one network on the test clips, from `work` if it was trained before."""
    out = work / f"{target}-{fusion}-{predict}-{len(training)}-{epochs}-{seed}"
    stored = out / "run.json"
    if stored.exists():
        found: Run = json.loads(stored.read_text(encoding="utf-8"))
        return found
    settings = AdSettings.model_validate(
        {
            "data": AdDataSettings(train=Path()),
            "out": out,
            "preset": "tiny",
            "target": target,
            "fusion": fusion,
            "predict": predict,
            "seed": seed,
            "learning_rate": 1e-3,
            "batch_size": 64,
            "epochs": epochs,
            "patience": _PATIENCE,
        }
    )
    trained = train_ad(training, None, settings, resume=True)
    clips = ad_clips(test, target, trained.model.config.categories)
    found = {
        "test": asdict(judge(trained.model, clips)),
        "rounds": [asdict(each) for each in trained.rounds],
    }
    stored.write_text(json.dumps(found))
    return found


def table(
    target: str, runs: dict[tuple[str, str], list[Run]], reference: dict[str, Any]
) -> list[str]:
    """Markdown of one target: regression and classes side by side, the paper's figures behind."""
    head = ["fusion", "parameters", "MSE", "MAE", "MAR", "accuracy of 5 classes"]
    head += ["MAR above self-organizing", "MSE, MAE, MAR, accuracy in the paper"]
    lines = [row(head), row(["---"] * len(head))]
    ours = [each["test"]["mar"] for each in runs["self-organizing", "rate"]]
    for fusion in FUSIONS:
        rates, classes = runs[fusion, "rate"], runs[fusion, "class"]
        gaps = [each["test"]["mar"] - own for each, own in zip(rates, ours, strict=True)]
        is_own = fusion == "self-organizing"
        cells = [
            f"{rates[0]['rounds'][-1]['parameters']:,}",
            *(_spread([each["test"][name] for each in rates]) for name in ("mse", "mae", "mar")),
            _spread([each["test"]["accuracy"] for each in classes]),
            "" if is_own else _spread(gaps, "+"),
            ", ".join(PAPER[target, fusion]),
        ]
        lines.append(row([fusion, *cells]))
    for name, figures in reference.items():
        measured = (figures["mse"], figures["mae"], figures["mar"], figures["accuracy"])
        lines.append(row([name, "", *(f"{value:.4g}" for value in measured), "", ""]))
    return lines


def references(
    target: str, training: LabelledClips, test: LabelledClips, edges: list[float]
) -> dict[str, Any]:
    """What saying the same of every clip reaches: the mean rate, the most frequent class."""
    learned, clips = ad_clips(training, target, []), ad_clips(test, target, [])
    rates = clips.rates.numpy()
    mean = np.full(len(rates), float(learned.rates.mean()))
    figures = asdict(regression_figures(mean, rates))
    share = np.bincount(classes_of(rates, edges)).max() / len(rates)
    return {CONSTANT: {**figures, "accuracy": float(share)}}


def rounds_figure(title: str, runs: Sequence[Run]) -> str:
    """SVG of the validation's error against the parameters left, a line for each seed."""
    width, height = _PLOT
    rounds = [each["rounds"] for each in runs]
    counts = [found["parameters"] for some in rounds for found in some]
    errors = [found["validation"]["mar"] for some in rounds for found in some]
    most, least = max(counts), min(counts)
    top, bottom = max(errors) * 1.02, min(errors) * 0.98

    def x(count: float) -> float:
        return float(round((most - count) / max(1, most - least) * width, 1))

    def y(error: float) -> float:
        return float(round((top - error) / (top - bottom) * height, 1))

    lines = []
    for number, some in enumerate(rounds):
        dots = [(x(each["parameters"]), y(each["validation"]["mar"])) for each in some]
        points = " ".join(f"{across},{down}" for across, down in dots)
        colour = _COLOURS[number % len(_COLOURS)]
        lines.append({"name": f"seed {number}", "dots": dots, "points": points, "colour": colour})
    ticks = [(value, y(value)) for value in np.linspace(bottom, top, 5)]
    marks = [(int(value), x(value)) for value in np.linspace(most, least, 5)]
    return template("rounds.svg.j2").render(
        title=title, width=width, height=height, ticks=ticks, marks=marks, lines=lines
    )


def _spread(values: Sequence[float], sign: str = "") -> str:
    mean = f"{np.mean(values):{sign}.4g}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.2g}"


def _main(
    training: Annotated[Path, typer.Argument(help="Clips to learn from: `simulate clips`.")],
    test: Annotated[Path, typer.Argument(help="Other clips, to judge on.")],
    out: Annotated[Path, typer.Option(help="Markdown with the two markers.")] = Path(
        "docs/results.md"
    ),
    figure: Annotated[Path, typer.Option(help="Where the trace of the rounds goes.")] = Path(
        "docs/ad-ctr-rounds.svg"
    ),
    work: Annotated[Path, typer.Option(help="Where each run is stored.")] = Path("tables-work"),
    seeds: Annotated[int, typer.Option(min=2)] = 3,
    epochs: Annotated[int, typer.Option(min=1)] = 60,
) -> None:
    """Train and judge the three fusions, and write tables and trace."""
    torch.set_num_threads(1)
    learned, judged = load_clips(training), load_clips(test)
    lines: list[str] = []
    for target, title in TARGETS.items():
        runs: Runs = {}
        for predict in ("rate", "class"):
            for fusion in FUSIONS:
                runs[fusion, predict] = []
                for seed in range(seeds):
                    found = run(target, fusion, predict, seed, learned, judged, work, epochs)
                    runs[fusion, predict].append(found)
                    typer.echo(f"{target}, {fusion}, {predict}, seed {seed}: {found['test']}")
        edges = equal_count_edges(ad_clips(learned, target, []).rates.numpy(), NUM_CLASSES)
        reference = references(target, learned, judged, edges)
        lines += ["", f"### {title}", "", *table(target, runs, reference)]
        if target == "play_rate":
            text = rounds_figure(
                "3-second play rate: MAR on the validation", runs["self-organizing", "rate"]
            )
            figure.write_text(text, encoding="utf-8")
    between_markers(out, "ad_ctr tables", [*lines, ""])
    typer.echo(f"written: {out}, {figure}")


if __name__ == "__main__":
    typer.run(_main)
