from itertools import pairwise

import numpy as np
import pytest

from limelight.kernels.random_walks import NO_NODE, random_walks

# A triangle 0-1 (weight 1), 0-2 (3), 1-2 (2), and node 3 apart.
OFFSETS = np.array([0, 2, 4, 6, 6])
NEIGHBOURS = np.array([1, 2, 0, 2, 0, 1])
WEIGHTS = np.array([1.0, 3.0, 1.0, 2.0, 3.0, 2.0])
WEIGHT_OF = {(0, 1): 1, (0, 2): 3, (1, 0): 1, (1, 2): 2, (2, 0): 3, (2, 1): 2}


def test_steps_are_as_frequent_as_their_edges_weigh() -> None:
    walks = random_walks(OFFSETS, NEIGHBOURS, WEIGHTS, np.zeros(2000, int), 50, seed=7)
    steps = np.zeros((3, 3))
    for walk in walks.tolist():
        for step in pairwise(walk):
            steps[step] += 1
    for node in range(3):
        leaving = steps[node].sum()
        total = sum(weight for edge, weight in WEIGHT_OF.items() if edge[0] == node)
        for other in range(3):
            share = WEIGHT_OF.get((node, other), 0) / total
            # Four standard deviations of a share that was drawn so often.
            noise = 4 * np.sqrt(share * (1 - share) / leaving)
            assert abs(steps[node, other] / leaving - share) <= noise


def test_many_neighbours_of_uneven_weights_are_as_frequent_as_they_weigh() -> None:
    rng = np.random.default_rng(0)
    leaves = 40
    weights = rng.pareto(1.0, leaves) + 0.01
    # A star: node 0 and its leaves.
    offsets = np.concatenate([[0], leaves + np.arange(leaves + 1)])
    neighbours = np.concatenate([np.arange(1, leaves + 1), np.zeros(leaves, int)])
    both_ways = np.concatenate([weights, weights])
    walks = random_walks(offsets, neighbours, both_ways, np.zeros(1000, int), 201, seed=1)
    assert (walks[:, ::2] == 0).all()
    counts = np.bincount(walks[:, 1::2].ravel(), minlength=leaves + 1)[1:]
    expected = weights / weights.sum() * counts.sum()
    # Chi-square of 39 degrees of freedom: 72 is passed once in a thousand times.
    assert ((counts - expected) ** 2 / expected).sum() < 72


def test_the_first_step_is_drawn_anew_for_every_walk() -> None:
    walks = random_walks(OFFSETS, NEIGHBOURS, WEIGHTS, np.zeros(20_000, int), 2)
    assert np.mean(walks[:, 1] == 2) == pytest.approx(0.75, abs=0.0125)


def test_a_walk_from_a_node_without_edges_is_that_node_alone() -> None:
    walks = random_walks(OFFSETS, NEIGHBOURS, WEIGHTS, np.array([3, 0]), 4)
    assert walks[0].tolist() == [3, NO_NODE, NO_NODE, NO_NODE]
    assert (walks[1] >= 0).all()


def test_a_graph_without_edges_gives_walks_of_one_node() -> None:
    none = np.empty(0)
    walks = random_walks(np.zeros(4, int), none.astype(int), none, np.array([2, 0, 1]), 3)
    assert walks[:, 0].tolist() == [2, 0, 1]
    assert (walks[:, 1:] == NO_NODE).all()


def test_neither_threads_nor_other_walks_change_a_walk() -> None:
    starts = np.arange(1000) % 3
    alone = random_walks(OFFSETS, NEIGHBOURS, WEIGHTS, starts, 20, seed=3)
    for threads in (2, 5):
        shared = random_walks(OFFSETS, NEIGHBOURS, WEIGHTS, starts, 20, seed=3, threads=threads)
        np.testing.assert_array_equal(shared, alone)
    fewer = random_walks(OFFSETS, NEIGHBOURS, WEIGHTS, starts[:10], 20, seed=3)
    np.testing.assert_array_equal(fewer, alone[:10])


def test_another_seed_gives_other_walks() -> None:
    starts = np.zeros(100, int)
    first, second = (
        random_walks(OFFSETS, NEIGHBOURS, WEIGHTS, starts, 20, seed=seed) for seed in (0, 1)
    )
    assert (first != second).any(axis=1).mean() > 0.99


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"length": 0}, "length: found 0"),
        ({"seed": -1}, "seed: found -1"),
        ({"threads": 0}, "threads: found 0"),
        ({"weights": WEIGHTS * 0}, "weights: found one that is not finite or not above 0"),
        ({"weights": WEIGHTS[:5]}, r"weights: found shape \(5,\), expected \(6,\)"),
        ({"starts": np.array([4])}, "starts: expected one axis of nodes 0 to 3"),
        ({"offsets": np.array([0, 2, 4, 5, 5])}, "offsets: expected one axis from 0 to the 6"),
        ({"offsets": np.array([0, 4, 2, 6, 6])}, "offsets: found a smaller one"),
        ({"neighbours": np.array([1, 2, 0, 3, 0, 1])}, "neighbours: found a node without edges"),
    ],
)
def test_what_is_no_graph_is_refused(changes: dict[str, object], message: str) -> None:
    given = {
        "offsets": OFFSETS,
        "neighbours": NEIGHBOURS,
        "weights": WEIGHTS,
        "starts": np.array([0]),
        "length": 3,
    }
    with pytest.raises(ValueError, match=message):
        random_walks(**(given | changes))  # type: ignore[arg-type]
