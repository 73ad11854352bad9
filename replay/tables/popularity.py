"""`python -m limelight.replay.tables.popularity`: tables 2 to 4 and figure 3 of MTAF, real videos.

Mean and standard deviation over seeds; each seed is another split and other initial weights.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from jinja2 import Environment, PackageLoader, select_autoescape

from limelight.models.datasets.popularity_videos import PopularityVideos, load_popularity_videos
from limelight.models.popularity.importances import Importances, attribute_importances
from limelight.models.popularity.score import PAPER_WEIGHTS
from limelight.replay.tables.markdown import between_markers, row
from limelight.replay.tables.popularity_runs import (
    ABLATION,
    BEFORE_RELEASE,
    MTAF,
    WITH_TREND,
    Method,
    RunOptions,
    run_method,
)

MEASURES = {"mae": "MAE", "mse": "MSE", "r2": "R2", "srcc": "SRCC", "ndcg_at_10": "NDCG@10"}
# YouTube's table counts no shares.
YOUTUBE_WEIGHTS = {name: PAPER_WEIGHTS[name] for name in ("favorite", "comment")}
_PANEL = (380, 26)  # px: width, height of a bar with its gap
_LABEL = 190
_COLOURS = ("#3b6fb6", "#c4572e")

Runs = dict[str, list[dict[str, float | None]]]


def comparison(
    methods: Sequence[Method],
    data: Path,
    videos: PopularityVideos,
    seeds: int,
    options: RunOptions,
) -> list[str]:
    """The Markdown lines of one table."""
    runs: Runs = {}
    for each in methods:
        runs[each.name] = [run_method(each, data, videos, s, options) for s in range(seeds)]
        typer.echo(f"{data.stem}, {each.name}: MSE {_spread(runs[each.name], 'mse')}")
    head = ["method", *MEASURES.values(), "MSE above MTAF's", "seeds MTAF wins"]
    head += [f"{name}, paper" for name in MEASURES.values()]
    lines = ["", row(head), row(["---"] * len(head))]
    for each in methods:
        cells = [_spread(runs[each.name], measure) for measure in MEASURES]
        paper = [f"{value:.3f}" for value in each.paper] or [""] * len(MEASURES)
        lines.append(row([each.name, *cells, *_against(runs, each.name), *paper]))
    return [*lines, ""]


def _spread(runs: list[dict[str, float | None]], measure: str) -> str:
    values = [value for run in runs if (value := run[measure]) is not None]
    if not values:
        return "none"
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def _against(runs: Runs, name: str) -> list[str]:
    if name == MTAF:
        return ["", ""]
    pairs = zip(runs[name], runs[MTAF], strict=True)
    gaps = np.array([float(one["mse"] or 0) - float(ours["mse"] or 0) for one, ours in pairs])
    return [f"{gaps.mean():+.4f} ± {gaps.std(ddof=1):.4f}", f"{(gaps > 0).sum()} of {len(gaps)}"]


def importance_figure(importances: Importances) -> str:
    """Figure 3 as SVG: a panel for each kind, attributes by their share of it."""
    width, step = _PANEL
    panels = []
    for number, (kind, shares) in enumerate(importances.items()):
        ranked = sorted(shares.items(), key=lambda item: -item[1])
        most = max(ranked[0][1], 1e-9)
        bars = [
            {
                "name": name,
                "y": place * step,
                "width": round(share / most * (width - _LABEL - 60), 1),
                "share": f"{100 * share:.1f} %",
            }
            for place, (name, share) in enumerate(ranked)
        ]
        height = len(ranked) * step + 50
        panels.append(
            {
                "kind": kind,
                "bars": bars,
                "x": number % 2 * (width + 30),
                "y": number // 2 * height,
                "colour": _COLOURS[kind.startswith("LightGBM")],
            }
        )
    environment = Environment(
        loader=PackageLoader("limelight.replay", "."),
        autoescape=select_autoescape(default=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rows = -(-len(panels) // 2)
    return environment.get_template("importances.svg.j2").render(
        panels=panels, width=2 * width + 30, height=rows * height, label=_LABEL
    )


def _main(
    youtube: Annotated[Path, typer.Argument(help="Of `popularity_data`, the trending table.")],
    bilibili: Annotated[Path, typer.Argument(help="Of `popularity_data`, the weekly lists.")],
    out: Annotated[Path, typer.Option(help="Markdown with the two markers.")] = Path(
        "docs/results.md"
    ),
    figure: Annotated[Path, typer.Option(help="Where figure 3 goes.")] = Path(
        "docs/popularity-importances.svg"
    ),
    work: Annotated[Path, typer.Option(help="Where each run is stored.")] = Path("tables-work"),
    seeds: Annotated[int, typer.Option(min=2)] = 5,
    bilibili_seeds: Annotated[int, typer.Option(min=2)] = 3,
    epochs: Annotated[int, typer.Option(min=1)] = 60,
) -> None:
    """Train and judge MTAF and its baselines on YouTube's and Bilibili's tables."""
    settings = {"epochs": epochs, "patience": 15, "learning_rate": 3e-3}
    lines = []
    trending = load_popularity_videos(youtube)
    options = RunOptions(work, YOUTUBE_WEIGHTS, settings)
    for title, methods in (
        ("Table 2 on YouTube: without the trend", BEFORE_RELEASE),
        ("Table 3 on YouTube: without a modality", ABLATION),
        ("Table 4 on YouTube: with the trend of two days", WITH_TREND),
    ):
        lines += ["", f"### {title}"]
        lines += comparison(methods, youtube, trending, seeds, options)
    weekly = load_popularity_videos(bilibili)
    lines += ["", "### Tables 2 and 3 on Bilibili's weekly lists: no trend there"]
    options = RunOptions(work, PAPER_WEIGHTS, {**settings, "batch_size": 256})
    together = (*BEFORE_RELEASE[:-1], *ABLATION)
    lines += comparison(together, bilibili, weekly, bilibili_seeds, options)
    between_markers(out, "popularity tables", lines)
    importances = attribute_importances(trending, YOUTUBE_WEIGHTS)
    figure.write_text(importance_figure(importances), encoding="utf-8")
    typer.echo(f"written: {out}, {figure}")


if __name__ == "__main__":
    typer.run(_main)
