"""`limelight tables`: the paper's Tables 1, 3 and 4 on simulated platforms, written as Markdown."""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from limelight.replay.tables.experiment_run import RunSize, stored_run
from limelight.replay.tables.experiments import (
    CONTENTCTR,
    ID_BASELINES,
    LOSSES,
    MODALITIES,
    TABLES,
    Experiment,
    all_experiments,
)

Runs = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class TableOptions:
    work: Path
    out: Path
    seeds: int = 3
    processes: int = 2
    size: RunSize = field(default_factory=RunSize)


def make_tables(options: TableOptions, console: Console) -> Runs:
    """Run what has not been run yet, and write the tables between their markers in `out`.

    Runs are stored one by one in `work`; one that was interrupted goes on there.

    Raises:
        ValueError: fewer than two seeds, which have no spread.
    """
    if options.seeds < 2:
        raise ValueError(f"seeds: found {options.seeds}, expected at least 2")
    wanted = [(each, seed) for seed in range(options.seeds) for each in all_experiments()]
    runs: Runs = {each.name: [] for each in all_experiments()}
    # Spawned: a forked child would inherit threads of torch in an unknown state.
    context = multiprocessing.get_context("spawn")
    columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        ProcessPoolExecutor(options.processes, mp_context=context) as pool,
        Progress(*columns, console=console) as progress,
    ):
        task = progress.add_task("training", total=len(wanted))
        futures = [
            pool.submit(stored_run, each, seed, options.size, options.work) for each, seed in wanted
        ]
        try:
            for future in as_completed(futures):
                found = future.result()
                runs[found["name"]].append(found)
                text = f"{found['name']}, seed {found['seed']}: tau {found['tau']:.3f}"
                progress.update(task, advance=1, description=text)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    for found_runs in runs.values():
        found_runs.sort(key=lambda run: run["seed"])
    _write(options, runs)
    return runs


def _write(options: TableOptions, runs: Runs) -> None:
    begin, end = "<!-- tables: begin -->", "<!-- tables: end -->"
    section = "\n".join([begin, *tables_text(runs), *_findings(runs), end])
    text = options.out.read_text(encoding="utf-8") if options.out.exists() else f"{begin}\n{end}\n"
    if begin not in text or end not in text:
        raise ValueError(f"{options.out}: found no {begin} ... {end}, expected both markers")
    before, rest = text.split(begin, 1)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(before + section + rest.split(end, 1)[1], encoding="utf-8")


def tables_text(runs: Runs) -> list[str]:
    """The tables' Markdown lines: mean and standard deviation over the seeds, beside the paper."""
    lines = []
    for title, experiments in TABLES.items():
        with_ratio = experiments is LOSSES
        lines += ["", f"## {title}", ""]
        head = ["method", "tau", "against ContentCTR", "tau, paper", "against ContentCTR, paper"]
        head += ["avg. s/y", "avg. s/y, paper", "mean s / mean y"] if with_ratio else []
        lines += [_row(head), _row(["---"] * len(head))]
        lines += [_row(_cells(each, runs, with_ratio)) for each in experiments]
    return [*lines, ""]


def _cells(experiment: Experiment, runs: Runs, with_ratio: bool) -> list[str]:
    paper_ours = next(each.paper_tau for each in MODALITIES if each.name == CONTENTCTR) or 0.0
    paper = experiment.paper_tau
    cells = [
        experiment.name,
        _spread(_values(runs, experiment.name, "tau")),
        "" if experiment.name == CONTENTCTR else _spread(_gaps(runs, experiment.name), sign="+"),
        "" if paper is None else f"{paper:.4f}",
        "" if paper in (None, paper_ours) else f"{(paper or 0) - paper_ours:+.4f}",
    ]
    if with_ratio:
        cells += [
            _spread(_values(runs, experiment.name, "mean_ratio")),
            "" if experiment.paper_ratio is None else f"{experiment.paper_ratio:.4f}",
            _spread(_values(runs, experiment.name, "ratio_of_means")),
        ]
    return cells


def _findings(runs: Runs) -> list[str]:
    """What agrees with the paper and what does not, as the numbers say it."""
    lines = ["## What agrees, and what does not", ""]
    ids = [each.name for each in ID_BASELINES]
    gaps = np.array([_gaps(runs, name) for name in ids])
    lines.append(
        f"- ContentCTR above every ID baseline in every seed: {_yes(bool((gaps < 0).all()))}"
        f" (smallest gap {-gaps.max():.4f})."
    )
    without = {each.name: np.mean(_gaps(runs, each.name)) for each in MODALITIES[1:]}
    worst = min(without, key=lambda name: float(without[name]))
    lines.append(f"- Without the picture it is worst: {_yes(worst == 'w/o visual')} ({worst}).")
    for title, experiments in TABLES.items():
        for each in experiments:
            if each.paper_tau is None or each.name == CONTENTCTR or each.name in ids:
                continue
            found, paper = np.array(_gaps(runs, each.name)), each.paper_tau - 0.5919
            lines.append(f"- {title.split(':')[0]}, {each.name}: {_verdict(found, paper)}")
    return [*lines, ""]


def _verdict(gaps: np.ndarray, paper: float) -> str:
    mean, spread = float(gaps.mean()), float(gaps.std(ddof=1))
    numbers = f"{mean:+.4f} ± {spread:.4f} here, {paper:+.4f} in the paper"
    if abs(mean) <= spread:
        return f"no difference beyond the seeds' spread ({numbers})."
    same = (mean < 0) == (paper < 0)
    return f"{'the same direction' if same else 'THE OTHER DIRECTION'} ({numbers})."


def _values(runs: Runs, name: str, measure: str) -> list[float]:
    return [float(run[measure]) for run in runs[name]]


def _gaps(runs: Runs, name: str) -> list[float]:
    """Seed by seed, how far a method is above ContentCTR."""
    ours = _values(runs, CONTENTCTR, "tau")
    return [a - b for a, b in zip(_values(runs, name, "tau"), ours, strict=True)]


def _spread(values: Sequence[float], sign: str = "") -> str:
    return f"{np.mean(values):{sign}.4f} ± {np.std(values, ddof=1):.4f}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _yes(holds: bool) -> str:
    return "yes" if holds else "NO"
