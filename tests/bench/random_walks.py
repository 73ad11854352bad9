"""Weighted random walks on a tag graph, against DeepWalk's in plain Python.

The peer is what DeepWalk's reference does with an adjacency list, with weights: a walk asks
`random.choices` for the next node, the running sums of the weights made once. It is timed on a
twentieth of the walks and multiplied.
"""

import random
from itertools import accumulate

import numpy as np

from limelight.kernels.random_walks import random_walks
from limelight.models.topics.tag_graph import TagGraph, tag_graph
from tests.bench.result import Result, interleaved

VIDEOS, TAGS, TAGS_A_VIDEO = 50_000, 5_000, 6
WALKS_A_TAG, LENGTH = 10, 100
SHARE = 20
REPEATS = 5


def run() -> Result:
    rng = np.random.default_rng(0)
    # Zipf's law: some tags are everywhere.
    drawn = np.minimum(rng.zipf(1.3, (VIDEOS, TAGS_A_VIDEO)), TAGS) - 1
    graph = tag_graph([[str(tag) for tag in some] for some in drawn.tolist()])
    starts = np.tile(np.flatnonzero(np.diff(graph.offsets)), WALKS_A_TAG)
    lists = _adjacency(graph)
    some = starts[::SHARE].tolist()
    csr = (graph.offsets, graph.neighbours, graph.weights, starts, LENGTH)
    timings = interleaved(
        {
            "1": lambda: random_walks(*csr),
            "2": lambda: random_walks(*csr, threads=2),
            "python": lambda: _plain(lists, some),
        },
        repeats=REPEATS,
    )
    plain = timings["python"]
    scale = len(starts) / len(some)
    rows = []
    for threads in ("1", "2"):
        own = timings[threads]
        rows.append(
            (
                threads,
                round(own.min_ms, 1),
                round(own.median_ms, 1),
                f"{len(starts) * LENGTH / own.min_ms / 1000:,.1f}",
                round(plain.min_ms * scale),
                round(plain.median_ms * scale),
                f"{plain.min_ms * scale / own.min_ms:,.0f}x",
                ">= 50x" if threads == "1" else "none",
            )
        )
    return Result(
        title="Weighted random walks over tags",
        columns=(
            "threads",
            "ours min ms",
            "ours median ms",
            "million steps a second",
            "plain Python min ms",
            "plain Python median ms",
            "ratio (by minimum)",
            "target",
        ),
        rows=tuple(rows),
        note=(
            f"{len(starts):,} walks of {LENGTH} tags over {len(graph.tags):,} tags and"
            f" {len(graph.weights) // 2:,} edges. One process, taking turns, {REPEATS} rounds, seed"
            f" 0; plain Python walks every {SHARE}th and is multiplied, its adjacency list and"
            " running sums made before."
        ),
    )


def _adjacency(graph: TagGraph) -> list[tuple[list[int], list[float]]]:
    ends = zip(graph.offsets[:-1].tolist(), graph.offsets[1:].tolist(), strict=True)
    return [
        (graph.neighbours[a:b].tolist(), list(accumulate(graph.weights[a:b].tolist())))
        for a, b in ends
    ]


def _plain(lists: list[tuple[list[int], list[float]]], starts: list[int]) -> list[list[int]]:
    chosen = random.Random(0)
    walks = []
    for start in starts:
        walk = [start]
        while len(walk) < LENGTH:
            neighbours, sums = lists[walk[-1]]
            walk.extend(chosen.choices(neighbours, cum_weights=sums))
        walks.append(walk)
    return walks
