"""What ContentCTR is trained by: pointwise, pairwise and alignment losses (eq. 6-14).

Everywhere `measured` says which labels count: a segment that too few people saw has none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from limelight.models.dtw import dtw

Boundary = Literal["none", "below-actual", "wrong-order", "between"]

# Which pairs with y_i > y_j count, of (s_i - s_j, y_i - y_j): L_pair^0 .. L_pair^3, eq. 10-13.
_BOUNDARIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "none": lambda predicted, actual: torch.ones_like(predicted, dtype=torch.bool),
    "below-actual": lambda predicted, actual: predicted <= actual,
    "wrong-order": lambda predicted, actual: predicted <= 0,
    "between": lambda predicted, actual: (predicted > 0) & (predicted < actual),
}


def pointwise_loss(logits: Tensor, ctr: Tensor, measured: Tensor) -> Tensor:
    """Mean log loss of the measured segments, a scalar; 0 of none (eq. 6).

    Args:
        logits: (B, S), before the sigmoid.
        ctr: (B, S) in [0, 1]; whatever stands where nothing was measured is not looked at.
        measured: (B, S) bool.
    """
    losses = F.binary_cross_entropy_with_logits(
        logits, ctr.masked_fill(~measured, 0.0), reduction="none"
    )
    return _mean_where(losses, measured)


def pairwise_loss(
    logits: Tensor,
    ctr: Tensor,
    measured: Tensor,
    *,
    boundary: Boundary = "below-actual",
    sigma: float = 10.0,
) -> Tensor:
    """Mean logistic ranking loss over the pairs of a room with y_i > y_j, a scalar; 0 of none.

    The paper writes a sum; the authors' release takes the mean over the pairs that count, which
    does not grow with the window's length.

    Args:
        logits, ctr, measured: as `pointwise_loss`.
        boundary: which of those pairs count: "none" all (eq. 10), "below-actual" those predicted
            no further apart than they are (eq. 11), "wrong-order" those predicted the other way
            round (eq. 12), "between" those in the right order and not yet far enough (eq. 13).
        sigma: how sharply the loss falls with the difference of the predicted CTRs.

    Raises:
        ValueError: an unknown boundary.
    """
    if boundary not in _BOUNDARIES:
        raise ValueError(f"boundary: found {boundary!r}, expected one of {list(_BOUNDARIES)}")
    predicted = _differences(logits.sigmoid())
    actual = _differences(ctr.masked_fill(~measured, 0.0))
    both = measured[:, :, None] & measured[:, None, :]
    counts = both & (actual > 0) & _BOUNDARIES[boundary](predicted.detach(), actual)
    return _mean_where(F.softplus(-sigma * predicted), counts)


@dataclass(frozen=True, slots=True)
class AlignmentReading:
    """How eq. 7-9 are read.

    The paper calls the cosine similarity a distance, takes the hard minimum, and raises the
    probability of the greatest sum. The authors' release takes 1 - cosine as the cost, the soft
    minimum, and raises the probability of the smallest distance.
    """

    cost: Literal["one-minus-cosine", "cosine"] = "one-minus-cosine"
    gamma: float = 0.1
    temperature: float = 1.0
    num_negatives: int = 7

    def __post_init__(self) -> None:
        if self.cost not in ("one-minus-cosine", "cosine"):
            raise ValueError(f"cost: found {self.cost!r}, expected one-minus-cosine or cosine")
        if self.gamma < 0:
            raise ValueError(f"gamma: found {self.gamma}, expected at least 0")
        if not self.temperature > 0:
            raise ValueError(f"temperature: found {self.temperature}, expected more than 0")
        if self.num_negatives < 1:
            raise ValueError(f"num_negatives: found {self.num_negatives}, expected at least 1")


RELEASE_READING = AlignmentReading()
LITERAL_READING = AlignmentReading("cosine", gamma=0.0, num_negatives=8)

# In the denominator of the cosine, as the authors' release has it: a zero vector is like nothing.
_COSINE_EPSILON = 0.01


def alignment_loss(
    tokens: Tensor,
    present: Tensor,
    *,
    reading: AlignmentReading = RELEASE_READING,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Mean contrastive loss of a room's text against its pictures in order and shuffled (eq. 9).

    Texts and pictures that are missing are left out of their sequence, so the two may differ in
    length. Rooms with fewer than two of either say nothing about order and are left out.

    Args:
        tokens: (B, S, 2, C), pictures first: S_p and S_a of eq. 2.
        present: (B, S, 2) bool.
        reading: see `AlignmentReading`.
        generator: for the shuffled orders; a CPU one.

    Returns:
        A scalar; 0 when no room is left.
    """
    tellable = (present.sum(1) >= 2).all(1)
    tokens, present = tokens[tellable], present[tellable]
    if not len(tokens):
        return tokens.sum() * 0.0
    lengths = present.sum(1)  # (B, 2)
    pictures, texts = (_present_first(tokens[:, :, k], present[:, :, k]) for k in (0, 1))
    cost = alignment_cost(texts, pictures, reading)  # (B, S, S)
    orders = _shuffled_orders(lengths[:, 0], cost.shape[2], reading.num_negatives, generator)
    # One DTW call for the true order and the shuffled ones: (B, 1 + negatives, S, S).
    shuffled = cost[:, None].expand(-1, orders.shape[1], -1, -1)
    columns = orders[:, :, None, :].expand(-1, -1, cost.shape[1], -1)
    costs = torch.cat([cost[:, None], shuffled.gather(3, columns)], 1)
    each = lengths.flip(1).repeat_interleave(costs.shape[1], 0)  # rows are texts
    distances = dtw(costs.flatten(0, 1), gamma=reading.gamma, lengths=each)
    distances = distances.view(costs.shape[:2]) / reading.temperature
    closeness = distances if reading.cost == "cosine" else -distances
    loss: Tensor = (closeness.logsumexp(1) - closeness[:, 0]).mean()
    return loss


