"""KuaiRand: rankers with topics against without, by the paper's Table II and figures 5 and 6."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from limelight.models.baselines.kuairand_log import read_impressions
from limelight.models.topics.config import TopicsConfig
from limelight.models.topics.day_by_day import (
    Ranker,
    costs,
    daily_auc,
    interval,
    predict_days,
    predict_last_day,
    user_weights,
)
from limelight.models.topics.kuairand_items import read_kuairand_items
from limelight.models.topics.ranking import (
    Impressions,
    RankerName,
    base_columns,
    topic_columns,
)
from limelight.models.topics.tag_graph import tag_graph
from limelight.models.topics.topics import Assigned, Floats, Topics
from limelight.models.topics.training import fit_topics

NUM_TOPICS: Final = 100
RESAMPLES: Final = 500
# The paper's videos have so many topics on average, here by raising the threshold from 0.6.
TOPICS_A_VIDEO: Final = 4.0
_THRESHOLDS: Final = tuple(np.arange(0.6, 1.0, 0.02).round(2).tolist())
_BASELINE: Final = "Baseline"
_PAPER_TABLE_2: Final[Mapping[RankerName, tuple[str, str, str]]] = {
    "lr": ("LR", "46.23", "46.91"),
    "emlp": ("EMLP", "80.40", "81.17"),
    "dcn": ("DCN", "83.01", "83.76"),
    "wdl": ("Wide&Deep", "", ""),
}


def kuairand_section(folder: Path, *, seeds: int) -> str:
    """The figures as Markdown.

    Raises:
        MalformedLog: a folder that is not KuaiRand-Pure's.
        ImportError: an extra is not installed.
    """
    impressions, rankers, about = _prepared(folder)
    weights = user_weights(impressions, RESAMPLES, seed=0)
    parts = [
        "## Topics on KuaiRand",
        f"{about} {seeds} seeds, whose AUCs are averaged; intervals hold 95 % of {RESAMPLES}"
        " resamples of users.",
        _days_table(rankers, impressions, weights, seeds),
        _last_day_table(rankers, impressions, weights, seeds),
    ]
    return "\n\n".join(parts)


def costs_section(folder: Path) -> str:
    """Time and memory of the rankers as Markdown; errors as `kuairand_section`."""
    return _costs_table(_prepared(folder)[1])


def _prepared(folder: Path) -> tuple[Impressions, dict[str, Ranker], str]:
    torch.set_num_threads(1)
    impressions = read_impressions(folder)
    items = read_kuairand_items(folder)
    config = TopicsConfig(
        image_feature_size=0, text_feature_size=0, num_topics=NUM_TOPICS, trained=True
    )
    no_joint = np.zeros((len(items), 0), np.float32)
    topics = fit_topics(no_joint, items, tag_graph(items.tags), config)
    representations = topics.representations(no_joint, items.tags)
    threshold, assigned = _assigned(topics, representations)
    row_of = {video_id: at for at, video_id in enumerate(items.video_ids)}
    rows = [row_of[str(video)] for video in impressions["video_id"].tolist()]
    rankers = _rankers(impressions, rows, assigned, representations, items.tags)
    count = np.mean([len(some) for some in assigned])
    about = (
        f"KuaiRand-Pure: {len(rows):,} impressions of six days, {len(items):,} videos,"
        f" {NUM_TOPICS} topics from static attributes alone (KuaiRand has neither titles nor"
        f" pictures); threshold {threshold}, {count:.1f} topics a video."
    )
    return impressions, rankers, about


def _assigned(topics: Topics, representations: Floats) -> tuple[float, list[Assigned]]:
    for threshold in _THRESHOLDS:
        found = Topics(
            topics.centres,
            topics.tag_embeddings,
            topics.joint_mean,
            topics.tag_mean,
            threshold,
            topics.tags,
            topics.names,
        ).assign(representations)
        if np.mean([len(some) for some in found]) <= TOPICS_A_VIDEO:
            break
    return threshold, found


def _rankers(
    impressions: Impressions,
    rows: list[int],
    assigned: list[Assigned],
    representations: Floats,
    tags: list[list[str]],
) -> dict[str, Ranker]:
    base = base_columns(impressions)
    topics = [[topic for topic, _ in assigned[row]] for row in rows]
    numbers: dict[str, int] = {}
    own_tags = [
        [numbers.setdefault(tag, len(numbers)) for tag in tags[row] if tag.startswith("tag ")]
        for row in rows
    ]
    return {
        _BASELINE: Ranker(base),
        "Baseline+Topic": Ranker(base | topic_columns(impressions, topics)),
        "Baseline+tag match": Ranker(base | topic_columns(impressions, own_tags, "own_tag")),
        "Baseline+content (128 numbers)": Ranker(base, representations[rows]),
    }


def _days_table(
    rankers: dict[str, Ranker],
    impressions: Impressions,
    weights: NDArray[np.float64],
    seeds: int,
) -> str:
    found = {
        name: np.mean(
            [
                daily_auc(impressions, predict_days(ranker, impressions, seed=seed), weights)
                for seed in range(seeds)
            ],
            axis=0,
        )
        for name, ranker in rankers.items()
    }
    days = len(next(iter(found.values())))
    names = [f"day {day}" for day in range(2, days + 2)]
    lines = _header(["ranker", *names, "mean", "against Baseline", "95 % interval"])
    for name, auc in found.items():
        cells = [f"{value:.4f}" for value in (*auc[:, 0], auc[:, 0].mean())]
        lines.append(_line([name, *cells, *_against(auc, found[_BASELINE], name)]))
    title = "### Day by day (figure 5): AUC of Wide&Deep before it learns from the day"
    return "\n".join([title, "", *lines])


def _costs_table(rankers: dict[str, Ranker]) -> str:
    found = costs(rankers)
    base = found[_BASELINE]
    lines = _header(["ranker", "us a sample", "more", "bytes a sample", "more", "weights MB"])
    for name, cost in found.items():
        more = (
            f"{cost.sample_us / base.sample_us - 1:+.0%}",
            f"{cost.sample_bytes / base.sample_bytes - 1:+.0%}",
        )
        lines.append(
            _line(
                [
                    name,
                    f"{cost.sample_us:.2f}",
                    more[0],
                    str(cost.sample_bytes),
                    more[1],
                    f"{cost.weights_mb:.2f}",
                ]
            )
        )
    title = "### Time and memory (figure 6), batches of 1,024 on one thread"
    return "\n".join([title, "", *lines])


def _last_day_table(
    rankers: dict[str, Ranker],
    impressions: Impressions,
    weights: NDArray[np.float64],
    seeds: int,
) -> str:
    lines = _header(
        ["method", "AUC w/o", "AUC w/", "difference", "95 % interval", "w/o, paper", "w/, paper"]
    )
    for name, (title, *papers) in _PAPER_TABLE_2.items():
        without, with_topics = (
            np.mean(
                [
                    daily_auc(
                        impressions,
                        predict_last_day(rankers[key], impressions, name=name, seed=seed),
                        weights,
                    )
                    for seed in range(seeds)
                ],
                axis=0,
            )
            for key in (_BASELINE, "Baseline+Topic")
        )
        figures = [f"{auc[0, 0]:.4f}" for auc in (without, with_topics)]
        difference = _against(with_topics, without, title)
        lines.append(_line([title, *figures, *difference, *papers]))
    title = "### The last day (Table II): learned from all days before"
    return "\n".join([title, "", *lines])


def _against(auc: NDArray[np.float64], base: NDArray[np.float64], name: str) -> list[str]:
    if name == _BASELINE:
        return ["", ""]
    difference = (auc - base).mean(axis=0)
    low, high = interval(difference[1:].tolist())
    return [f"{difference[0]:+.4f}", f"{low:+.4f} to {high:+.4f}"]


def _header(names: list[str]) -> list[str]:
    return [_line(names), _line(["---"] * len(names))]


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
