"""Trains a network of ids on click-through rates, and predicts with it.

The library's own `fit` is not used: it prints, shuffles by torch's global generator, cannot stop
at the best epoch without writing files, and computes classification metrics, which soft labels do
not have. What it computes is kept, and a test holds the two side by side: binary cross entropy
summed over the batch, plus the weight penalty, by Adam.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy

from limelight.models.baselines.deepctr_library import weight_penalty

_PREDICTED_ROWS = 8192


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How a network is trained.

    Args:
        epochs: passes over the rows; with rows to validate on, the most.
        batch_rows: rows of one step.
        learning_rate: Adam's.
        patience_epochs: with rows to validate on, how many epochs without a better cross entropy
            are tried before stopping.

    Raises:
        ValueError: one that is not positive.
    """

    epochs: int = 10
    batch_rows: int = 256
    learning_rate: float = 1e-3
    patience_epochs: int = 2

    def __post_init__(self) -> None:
        for name in self.__slots__:
            found = getattr(self, name)
            if not found > 0:
                raise ValueError(f"{name}: found {found}, expected more than 0")


@dataclass(frozen=True, slots=True)
class Rows:
    """What is learnt from: n rows of ids and their CTR.

    Args:
        ids: (n, C) integers from 0, below each column's vocabulary size.
        ctr: (n,) in [0, 1]; 0 and 1 where a row is one impression.

    Raises:
        ValueError: no rows, shapes that do not fit, a CTR outside [0, 1] or NaN.
    """

    ids: NDArray[np.integer[Any]]
    ctr: NDArray[np.floating[Any]]

    def __post_init__(self) -> None:
        if self.ids.ndim != 2 or self.ctr.shape != self.ids.shape[:1] or not len(self.ctr):
            raise ValueError(
                f"rows: found ids of shape {self.ids.shape} and ctr of shape {self.ctr.shape},"
                " expected (n, C) and (n,), n at least 1"
            )
        outside = ~((self.ctr >= 0) & (self.ctr <= 1))
        if outside.any():
            row = int(np.argmax(outside))
            raise ValueError(f"ctr[{row}]: found {self.ctr[row]}, expected 0 to 1")


def train(
    network: nn.Module,
    rows: Rows,
    config: TrainingConfig,
    *,
    seed: int,
    validation: Rows | None = None,
) -> int:
    """Trains the network in place and returns after how many epochs its weights were kept.

    With `validation` that is the epoch of the lowest cross entropy there, otherwise the last. On a
    CPU the same seed gives the same weights; torch's global random state is neither read nor
    changed.

    Raises:
        ValueError: the weights diverge.
    """
    device = next(network.parameters()).device
    ids, ctr = _ids_tensor(rows.ids, device), torch.from_numpy(rows.ctr).float().to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    order = torch.Generator().manual_seed(seed)
    lowest, kept_epoch = float("inf"), 0
    kept_weights: dict[str, Tensor] = {}
    for epoch in range(1, config.epochs + 1):
        network.train()
        for batch in _batches(len(ids), config.batch_rows, order, device):
            optimizer.zero_grad()
            predicted = network(ids[batch])[:, 0]  # (b, 1) -> (b,)
            if predicted.isnan().any():
                raise _diverged(epoch, config)
            loss = binary_cross_entropy(predicted, ctr[batch], reduction="sum")
            (loss + weight_penalty(network)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        if validation is None:
            continue
        found = cross_entropy(validation.ctr, predict_ctr(network, validation.ids))
        if found < lowest:
            lowest, kept_epoch = found, epoch
            kept_weights = {key: value.clone() for key, value in network.state_dict().items()}
        elif epoch - kept_epoch >= config.patience_epochs:
            break
    if validation is None:
        return config.epochs
    if not kept_epoch:
        raise _diverged(1, config)
    network.load_state_dict(kept_weights)
    return kept_epoch


def predict_ctr(network: nn.Module, ids: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """(n,) CTR in [0, 1] of rows of ids (n, C)."""
    device = next(network.parameters()).device
    network.eval()
    with torch.inference_mode():
        found = [
            network(part)[:, 0].double().cpu().numpy()
            for part in torch.split(_ids_tensor(ids, device), _PREDICTED_ROWS)
        ]
    return np.concatenate(found)


def cross_entropy(actual: NDArray[Any], predicted: NDArray[Any]) -> float:
    """Mean binary cross entropy in nats of CTRs, predictions kept 1e-7 away from 0 and 1."""
    kept = np.clip(predicted.astype(np.float64), 1e-7, 1 - 1e-7)
    return float(-np.mean(actual * np.log(kept) + (1 - actual) * np.log1p(-kept)))


def _diverged(epoch: int, config: TrainingConfig) -> ValueError:
    return ValueError(
        f"epoch {epoch}: found predictions of NaN, expected numbers: the learning rate of"
        f" {config.learning_rate} is too high"
    )


def _ids_tensor(ids: NDArray[np.integer[Any]], device: torch.device) -> Tensor:
    return torch.from_numpy(ids.astype(np.float32)).to(device)


def _batches(
    rows: int, batch_rows: int, order: torch.Generator, device: torch.device
) -> Iterator[Tensor]:
    yield from torch.split(torch.randperm(rows, generator=order).to(device), batch_rows)