def alignment_cost(texts: Tensor, pictures: Tensor, reading: AlignmentReading) -> Tensor:
    """(B, S, S): D of eq. 7, rows are texts."""
    # The kernels take float32; under mixed precision the tokens may be narrower.
    texts, pictures = texts.float(), pictures.float()
    norms = texts.norm(dim=-1)[:, :, None] * pictures.norm(dim=-1)[:, None, :]
    cosine: Tensor = texts @ pictures.transpose(1, 2) / (norms + _COSINE_EPSILON)
    return cosine if reading.cost == "cosine" else 1 - cosine


def _present_first(sequence: Tensor, present: Tensor) -> Tensor:
    """The sequences (B, S, C) with what is present moved to the front, in its order."""
    order = (~present).to(torch.uint8).argsort(dim=1, stable=True)
    return sequence.gather(1, order[..., None].expand_as(sequence))


def _shuffled_orders(
    lengths: Tensor, size: int, count: int, generator: torch.Generator | None
) -> Tensor:
    """(B, count, size) int64: random orders of the first `lengths` places, the rest as it was."""
    places = torch.arange(size)
    keys = torch.rand(len(lengths), count, size, generator=generator)
    beyond = places >= lengths.cpu()[:, None]  # (B, size)
    # What lies beyond the sequence sorts behind all of it, in its own order.
    keys = torch.where(beyond[:, None], 1.0 + places.float(), keys)
    return keys.argsort(dim=2).to(lengths.device)


def _differences(values: Tensor) -> Tensor:
    return values[:, :, None] - values[:, None, :]  # (B, S) -> (B, S, S), [i, j] = v_i - v_j


def _mean_where(losses: Tensor, counts: Tensor) -> Tensor:
    """The mean of those that count; 0, with a gradient of 0, of none."""
    return torch.where(counts, losses, 0.0).sum() / counts.sum().clamp(min=1)
