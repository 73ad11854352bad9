"""Tags as a graph of what stands together, and an embedding of each by walks over it.

Source: Pu et al., section III-A2.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limelight.kernels.random_walks import NO_NODE, random_walks
from limelight.models.topics.config import TopicsConfig

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TagGraph:
    """CSR of T tags; an edge weighs how many videos have both its tags, and stands with both.

    Args:
        tags: T names, the most frequent first, equals in the alphabet's order.
        offsets: (T + 1,) int64.
        neighbours: (E,) int32.
        weights: (E,) float64, x of eq. 3.
    """

    tags: list[str]
    offsets: NDArray[np.int64]
    neighbours: NDArray[np.int32]
    weights: NDArray[np.float64]


def tag_graph(tags: Iterable[Sequence[str]], most_tags: int | None = None) -> TagGraph:
    """The graph of the tags of videos; a tag that a video has twice counts once.

    Args:
        tags: those of each video; none is fine.
        most_tags: keep so many, the most frequent ones; None keeps all.
    """
    videos = [sorted(set(some)) for some in tags]
    counts = Counter(tag for some in videos for tag in some)
    kept = sorted(counts, key=lambda tag: (-counts[tag], tag))[:most_tags]
    number = {tag: at for at, tag in enumerate(kept)}
    edges: Counter[tuple[int, int]] = Counter()
    for some in videos:
        edges.update(combinations(sorted(number[tag] for tag in some if tag in number), 2))
    both = np.array([*edges, *((b, a) for a, b in edges)], np.int64).reshape(-1, 2)
    weights = np.array([*edges.values()] * 2, np.float64)
    order = np.lexsort((both[:, 1], both[:, 0]))
    degrees = np.bincount(both[:, 0], minlength=len(kept))
    offsets = np.concatenate([[0], np.cumsum(degrees)]).astype(np.int64)
    return TagGraph(kept, offsets, both[order, 1].astype(np.int32), weights[order])


def tag_embeddings(graph: TagGraph, config: TopicsConfig, *, seed: int = 0) -> Floats:
    """(T, E) float32: DeepWalk's walks and gensim's skip-gram, of one worker and a fixed seed.

    A tag that never stands beside another is walked from but learns nothing: it keeps a random
    vector of length 1, like no other tag. Where there is no edge at all, all tags do.

    Raises:
        ImportError: gensim is not installed.
    """
    size, count = config.tag_embedding_size, len(graph.tags)
    alone = np.random.default_rng(seed).standard_normal((count, size))
    lengths = np.linalg.norm(alone, axis=1, keepdims=True)
    vectors: Floats = (alone / lengths).astype(np.float32)
    has_edge = np.diff(graph.offsets) > 0
    if not has_edge.any():
        return vectors
    starts = np.tile(np.flatnonzero(has_edge), config.walks_per_tag)
    walks = random_walks(
        graph.offsets, graph.neighbours, graph.weights, starts, config.walk_length, seed=seed
    )
    model = _gensim().Word2Vec(
        sentences=[[node for node in walk if node != NO_NODE] for walk in walks.tolist()],
        vector_size=size,
        window=config.skip_gram_window,
        epochs=config.skip_gram_epochs,
        sg=1,
        min_count=1,
        workers=1,
        # Gensim takes 32 bits.
        seed=seed % 2**32,
    )
    known = np.flatnonzero(has_edge)
    vectors[known] = model.wv.vectors[[model.wv.key_to_index[tag] for tag in known.tolist()]]
    return vectors


def mean_tag_embedding(
    tags: Iterable[Sequence[str]], numbers: dict[str, int], embeddings: Floats
) -> Floats:
    """(n, E) float32 of n videos: eq. 4, unseen tags left out; zeros where none is left."""
    rows = [[numbers[tag] for tag in dict.fromkeys(some) if tag in numbers] for some in tags]
    means: Floats = np.zeros((len(rows), embeddings.shape[1]), np.float32)
    lengths = np.array([len(some) for some in rows], np.int64)
    flat = np.array([tag for some in rows for tag in some], np.int64)
    owners = np.repeat(np.arange(len(rows)), lengths)
    np.add.at(means, owners, embeddings[flat])
    means /= np.maximum(lengths, 1)[:, None]
    return means


def _gensim() -> Any:
    try:
        import gensim.models
    except ModuleNotFoundError as error:
        raise ImportError(
            "gensim: found no such package, expected the extra of topics:"
            " pip install 'limelight[topics]'"
        ) from error
    return gensim.models
