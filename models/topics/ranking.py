"""Rankers with and without topics: what they see of an impression, and their networks.

Source: Pu et al., section III-B2 (Wide&Deep with topics as ids) and Table II (LR, EMLP, DCN).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from limelight.models.baselines.deepctr_library import import_deepctr
from limelight.models.baselines.id_features import log_buckets, numbered
from limelight.models.baselines.kuairand_log import ID_COLUMNS, LABEL
from limelight.models.topics.queues import TOP_TOPICS, RecentTopics

RankerName = Literal["lr", "emlp", "wdl", "dcn"]
# As in the paper's Baseline+Topic.
EMBEDDING_WIDTH: Final = 8
_HOUR_MS: Final = 3_600_000
# Of a match: no click before, none of the user's top topics, the first of them, ...
_NO_HISTORY, _NO_MATCH = 0, 1

Impressions = Mapping[str, NDArray[Any]]
Columns = dict[str, NDArray[np.int64]]


def base_columns(impressions: Impressions) -> Columns:
    """(n,) ids of each: those of KuaiRand's log, length, hour, and how often the user had clicked.

    Ids are numbered over the whole log: one that was not learnt from yet has the small random
    embedding that it began with.
    """
    keys = {name: impressions[name] for name in ID_COLUMNS} | {
        "duration": log_buckets(impressions["duration_ms"] / 1000),
        "hour": impressions["time_ms"] // _HOUR_MS % 24,
    }
    columns = {}
    for name, values in keys.items():
        numbers = numbered(values.tolist())
        columns[name] = np.array([numbers[key] for key in values.tolist()], np.int64)
    nothing: list[list[int]] = [[] for _ in impressions["user_id"]]
    columns["past_clicks"] = log_buckets(_history(impressions, nothing)[2])
    return columns


def topic_columns(
    impressions: Impressions, topics: Sequence[Sequence[int]], prefix: str = "topic"
) -> Columns:
    """(n,) ids of each: the video's closest topic, the user's most frequent one, and their match.

    The user's topics are those of the latest 128 videos that he clicked before the impression's
    time. The match is 0 without any click before, 1 where none of the video's topics is among the
    user's top four, else 2 for the first of them to 5 for the fourth.

    Args:
        impressions: columns of KuaiRand's log.
        topics: of the video of each impression, the closest first.
        prefix: of the columns' names.
    """
    favourite, match, _ = _history(impressions, topics)
    closest = np.array([some[0] + 1 if some else 0 for some in topics], np.int64)
    return {prefix: closest, f"user_{prefix}": favourite, f"{prefix}_match": match}


def _history(
    impressions: Impressions, topics: Sequence[Sequence[int]]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(n,) each: 1 + the user's top topic or 0, the match, and how many clicks were before."""
    users, times = impressions["user_id"].tolist(), impressions["time_ms"].tolist()
    clicked = impressions[LABEL].tolist()
    favourite, match, count = np.zeros((3, len(users)), np.int64)
    recent: dict[int, RecentTopics] = {}
    clicks: dict[int, int] = {}
    waiting: dict[int, list[int]] = {}
    for row in np.argsort(impressions["time_ms"], kind="stable").tolist():
        user = users[row]
        known = recent.setdefault(user, RecentTopics())
        # A click counts for what comes later, not for what was shown at the same moment.
        pending = waiting.setdefault(user, [])
        while pending and times[pending[0]] < times[row]:
            known.click(topics[pending.pop(0)])
            clicks[user] = clicks.get(user, 0) + 1
        count[row] = clicks.get(user, 0)
        if top := known.top(TOP_TOPICS):
            favourite[row] = top[0] + 1
            places = [top.index(topic) for topic in topics[row] if topic in top]
            match[row] = _NO_MATCH + 1 + min(places) if places else _NO_MATCH
        elif count[row]:
            match[row] = _NO_MATCH
        if clicked[row]:
            pending.append(row)
    return favourite, match, count


def build_ranker(
    name: RankerName,
    vocabulary_sizes: Mapping[str, int],
    *,
    dense_size: int = 0,
    seed: int = 0,
) -> nn.Module:
    """A network of rows (n, C + dense_size) float32, ids and then numbers, to CTR (n, 1).

    "lr" is the linear part of Wide&Deep alone, "emlp" its deep part, "wdl" both, "dcn" the cross
    network beside the deep part; layers are the library's. Torch's random state is left as it was.

    Raises:
        ValueError: another name.
        ImportError: deepctr-torch is not installed.
    """
    library = import_deepctr()
    columns = [
        library.inputs.SparseFeat(column, size, embedding_dim=EMBEDDING_WIDTH)
        for column, size in vocabulary_sizes.items()
    ]
    if dense_size:
        columns.append(library.inputs.DenseFeat("content", dense_size))
    with torch.random.fork_rng([]):
        models = library.models
        if name == "lr":
            network = models.WDL(columns, columns, dnn_hidden_units=(), seed=seed)
        elif name == "emlp":
            network = models.WDL([], columns, seed=seed)
        elif name == "wdl":
            network = models.WDL(columns, columns, seed=seed)
        elif name == "dcn":
            network = models.DCN(columns, columns, seed=seed)
        else:
            raise ValueError(f"name: found {name!r}, expected lr, emlp, wdl or dcn")
    found: nn.Module = network
    return found


def vocabulary_sizes(columns: Columns) -> dict[str, int]:
    return {name: int(values.max()) + 1 for name, values in columns.items()}


def rows_of(columns: Columns, dense: NDArray[np.floating[Any]] | None = None) -> NDArray[Any]:
    """(n, C + dense_size) float32 for `build_ranker`: ids below 2**24 stay whole."""
    parts = [values[:, None].astype(np.float32) for values in columns.values()]
    if dense is not None:
        parts.append(dense.astype(np.float32))
    return np.concatenate(parts, axis=1)
