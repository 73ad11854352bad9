from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from limelight.models.datasets.malformed import MalformedDataset
from limelight.models.datasets.tvsum import TVSumClips, evaluate_tvsum, is_above_median, read_tvsum

WriteRows = Callable[[list[object]], Path]


def row(**changes: object) -> dict[str, object]:
    """A made-up video of the files' form: four clips; all raters agree but the last."""
    label = [[1.0] * 20, [5.0] * 20, [2.0] * 20, [4.0] * 20]
    for clip, rating in enumerate((5.0, 1.0, 1.0, 1.0)):
        label[clip][19] = rating
    return {
        "qid": "made-up-id1",
        "query": "How to change a tyre",
        "duration": 4,
        "vid": "made-up-id1",
        "relevant_clip_ids": None,
        "relevant_windows": None,
        "label": label,
        "domain": "VT",
        **changes,
    }


def plain_figures(
    videos: list[TVSumClips], scores: dict[str, np.ndarray], k: int
) -> dict[str, float]:
    """Top-k mAP written out: by domain, the mean over videos of the mean over raters."""
    domains: dict[str, list[float]] = {}
    for video in videos:
        given = scores[video.video_id].tolist()
        best = sorted(range(len(given)), key=lambda clip: -given[clip])[:k]
        precisions = []
        for ratings in video.importance.T.tolist():
            lower_median = sorted(ratings)[(len(ratings) - 1) // 2]
            order = [ratings[clip] > lower_median for clip in best]
            area, recall, precision = 0.0, 0.0, 1.0
            for place in range(1, len(order) + 1):
                found = sum(order[:place])
                next_recall = found / sum(order) if any(order) else 0.0
                area += (next_recall - recall) * (precision + found / place) / 2
                recall, precision = next_recall, found / place
            precisions.append(area)
        domains.setdefault(video.domain, []).append(sum(precisions) / 20)
    return {domain: sum(found) / len(found) for domain, found in domains.items()}


def test_a_video_is_read(write_rows: WriteRows) -> None:
    (video,) = read_tvsum(write_rows([row()]))
    assert (video.video_id, video.domain) == ("made-up-id1", "VT")
    assert video.title == "How to change a tyre"
    assert video.importance.shape == (4, 20)
    assert video.importance[:, 0].tolist() == [1, 5, 2, 4]
    assert video.mean_importance[1] == pytest.approx((19 * 5 + 1 - 20) / 80)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"label": []}, "found no clips"),
        ({"label": [[1.0] * 19] * 4}, r"label of shape \(4, 19\)"),
        ({"label": [[0.0] * 20] * 4}, "label from 0 to 0, expected whole numbers from 1 to 5"),
        ({"label": [[1.5] * 20] * 4}, "label from 1.5"),
        ({"label": [[float("nan")] * 20] * 4}, "label with NaN"),
        ({"duration": 8}, "duration 8 of 4 clips"),
        ({"domain": None}, "no domain"),
        ({"vid": "made-up-id1"}, "vid made-up-id1 again"),
    ],
)
def test_malformed_videos_are_refused(
    write_rows: WriteRows, changes: dict[str, object], error: str
) -> None:
    with pytest.raises(MalformedDataset, match=f"rows.jsonl, line 2: .*{error}"):
        list(read_tvsum(write_rows([row(), row(vid="made-up-id2") | changes])))


def test_the_figures_of_a_small_file_are_those_counted_by_hand(write_rows: WriteRows) -> None:
    videos = list(read_tvsum(write_rows([row()])))
    # Nineteen raters find clips 1 and 3 above their median of 3, the last finds clip 0 above 1.
    # The two best are 1 and 0: for the nineteen, all that is found comes first: 1. For the last,
    # the area from precision 0 to 1/2 at recall 1.
    figures = evaluate_tvsum(videos, {"made-up-id1": np.array([0.8, 0.9, 0.1, 0.2])}, k=2)
    assert figures.by_domain == {"VT": pytest.approx((19 * 1 + (0 + 1 / 2) / 2) / 20)}


def test_a_median_between_two_ratings_splits_as_the_lower_one_does() -> None:
    generator = np.random.default_rng(0)
    importance = generator.integers(1, 6, (8, 200)).astype(np.float32)
    lower = np.sort(importance, axis=0)[3]
    np.testing.assert_array_equal(is_above_median(importance), importance > lower)


def test_the_figures_equal_their_definitions_written_out(write_rows: WriteRows) -> None:
    generator = np.random.default_rng(0)
    rows: list[object] = []
    for number in range(12):
        clips = int(generator.integers(1, 15))
        label = generator.integers(1, 6, (clips, 20)).astype(float).tolist()
        domain = ("VT", "DS", "BK")[number % 3]
        rows.append(row(vid=f"made-up-{number}", duration=clips, label=label, domain=domain))
    videos = list(read_tvsum(write_rows(rows)))
    scores = {video.video_id: generator.integers(0, 5, len(video.importance)) for video in videos}
    for k in (1, 5):
        figures = evaluate_tvsum(videos, scores, k)
        assert figures.by_domain == pytest.approx(plain_figures(videos, scores, k), abs=1e-12)


def test_scores_of_an_unknown_video_are_refused(write_rows: WriteRows) -> None:
    videos = list(read_tvsum(write_rows([row()])))
    with pytest.raises(ValueError, match="video other: found scores"):
        evaluate_tvsum(videos, {"made-up-id1": np.zeros(4), "other": np.zeros(4)})


@pytest.mark.shared_data
def test_the_real_videos_give_the_figures_of_the_definitions(shared_data: Path) -> None:
    folder = shared_data / "tvsum50"
    train = list(read_tvsum(folder / "tvsum_train_release.jsonl"))
    videos = train + list(read_tvsum(folder / "tvsum_val_release.jsonl"))
    generator = np.random.default_rng(0)
    scores = {video.video_id: generator.random(len(video.importance)) for video in videos}
    figures = evaluate_tvsum(videos, scores)
    assert figures.num_videos == dict.fromkeys(figures.num_videos, 5)
    assert len(figures.num_videos) == 10
    assert figures.by_domain == pytest.approx(plain_figures(videos, scores, 5), abs=1e-12)


@pytest.mark.shared_data
def test_what_the_real_raters_think_beats_position_and_chance(shared_data: Path) -> None:
    videos = list(read_tvsum(shared_data / "tvsum50" / "tvsum_val_release.jsonl"))

    def mean_of(scores: dict[str, np.ndarray]) -> float:
        return evaluate_tvsum(videos, scores).mean_average_precision

    generator = np.random.default_rng(0)
    truth = mean_of({video.video_id: video.mean_importance for video in videos})
    earliest = mean_of({video.video_id: -np.arange(len(video.importance)) for video in videos})
    chance = np.mean(
        [
            mean_of({video.video_id: generator.random(len(video.importance)) for video in videos})
            for _ in range(20)
        ]
    )
    assert truth > 0.8
    assert truth > earliest + 0.2
    assert truth > chance + 0.2
