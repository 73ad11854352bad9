"""Measures the four ID networks on KuaiRand-Pure, beside the library's own `fit`.

    python -m limelight.models.baselines.kuairand DATA/kuairand-pure --table FILE.md

Each network is trained twice from the same weights, on the same rows and for as many epochs: by
this package, which chooses the epochs on the last day but one, and as the library's examples do
(`compile`, `fit`, `predict`). The two columns should agree within their spread.
"""

import io
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from time import perf_counter
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from limelight.models.baselines.deepctr_library import (
    NETWORK_CLASSES,
    NetworkName,
    build_network,
    import_deepctr,
)
from limelight.models.baselines.kuairand_log import FEATURE_NAMES, DaySplit, read_day_split
from limelight.models.baselines.network_training import (
    Rows,
    TrainingConfig,
    cross_entropy,
    predict_ctr,
    train,
)

EMBEDDING_WIDTH = 8
TITLES: dict[NetworkName, str] = {
    "wdl": "W&D",
    "deepfm": "DeepFM",
    "difm": "DIFM",
    "dcn-m": "DCN-M",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """How well clicks were predicted: area under the ROC curve, mean cross entropy in nats."""

    auc: float
    log_loss: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """One network of one seed on the test day: by this package and by the library's `fit`."""

    ours: Measured
    librarys: Measured
    epochs: int


def measure(clicks: NDArray[np.floating], predicted: NDArray[np.float64]) -> Measured:
    """AUC and log loss of predicted click rates.

    Raises:
        ValueError: clicks are all 0 or all 1, which leaves the AUC undefined.
    """
    # Imported here: it takes a second, and comes with the extra only.
    from sklearn.metrics import roc_auc_score

    if len(np.unique(clicks)) < 2:
        raise ValueError(f"clicks: found {clicks[0]} everywhere, expected both 0 and 1")
    return Measured(float(roc_auc_score(clicks, predicted)), cross_entropy(clicks, predicted))


def compare(name: NetworkName, split: DaySplit, config: TrainingConfig, seed: int) -> Comparison:
    """Trains one network both ways and measures both on the test day."""
    network = build_network(
        name,
        split.vocabulary_sizes,
        embedding_width=EMBEDDING_WIDTH,
        seed=seed,
        device=torch.device("cpu"),
    )
    epochs = train(network, split.train, config, seed=seed, validation=split.validation)
    ours = predict_ctr(network, split.test.ids)
    librarys = library_predictions(name, split, config, epochs=epochs, seed=seed)
    return Comparison(measure(split.test.ctr, ours), measure(split.test.ctr, librarys), epochs)


def library_predictions(
    name: NetworkName, split: DaySplit, config: TrainingConfig, *, epochs: int, seed: int
) -> NDArray[np.float64]:
    """(n,) click rates of the test day by the library alone, used as its examples use it.

    Source: github.com/shenweichen/DeepCTR-Torch 0.3.0, examples/run_classification_criteo.py, with
        Adam as in examples/dcnmix_avazu.py.
    """
    library = import_deepctr()
    columns = [
        library.inputs.SparseFeat(column, size, embedding_dim=EMBEDDING_WIDTH)
        for column, size in split.vocabulary_sizes.items()
    ]

    def model_input(rows: Rows) -> dict[str, NDArray[np.integer]]:
        return {column: rows.ids[:, at] for at, column in enumerate(FEATURE_NAMES)}

    with torch.random.fork_rng([]), redirect_stdout(io.StringIO()):
        model = getattr(library.models, NETWORK_CLASSES[name])(columns, columns, seed=seed)
        optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
        model.compile(optimizer, "binary_crossentropy")
        model.fit(
            model_input(split.train),
            split.train.ctr,
            batch_size=config.batch_rows,
            epochs=epochs,
            verbose=0,
        )
        predicted: NDArray[np.float64] = model.predict(model_input(split.test), 8192)[:, 0]
    return predicted


def column_rate(split: DaySplit, column: str) -> Measured:
    """What the click rates of a column's values on the training days say of the test day.

    A value seen n times counts as much as 20 impressions at the rate of all.
    """
    at = FEATURE_NAMES.index(column)
    size = split.vocabulary_sizes[column]
    base_rate = split.train.ctr.mean(dtype=np.float64)
    seen = np.bincount(split.train.ids[:, at], minlength=size)
    clicked = np.bincount(split.train.ids[:, at], split.train.ctr, minlength=size)
    rates = (clicked + 20 * base_rate) / (seen + 20)
    return measure(split.test.ctr, rates[split.test.ids[:, at]])


def table(split: DaySplit, comparisons: dict[NetworkName, list[Comparison]]) -> str:
    """The figures as Markdown: mean ± standard deviation over seeds."""
    base_rate = split.train.ctr.mean(dtype=np.float64)
    constant = measure(split.test.ctr, np.full(len(split.test.ctr), base_rate))
    lines = [
        "| model | AUC | log loss | AUC, library's fit | log loss, library's fit | epochs |",
        "| --- | --- | --- | --- | --- | --- |",
        f"| training days' rate | {constant.auc:.4f} | {constant.log_loss:.4f} | | | |",
    ]
    for column in ("tab", "user_id", "video_id"):
        found = column_rate(split, column)
        lines.append(f"| rate of `{column}` | {found.auc:.4f} | {found.log_loss:.4f} | | | |")
    for name, found_by_seed in comparisons.items():
        cells = [_spread([figure(found) for found in found_by_seed]) for figure in _FIGURES]
        epochs = ", ".join(str(found.epochs) for found in found_by_seed)
        lines.append("| " + " | ".join((TITLES[name], *cells, epochs)) + " |")
    return "\n".join(lines) + "\n"


_FIGURES: tuple[Callable[[Comparison], float], ...] = (
    lambda found: found.ours.auc,
    lambda found: found.ours.log_loss,
    lambda found: found.librarys.auc,
    lambda found: found.librarys.log_loss,
)


def _spread(values: Sequence[float]) -> str:
    spread = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
    return f"{mean(values):.4f}{spread}"


def main(
    folder: Annotated[Path, typer.Argument(help="The folder of KuaiRand-Pure's val.parquet.")],
    table_file: Annotated[
        Path | None, typer.Option("--table", help="Write the table here, too.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds, from 0.")] = 3,
) -> None:
    """Print how well the four networks predict the clicks of KuaiRand's last day."""
    torch.set_num_threads(1)
    split = read_day_split(folder)
    config = TrainingConfig()
    for part in ("train", "validation", "test"):
        rows: Rows = getattr(split, part)
        typer.echo(f"{part}: {len(rows.ctr)} impressions, {rows.ctr.mean():.4f} clicked")
    comparisons: dict[NetworkName, list[Comparison]] = {}
    for name in TITLES:
        for seed in range(seeds):
            start = perf_counter()
            found = compare(name, split, config, seed)
            comparisons.setdefault(name, []).append(found)
            typer.echo(f"{TITLES[name]} seed {seed}: {found}, {perf_counter() - start:.0f} s")
    text = table(split, comparisons)
    typer.echo(text)
    if table_file is not None:
        table_file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
