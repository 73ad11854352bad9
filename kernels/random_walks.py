"""Weighted random walks on a graph: the sequences of DeepWalk.

A graph is given as CSR: the neighbours of node i are `neighbours[offsets[i] : offsets[i + 1]]`, an
edge between two nodes standing with both. Each walk draws from numbers of its own, a function of
seed, walk and step, so neither the number of threads nor the other walks change it.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from limelight.kernels.threads import run_in_threads

NO_NODE = -1
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_TO_UNIT = 1.0 / 2**53
# Walks that go on in turn: one waits for memory while the others compute.
_TOGETHER = 16


def random_walks(
    offsets: NDArray[np.integer],
    neighbours: NDArray[np.integer],
    weights: NDArray[np.floating],
    starts: NDArray[np.integer],
    length: int,
    *,
    seed: int = 0,
    threads: int = 1,
) -> NDArray[np.int32]:
    """(W, length) int32 nodes of W walks, `NO_NODE` behind the end of a walk that cannot go on.

    From a node the next one is drawn among its neighbours, in proportion to the edges' weights
    (eq. 3 of Pu et al., restricted to the edges of the node). A walk ends early only at its start,
    where that node has no edge: it then is this node alone.

    Args:
        offsets: (N + 1,) ascending from 0 to E.
        neighbours: (E,) nodes 0 to N - 1.
        weights: (E,) above 0 and finite.
        starts: (W,) nodes 0 to N - 1.
        length: nodes of a walk, 1 and up.
        seed: 0 and up; the same seed gives the same walks.
        threads: how many to use; the GIL is not held.

    Raises:
        ValueError: a graph that is none, weights that are no weights, a start outside, a length or
            number of threads below 1, an edge that leads to a node without edges.
    """
    rows = np.ascontiguousarray(offsets, np.int64)
    ends = np.ascontiguousarray(neighbours, np.int32)
    first = np.ascontiguousarray(starts, np.int32)
    edges = np.ascontiguousarray(weights, np.float64)
    _check(rows, ends, edges, first, length, seed)
    # Walker's alias method: a step costs the same whatever the degree.
    chances, choices = np.empty_like(edges), np.empty((len(ends), 2), np.int32)
    _aliases(rows, ends, edges, chances, choices)
    walks = np.full((len(first), length), NO_NODE, np.int32)
    inputs = (rows, chances, choices, first, np.uint64(seed))
    run_in_threads(_walk, inputs, len(first), (walks,), threads)
    return walks


def _check(
    offsets: NDArray[np.int64],
    neighbours: NDArray[np.int32],
    weights: NDArray[np.float64],
    starts: NDArray[np.int32],
    length: int,
    seed: int,
) -> None:
    if length < 1:
        raise ValueError(f"length: found {length}, expected at least 1")
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed: found {seed}, expected 0 to 2**64 - 1")
    if neighbours.ndim != 1 or weights.shape != neighbours.shape:
        raise ValueError(f"weights: found shape {weights.shape}, expected {neighbours.shape}")
    if offsets.ndim != 1 or len(offsets) < 1 or offsets[0] != 0 or offsets[-1] != len(weights):
        raise ValueError(f"offsets: expected one axis from 0 to the {len(weights)} edges")
    if (np.diff(offsets) < 0).any():
        raise ValueError("offsets: found a smaller one behind a larger, expected ascending order")
    nodes = len(offsets) - 1
    for name, array in (("neighbours", neighbours), ("starts", starts)):
        if array.ndim != 1 or (array.size and not (array.min() >= 0 and array.max() < nodes)):
            raise ValueError(f"{name}: expected one axis of nodes 0 to {nodes - 1}")
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError("weights: found one that is not finite or not above 0")
    if neighbours.size and not (np.diff(offsets) > 0)[neighbours].all():
        raise ValueError("neighbours: found a node without edges, expected every edge both ways")


@njit(cache=True, nogil=True)
def _aliases(offsets, neighbours, weights, chances, choices):  # type: ignore[no-untyped-def]
    """Each slot of a node is drawn alike: by its chance it is the first choice, else the second."""
    most = 0
    for node in range(len(offsets) - 1):
        most = max(most, offsets[node + 1] - offsets[node])
    small, large = np.empty(most, np.int64), np.empty(most, np.int64)
    for node in range(len(offsets) - 1):
        first, last = offsets[node], offsets[node + 1]
        total = 0.0
        for edge in range(first, last):
            total += weights[edge]
        num_small = num_large = 0
        for edge in range(first, last):
            # 1 on average.
            chances[edge] = weights[edge] / total * (last - first)
            choices[edge] = neighbours[edge]
            if chances[edge] < 1:
                small[num_small] = edge
                num_small += 1
            else:
                large[num_large] = edge
                num_large += 1
        while num_small and num_large:
            num_small -= 1
            poor, rich = small[num_small], large[num_large - 1]
            choices[poor, 1] = neighbours[rich]
            chances[rich] -= 1 - chances[poor]
            if chances[rich] < 1:
                num_large -= 1
                small[num_small] = rich
                num_small += 1
        # What is left is full but for rounding.
        for place in range(num_small):
            chances[small[place]] = 1
        for place in range(num_large):
            chances[large[place]] = 1


@njit(cache=True, nogil=True)
def _walk(offsets, chances, choices, starts, seed, first, last, walks):  # type: ignore[no-untyped-def]
    length = walks.shape[1]
    nodes, states = np.empty(_TOGETHER, np.int64), np.empty(_TOGETHER, np.uint64)
    for begin in range(first, last, _TOGETHER):
        lanes = min(_TOGETHER, last - begin)
        for lane in range(lanes):
            # The state of a SplitMix64 generator; mixing the number first keeps walks apart.
            states[lane] = _mixed(seed + _GOLDEN * np.uint64(begin + lane + 1))
            nodes[lane] = starts[begin + lane]
            walks[begin + lane, 0] = nodes[lane]
        for step in range(1, length):
            for lane in range(lanes):
                edge = offsets[nodes[lane]]
                degree = offsets[nodes[lane] + 1] - edge
                if not degree:
                    continue
                states[lane] += _GOLDEN
                # One number in [0, 1) gives the slot, and what it lies above it the choice there.
                place = np.float64(_mixed(states[lane]) >> _S11) * _TO_UNIT * degree
                slot = np.int64(place)
                second = np.int64(place - slot >= chances[edge + slot])
                nodes[lane] = choices[edge + slot, second]
                walks[begin + lane, step] = nodes[lane]
    return True


@njit(cache=True, nogil=True, inline="always")
def _mixed(state):  # type: ignore[no-untyped-def]
    state = (state ^ (state >> _S30)) * _MIX_1
    state = (state ^ (state >> _S27)) * _MIX_2
    return state ^ (state >> _S31)
