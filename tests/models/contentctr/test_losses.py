"""The losses against numbers worked out by hand and sums written as loops."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from limelight.models.contentctr.losses import (
    LITERAL_READING,
    RELEASE_READING,
    AlignmentReading,
    alignment_loss,
    pairwise_loss,
    pointwise_loss,
)

NAN = math.nan


def logits_of(*ctrs: float) -> Tensor:
    return torch.tensor([ctrs], dtype=torch.float64).logit()


def measured(ctr: Tensor) -> Tensor:
    return ~ctr.isnan()


def test_pointwise_loss_of_two_segments_by_hand() -> None:
    # -(1.0 ln 0.8 + 0 ln 0.2) = 0.223144 and -(0.25 ln 0.5 + 0.75 ln 0.5) = 0.693147
    actual = torch.tensor([[1.0, 0.25]], dtype=torch.float64)
    found = pointwise_loss(logits_of(0.8, 0.5), actual, measured(actual))
    assert found.item() == pytest.approx((0.223144 + 0.693147) / 2, abs=1e-6)


def test_what_was_not_measured_has_no_loss_and_no_gradient() -> None:
    actual = torch.tensor([[0.3, NAN, 0.6]], dtype=torch.float64)
    logits = logits_of(0.8, 0.9, 0.5).requires_grad_()
    found = pointwise_loss(logits, actual, measured(actual)) + pairwise_loss(
        logits, actual, measured(actual)
    )
    found.backward()
    assert torch.isfinite(found)
    assert logits.grad[0, 1] == 0
    assert (logits.grad[0, [0, 2]] != 0).all()


# Three segments, y = 0.9, 0.5, 0.1 and s = 0.6, 0.7, 0.2, sigma 10. Pairs with y_i > y_j:
#   (0,1): y 0.4, s -0.1 -> ln(1 + e^1)  = 1.313262   wrong order
#   (0,2): y 0.8, s  0.4 -> ln(1 + e^-4) = 0.018150   between
#   (1,2): y 0.4, s  0.5 -> ln(1 + e^-5) = 0.006715   beyond the actual difference
@pytest.mark.parametrize(
    ("boundary", "expected"),
    [
        ("none", (1.313262 + 0.018150 + 0.006715) / 3),
        ("below-actual", (1.313262 + 0.018150) / 2),
        ("wrong-order", 1.313262),
        ("between", 0.018150),
    ],
)
def test_pairwise_loss_of_three_segments_by_hand(boundary, expected) -> None:
    actual = torch.tensor([[0.9, 0.5, 0.1]], dtype=torch.float64)
    found = pairwise_loss(logits_of(0.6, 0.7, 0.2), actual, measured(actual), boundary=boundary)
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_a_constant_label_has_no_pairs() -> None:
    actual = torch.full((2, 5), 0.3)
    logits = torch.randn(2, 5, requires_grad=True)
    found = pairwise_loss(logits, actual, measured(actual))
    found.backward()
    assert found.item() == 0
    assert (logits.grad == 0).all()


def test_pairs_never_cross_rooms() -> None:
    actual = torch.tensor([[0.9, 0.9], [0.1, 0.1]])
    assert pairwise_loss(torch.randn(2, 2), actual, measured(actual)).item() == 0


def test_an_unknown_boundary_is_named() -> None:
    one = torch.zeros(1, 2)
    with pytest.raises(ValueError, match=r"boundary: found 'up', expected one of .*wrong-order"):
        pairwise_loss(one, one, measured(one), boundary="up")


def tokens_of(pictures: list[list[float]], texts: list[list[float]]) -> Tensor:
    return torch.stack([torch.tensor(pictures), torch.tensor(texts)], 1)[None]


def every_path(rows: int, columns: int) -> list[list[tuple[int, int]]]:
    """All monotone paths from (0, 0) to the last cell."""
    if rows == 1 and columns == 1:
        return [[(0, 0)]]
    shorter: list[list[tuple[int, int]]] = []
    for r, c in ((rows - 1, columns - 1), (rows - 1, columns), (rows, columns - 1)):
        if r and c:
            shorter += every_path(r, c)
    return [[*path, (rows - 1, columns - 1)] for path in shorter]


def loss_by_loops(tokens: Tensor, present: Tensor, reading: AlignmentReading, orders) -> float:
    """Eq. 7-9 for one room: DTW by trying every path, `orders` of the pictures given."""
    pictures = [tokens[0, at, 0].double() for at in range(tokens.shape[1]) if present[0, at, 0]]
    texts = [tokens[0, at, 1].double() for at in range(tokens.shape[1]) if present[0, at, 1]]

    def cost(text: Tensor, picture: Tensor) -> float:
        cosine = float(text @ picture) / (float(text.norm() * picture.norm()) + 0.01)
        return cosine if reading.cost == "cosine" else 1 - cosine

    def distance(order: list[int]) -> float:
        sums = [
            sum(cost(texts[i], pictures[order[j]]) for i, j in path)
            for path in every_path(len(texts), len(pictures))
        ]
        if reading.gamma == 0:
            return min(sums)
        return -reading.gamma * math.log(sum(math.exp(-each / reading.gamma) for each in sums))

    sign = 1 if reading.cost == "cosine" else -1
    closeness = [sign * distance(list(order)) / reading.temperature for order in orders]
    return math.log(sum(math.exp(each) for each in closeness)) - closeness[0]


@pytest.mark.parametrize("reading", [RELEASE_READING, LITERAL_READING])
def test_alignment_loss_agrees_with_every_path_tried(reading: AlignmentReading) -> None:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(1, 4, 2, 3, generator=generator)
    present = torch.tensor([[[True, True], [True, False], [True, True], [False, True]]])
    found = alignment_loss(tokens, present, reading=reading, generator=generator.manual_seed(1))
    # Three pictures are present: find which of their orders the generator chose.
    keys = torch.rand(1, reading.num_negatives, 4, generator=generator.manual_seed(1))
    orders = [(0, 1, 2)] + [tuple(row.argsort().tolist()) for row in keys[0, :, :3]]
    assert set(orders) <= set(itertools.permutations(range(3)))
    expected = loss_by_loops(tokens, present, reading, orders)
    assert found.item() == pytest.approx(expected, abs=1e-5)


def test_two_pictures_in_order_by_hand() -> None:
    # Text and picture equal: cost ~0 on the diagonal and ~1 off it. In order the distance is ~0,
    # swapped it is ~2 (a detour around costs 1 + 0 + 1), so the loss is ln(1 + e^-2) = 0.126928
    # where the order drawn is the swapped one, and ln 2 where it is the true one.
    tokens = tokens_of([[100.0, 0.0], [0.0, 100.0]], [[100.0, 0.0], [0.0, 100.0]])
    present = torch.ones(1, 2, 2, dtype=torch.bool)
    reading = AlignmentReading(gamma=0.0, num_negatives=1)
    losses = {round(alignment_loss(tokens, present, reading=reading).item(), 4) for _ in range(40)}
    assert losses == {0.1269, 0.6931}


def test_misaligned_modalities_are_pulled_together() -> None:
    torch.manual_seed(0)
    tokens = torch.randn(4, 8, 2, 16, requires_grad=True)
    present = torch.ones(4, 8, 2, dtype=torch.bool)
    optimizer = torch.optim.Adam([tokens], lr=0.05)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = alignment_loss(tokens, present)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


def test_rooms_without_two_of_each_are_left_out() -> None:
    tokens = torch.randn(2, 5, 2, 4, requires_grad=True)
    present = torch.ones(2, 5, 2, dtype=torch.bool)
    present[1, 1:, 1] = False
    alone = alignment_loss(tokens[:1], present[:1], generator=torch.Generator().manual_seed(3))
    found = alignment_loss(tokens, present, generator=torch.Generator().manual_seed(3))
    assert found.item() == pytest.approx(alone.item(), rel=1e-6)
    found = alignment_loss(tokens, present & False)
    found.backward()
    assert found.item() == 0
    assert (tokens.grad == 0).all()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"gamma": -0.1}, "gamma: found -0.1"),
        ({"temperature": 0.0}, "temperature: found 0.0"),
        ({"num_negatives": 0}, "num_negatives: found 0"),
        ({"cost": "euclid"}, "cost: found 'euclid'"),
    ],
)
def test_a_reading_refuses_what_makes_no_sense(change, text) -> None:
    with pytest.raises(ValueError, match=text):
        AlignmentReading(**change)
