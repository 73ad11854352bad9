"""How well predicted CTRs order and match what was measured."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limelight.kernels.ranking import kendall_tau, mean_where_defined
from limelight.models.training.network import TrainedNetwork
from limelight.models.training.sequences import Sequences

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Measures of predictions against measured CTRs.

    `tau` is the mean Kendall's tau over windows of a room's segments (eq. 15), `windows` how many
    had one; `undefined` had only ties. `mean_ratio` is the paper's "avg. s/y", the mean of
    predicted over measured CTR; `ratio_of_means` is 1 for calibrated predictions. Both are NaN
    where nobody clicked.
    """

    tau: float
    windows: int
    undefined: int
    log_loss: float
    mean_ratio: float
    ratio_of_means: float


def evaluate(
    predicted: Sequence[NDArray[np.floating]],
    measured: Sequence[NDArray[np.floating]],
    window_length: int = 20,
) -> Evaluation:
    """The measures over rooms, each with (S,) predicted and (S,) measured CTRs, NaN where unknown.

    Windows follow each other without overlap; what is left at a room's end, shorter than a window,
    is left out of tau. A window with fewer than two measured segments has none.

    Raises:
        ValueError: no room has a measured segment, or lengths differ.
    """
    _check_lengths(predicted, measured)
    taus = np.concatenate([np.empty(0), *window_taus(predicted, measured, window_length)])
    mean, undefined = mean_where_defined(taus)
    ctrs = np.concatenate([np.asarray(each, np.float64) for each in predicted])
    actuals = np.concatenate([np.asarray(each, np.float64) for each in measured])
    known = ~np.isnan(actuals)
    if not known.any():
        raise ValueError("ctr: found only NaN, expected at least one measured segment")
    ctrs, actuals = ctrs[known], actuals[known]
    positive = actuals > 0
    has_clicks = bool(positive.any())
    return Evaluation(
        tau=float(mean),
        windows=len(taus) - undefined,
        undefined=undefined,
        log_loss=float(log_losses(ctrs, actuals).mean()),
        mean_ratio=float((ctrs[positive] / actuals[positive]).mean()) if has_clicks else math.nan,
        ratio_of_means=float(ctrs.mean() / actuals.mean()) if has_clicks else math.nan,
    )


def window_taus(
    predicted: Sequence[NDArray[np.floating]],
    measured: Sequence[NDArray[np.floating]],
    window_length: int,
) -> list[Floats]:
    """Kendall's tau of each room's windows, NaN where fewer than two segments are measured.

    Windows follow each other without overlap; what is left at a room's end has none.
    """
    counts = [len(actual) // window_length for actual in measured]
    whole = [count * window_length for count in counts]
    ours, theirs = (
        np.concatenate(
            [np.empty(0, np.float32), *(row[:end] for row, end in zip(rows, whole, strict=True))]
        ).reshape(-1, window_length)
        for rows in (predicted, measured)
    )
    taus = known_taus(ours, theirs)
    return np.split(taus, np.cumsum(counts)[:-1]) if counts else []


def known_taus(predicted: NDArray[np.floating], measured: NDArray[np.floating]) -> Floats:
    """(B,) Kendall's tau of rows of (B, N) over what is not NaN in `measured`; NaN if undefined."""
    known = ~np.isnan(measured)
    counts = known.sum(axis=1)
    taus = np.full(len(measured), np.nan)
    # The kernel takes rows of one length: those with as many known go together.
    for count in np.unique(counts[counts >= 2]):
        rows = counts == count
        of_rows = known & rows[:, None]
        taus[rows] = kendall_tau(
            predicted[of_rows].reshape(-1, count), measured[of_rows].reshape(-1, count)
        )
    return taus


def log_losses(ctr: NDArray[np.floating], actual: NDArray[np.floating]) -> Floats:
    """(n,) nats of each measured CTR under the predicted one, finite even where that is 0 or 1."""
    clipped = np.asarray(ctr, np.float64).clip(1e-7, 1 - 1e-7)
    losses: Floats = -(actual * np.log(clipped) + (1 - actual) * np.log(1 - clipped))
    return losses


@torch.no_grad()
def predict(network: TrainedNetwork, sequences: Sequences) -> list[Floats]:
    """(S,) CTRs of each room, each segment from what came before it (the rolling semantics)."""
    was_training = network.training
    network.eval()
    device = next(network.parameters()).device
    found: list[Tensor] = []
    for batch in sequences.rooms():
        found += list(network.logits(batch.to(device)).sigmoid().double().cpu())
    network.train(was_training)
    return _unpadded(found, sequences)


def measured_ctrs(sequences: Sequences) -> list[Floats]:
    """(S,) measured CTRs of each room, NaN where unknown."""
    found: list[Tensor] = []
    for batch in sequences.rooms():
        found += list(torch.where(batch.measured, batch.ctr, torch.nan).double())
    return _unpadded(found, sequences)


def _check_lengths(
    predicted: Sequence[NDArray[np.floating]], measured: Sequence[NDArray[np.floating]]
) -> None:
    if len(predicted) != len(measured):
        raise ValueError(
            f"rooms: found {len(predicted)} predicted, expected {len(measured)} as measured"
        )
    for room, (ctr, actual) in enumerate(zip(predicted, measured, strict=True)):
        if len(ctr) != len(actual):
            raise ValueError(
                f"room {room}: found {len(ctr)} predicted segments, expected {len(actual)}"
                " as measured"
            )


def _unpadded(rows: list[Tensor], sequences: Sequences) -> list[Floats]:
    lengths = sequences.lengths.tolist()
    return [row[:length].numpy() for row, length in zip(rows, lengths, strict=True)]
