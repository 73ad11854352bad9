from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from limelight.models.datasets.malformed import MalformedDataset
from limelight.models.datasets.youtube_highlights import (
    YouTubeHighlightsVideo,
    evaluate_youtube_highlights,
    read_youtube_highlights,
)

WriteRows = Callable[[list[object]], Path]


def row(**changes: object) -> dict[str, object]:
    """A made-up video of the file's form: four clips, two of them highlights."""
    return {
        "qid": "made-up-id1",
        "query": "dog",
        "duration": 9.2,
        "vid": "made-up-id1",
        "relevant_clip_ids": None,
        "relevant_windows": None,
        "label": [[0], [1], [0], [1]],
        "domain": "dog",
        "frames": 250.0,
        "fps": 27.2,
        "clip": [[0.0, 100.0], [50.0, 150.0], [100.0, 200.0], [150.0, 250.0]],
        "match": [-1, 1, 0, 1],
        **changes,
    }


def area_under_precision(order: list[bool]) -> float:
    """Average precision by trapezoids: clips from the best down, true where a highlight."""
    total = sum(order)
    points = [(0.0, 1.0)]
    for place in range(1, len(order) + 1):
        found = sum(order[:place])
        points.append((found / total if total else 0.0, found / place))
    return sum((right - left) * (low + high) / 2 for (left, low), (right, high) in pairwise(points))


def plain_figures(
    videos: list[YouTubeHighlightsVideo], scores: dict[str, np.ndarray]
) -> dict[str, float]:
    domains: dict[str, list[float]] = {}
    for video in videos:
        given = scores[video.video_id].tolist()
        best_first = sorted(range(len(given)), key=lambda clip: -given[clip])
        order = [int(video.match[clip]) > 0 for clip in best_first]
        domains.setdefault(video.domain, []).append(area_under_precision(order))
    return {domain: sum(found) / len(found) for domain, found in domains.items()}


def test_a_video_is_read(write_rows: WriteRows) -> None:
    (video,) = read_youtube_highlights(write_rows([row()]))
    assert (video.video_id, video.domain, video.fps) == ("made-up-id1", "dog", 27.2)
    assert video.clip_frames.tolist() == [[0, 100], [50, 150], [100, 200], [150, 250]]
    assert video.match.tolist() == [-1, 1, 0, 1]
    assert video.is_highlight.tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"match": [], "label": [], "clip": []}, "found no clips"),
        ({"match": [-1, 2, 0, 1]}, "match from -1.0 to 2.0, expected -1, 0 or 1"),
        ({"match": "1"}, "match '1'"),
        ({"label": [[0], [1], [0]]}, r"label of shape \(3, 1\)"),
        ({"label": [[0], [1], [1], [1]]}, "label 1 with match 0 in clip 2"),
        ({"clip": [[0, 100], [50, 150], [100, 100], [1, 2]]}, "ends before it starts"),
        ({"clip": [[0, 100]]}, r"clip of shape \(1, 2\)"),
        ({"fps": 0.0}, "fps 0.0"),
        ({"domain": ""}, "domain ''"),
        ({"vid": "made-up-id1"}, "vid made-up-id1 again"),
    ],
)
def test_malformed_videos_are_refused(
    write_rows: WriteRows, changes: dict[str, object], error: str
) -> None:
    with pytest.raises(MalformedDataset, match=f"rows.jsonl, line 2: .*{error}"):
        list(read_youtube_highlights(write_rows([row(), row(vid="made-up-id2") | changes])))


def test_the_figures_of_a_small_file_are_those_counted_by_hand(write_rows: WriteRows) -> None:
    rows: list[object] = [row(), row(vid="made-up-id2", domain="surfing")]
    videos = list(read_youtube_highlights(write_rows(rows)))
    # Best first: 3 (found), 0, 1 (found), 2. Under precision 1 to recall 1/2, then under
    # (1/2 + 2/3) / 2 to recall 1. The other video is in perfect order.
    scores = {
        "made-up-id1": np.array([0.8, 0.7, 0.1, 0.9]),
        "made-up-id2": np.array([0.0, 1.0, 0.0, 2.0]),
    }
    figures = evaluate_youtube_highlights(videos, scores)
    assert figures.by_domain["dog"] == pytest.approx(0.5 + 0.5 * (1 / 2 + 2 / 3) / 2)
    assert figures.by_domain["surfing"] == pytest.approx(1.0)
    assert figures.mean_average_precision == pytest.approx((19 / 24 + 1) / 2)


def test_a_video_without_highlights_counts_as_zero(write_rows: WriteRows) -> None:
    unlit = row(vid="made-up-id2", match=[-1, -1, 0, 0], label=[[0]] * 4)
    videos = list(read_youtube_highlights(write_rows([row(), unlit])))
    scores = {video.video_id: video.match.astype(float) for video in videos}
    assert evaluate_youtube_highlights(videos, scores).by_domain == {"dog": 0.5}


def test_scores_of_another_length_are_refused(write_rows: WriteRows) -> None:
    videos = list(read_youtube_highlights(write_rows([row()])))
    with pytest.raises(ValueError, match=r"video made-up-id1: found scores of shape \(3,\)"):
        evaluate_youtube_highlights(videos, {"made-up-id1": np.zeros(3)})


@pytest.mark.shared_data
def test_the_real_videos_give_the_figures_of_the_definitions(shared_data: Path) -> None:
    path = shared_data / "youtube-highlights" / "youtube_highlight_train_release.jsonl"
    videos = list(read_youtube_highlights(path))
    generator = np.random.default_rng(0)
    scores = {video.video_id: generator.random(len(video.match)) for video in videos}
    figures = evaluate_youtube_highlights(videos, scores)
    assert figures.num_videos == {
        "dog": 39,
        "gymnastics": 33,
        "parkour": 18,
        "skating": 23,
        "skiing": 67,
        "surfing": 53,
    }
    plain = plain_figures(videos, scores)
    assert figures.by_domain == pytest.approx(plain, abs=1e-12)
    assert figures.mean_average_precision == pytest.approx(sum(plain.values()) / 6, abs=1e-12)


@pytest.mark.shared_data
def test_the_real_labels_as_scores_are_perfect_and_chance_is_not(shared_data: Path) -> None:
    path = shared_data / "youtube-highlights" / "youtube_highlight_train_release.jsonl"
    videos = list(read_youtube_highlights(path))
    truth = {video.video_id: video.match.astype(float) for video in videos}
    assert evaluate_youtube_highlights(videos, truth).mean_average_precision == pytest.approx(1)
    earliest_first = {video.video_id: -np.arange(len(video.match)) for video in videos}
    assert 0.4 < evaluate_youtube_highlights(videos, earliest_first).mean_average_precision < 0.7
