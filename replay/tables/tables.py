"""`limelight tables`: the paper's Tables 1, 3 and 4 on simulated platforms, written as Markdown."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from limelight.replay.tables.experiment_run import RunSize, find_run, run_and_store
from limelight.replay.tables.experiments import (
    CONTENTCTR,
    ID_BASELINES,
    LOSSES,
    MODALITIES,
    PAPER_TAU,
    TABLES,
    Experiment,
    all_experiments,
)
from limelight.replay.tables.markdown import between_markers, row, spread

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
    runs: Runs = {each.name: [] for each in all_experiments()}
    wanted = []
    for seed in range(options.seeds):
        for each in all_experiments():
            stored = find_run(each, seed, options.size, options.work)
            if stored is None:
                wanted.append((each, seed))
            else:
                runs[each.name].append(stored)
    if wanted:
        _run_all(wanted, options, runs, console)
    for found_runs in runs.values():
        found_runs.sort(key=lambda run: run["seed"])
    between_markers(options.out, "tables", [*tables_text(runs), *_findings(runs)])
    return runs


def _run_all(
    wanted: list[tuple[Experiment, int]], options: TableOptions, runs: Runs, console: Console
) -> None:
    """Make the runs, several processes at once, and add their measures to `runs`."""
    # Spawned: a forked child would inherit threads of torch in an unknown state.
    context = multiprocessing.get_context("spawn")
    columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        ProcessPoolExecutor(options.processes, mp_context=context) as pool,
        Progress(*columns, console=console) as progress,
    ):
        task = progress.add_task("training", total=len(wanted))
        futures = [
            pool.submit(run_and_store, each, seed, options.size, options.work)
            for each, seed in wanted
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


def tables_text(runs: Runs) -> list[str]:
    """The tables' Markdown lines: mean and standard deviation over the seeds, beside the paper."""
    lines = []
    for title, experiments in TABLES.items():
        with_ratio = experiments is LOSSES
        lines += ["", f"## {title}", ""]
        head = ["method", "tau", "against ContentCTR", "tau, paper", "against ContentCTR, paper"]
        head += ["avg. s/y", "avg. s/y, paper", "mean s / mean y"] if with_ratio else []
        lines += [row(head), row(["---"] * len(head))]
        lines += [row(_cells(each, runs, with_ratio)) for each in experiments]
    return [*lines, ""]


def _cells(experiment: Experiment, runs: Runs, with_ratio: bool) -> list[str]:
    paper = experiment.paper_tau
    cells = [
        experiment.name,
        spread(_values(runs, experiment.name, "tau")),
        "" if experiment.name == CONTENTCTR else spread(_gaps(runs, experiment.name), sign="+"),
        "" if paper is None else f"{paper:.4f}",
        "" if paper is None or paper == PAPER_TAU else f"{paper - PAPER_TAU:+.4f}",
    ]
    if with_ratio:
        cells += [
            spread(_values(runs, experiment.name, "mean_ratio")),
            "" if experiment.paper_ratio is None else f"{experiment.paper_ratio:.4f}",
            spread(_values(runs, experiment.name, "ratio_of_means")),
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
            found, paper = np.array(_gaps(runs, each.name)), each.paper_tau - PAPER_TAU
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


def _yes(holds: bool) -> str:
    return "yes" if holds else "NO"
