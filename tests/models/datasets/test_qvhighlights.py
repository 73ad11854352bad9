from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from limelight.models.datasets.malformed import MalformedDataset
from limelight.models.datasets.qvhighlights import (
    QVHighlightsQuery,
    evaluate_qvhighlights,
    read_qvhighlights,
)

WriteRows = Callable[[list[object]], Path]


def row(**changes: object) -> dict[str, object]:
    """A made-up query of the files' form: 10 s, five clips, two of them relevant."""
    return {
        "qid": 1,
        "query": "A dog opens a door.",
        "duration": 10,
        "vid": "made-up_0.0_10.0",
        "relevant_clip_ids": [1, 3],
        "saliency_scores": [[4, 2, 3], [4, 4, 0]],
        "relevant_windows": [[2, 4], [6, 8]],
        **changes,
    }


def plain_figures(
    queries: list[QVHighlightsQuery], scores: dict[int, np.ndarray], lowest: int
) -> tuple[float, float]:
    """HL-mAP and HIT@1 written out from their definitions."""
    precisions, hits = [], []
    for query in queries:
        given = scores[query.query_id].tolist()
        ratings = query.saliency.tolist()
        for rater in range(3):
            relevant = [clip[rater] >= lowest for clip in ratings]
            levels = sorted({s for s, r in zip(given, relevant, strict=True) if r})
            best, interpolated = 0.0, []
            for level in levels:  # from the lowest up, so the best precision below is known
                at_least = [r for s, r in zip(given, relevant, strict=True) if s >= level]
                best = max(best, sum(at_least) / len(at_least))
                interpolated.append(best)
            precisions.append(sum(interpolated) / len(interpolated) if interpolated else 0.0)
        top = given.index(max(given))
        hits.append(any(rating >= lowest for rating in ratings[top]))
    return sum(precisions) / len(precisions), sum(hits) / len(hits)


def test_a_query_gets_a_rating_for_every_clip(write_rows: WriteRows) -> None:
    (query,) = read_qvhighlights(write_rows([row()]))
    assert (query.query_id, query.text) == (1, "A dog opens a door.")
    assert (query.video_id, query.duration_s) == ("made-up_0.0_10.0", 10.0)
    assert query.relevant_clip_ids.tolist() == [1, 3]
    assert query.saliency.tolist() == [[0, 0, 0], [4, 2, 3], [0, 0, 0], [4, 4, 0], [0, 0, 0]]


def test_a_query_that_nothing_answers_is_read(write_rows: WriteRows) -> None:
    (query,) = read_qvhighlights(write_rows([row(relevant_clip_ids=[], saliency_scores=[])]))
    assert query.saliency.shape == (5, 3)
    assert not query.saliency.any()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"relevant_clip_ids": None}, "no relevant_clip_ids"),
        ({"relevant_clip_ids": [1, 1]}, "expected each clip once"),
        ({"relevant_clip_ids": [1, 2.5]}, "expected each clip once"),
        ({"relevant_clip_ids": [1, 5]}, "found clips 0 to 5, expected clips from 0 to before 5"),
        ({"relevant_clip_ids": [-1, 1]}, "found clips -1 to 1"),
        ({"saliency_scores": [[4, 2, 3]]}, r"saliency_scores of shape \(1, 3\)"),
        ({"saliency_scores": [[4, 2], [1, 1]]}, r"saliency_scores of shape \(2, 2\)"),
        ({"saliency_scores": [[4, 2, 5], [1, 1, 1]]}, "expected 0, 1, 2, 3 or 4"),
        ({"saliency_scores": [[4, 2, 0.5], [1, 1, 1]]}, "expected 0, 1, 2, 3 or 4"),
        ({"duration": 0}, "duration 0"),
        ({"duration": 1, "relevant_clip_ids": [], "saliency_scores": []}, "before 0 in 1.0 s"),
        ({"qid": "a"}, "qid 'a'"),
        ({"query": 5}, "query 5"),
    ],
)
def test_malformed_queries_are_refused(
    write_rows: WriteRows, changes: dict[str, object], error: str
) -> None:
    with pytest.raises(MalformedDataset, match=f"rows.jsonl, line 2: .*{error}"):
        list(read_qvhighlights(write_rows([row(), row(qid=2) | changes])))


def test_a_query_twice_is_refused(write_rows: WriteRows) -> None:
    with pytest.raises(MalformedDataset, match="line 2: found qid 1 again"):
        list(read_qvhighlights(write_rows([row(), row()])))


def test_the_figures_of_a_small_file_are_those_counted_by_hand(write_rows: WriteRows) -> None:
    queries = list(read_qvhighlights(write_rows([row()])))
    # Rater 0 finds clips 1 and 3 very good, rater 1 clip 3, rater 2 none. The order is 3 0 1 2 4:
    # rater 0 gets (1 + 2/3) / 2, rater 1 gets 1, rater 2 gets 0.
    figures = evaluate_qvhighlights(queries, {1: np.array([0.8, 0.7, 0.2, 0.9, 0.1])})
    assert figures.mean_average_precision == pytest.approx((5 / 6 + 1 + 0) / 3)
    assert (figures.hit_at_1, figures.num_queries, figures.num_fitted) == (1.0, 1, 0)


def test_scores_beyond_the_last_clip_are_cut_off_and_miss(write_rows: WriteRows) -> None:
    queries = list(read_qvhighlights(write_rows([row()])))
    exact = np.array([0.8, 0.7, 0.2, 0.9, 0.1])
    figures = evaluate_qvhighlights(queries, {1: np.append(exact, 5.0)})
    whole = evaluate_qvhighlights(queries, {1: exact})
    assert figures.mean_average_precision == whole.mean_average_precision
    assert (figures.hit_at_1, figures.num_fitted) == (0.0, 1)


def test_missing_scores_count_as_zero_but_are_no_hit(write_rows: WriteRows) -> None:
    queries = list(read_qvhighlights(write_rows([row()])))
    figures = evaluate_qvhighlights(queries, {1: np.array([-3.0, -1.0])})
    padded = evaluate_qvhighlights(queries, {1: np.array([-3.0, -1.0, 0.0, 0.0, 0.0])})
    assert figures.mean_average_precision == padded.mean_average_precision
    assert (figures.hit_at_1, figures.num_fitted) == (1.0, 1)


@pytest.mark.parametrize("lowest", [2, 3, 4])
def test_the_figures_equal_their_definitions_written_out(
    write_rows: WriteRows, lowest: int
) -> None:
    generator = np.random.default_rng(0)
    rows = []
    for qid in range(30):
        clips = sorted(generator.choice(12, generator.integers(0, 9), replace=False).tolist())
        ratings = generator.integers(0, 5, (len(clips), 3)).tolist()
        rows.append(row(qid=qid, duration=24, relevant_clip_ids=clips, saliency_scores=ratings))
    queries = list(read_qvhighlights(write_rows(list(rows))))
    # Few distinct scores, so that many are equal.
    scores = {query.query_id: generator.integers(0, 5, 12) / 4 for query in queries}
    figures = evaluate_qvhighlights(queries, scores, lowest)
    precision, hit = plain_figures(queries, scores, lowest)
    assert figures.mean_average_precision == pytest.approx(precision, abs=1e-12)
    assert figures.hit_at_1 == pytest.approx(hit, abs=1e-12)


@pytest.mark.shared_data
def test_the_real_queries_give_the_figures_of_the_definitions(shared_data: Path) -> None:
    path = shared_data / "qvhighlights" / "highlight_val_release.jsonl"
    queries = list(read_qvhighlights(path))
    assert len(queries) == 1_550
    generator = np.random.default_rng(0)
    scores = {query.query_id: generator.random(len(query.saliency)) for query in queries}
    figures = evaluate_qvhighlights(queries, scores)
    precision, hit = plain_figures(queries, scores, 4)
    assert figures.mean_average_precision == pytest.approx(precision, abs=1e-12)
    assert figures.hit_at_1 == pytest.approx(hit, abs=1e-12)
    assert figures.num_fitted == 0


@pytest.mark.shared_data
def test_the_mean_of_the_real_raters_beats_position_and_chance(shared_data: Path) -> None:
    path = shared_data / "qvhighlights" / "highlight_val_release.jsonl"
    queries = list(read_qvhighlights(path))
    generator = np.random.default_rng(0)

    def figures(score_clips: Callable[[QVHighlightsQuery], np.ndarray]) -> tuple[float, float]:
        found = evaluate_qvhighlights(queries, {q.query_id: score_clips(q) for q in queries})
        return found.mean_average_precision, found.hit_at_1

    truth = figures(lambda query: query.saliency.mean(axis=1))
    # A guess from position alone: the middle of the video is best.
    middle = figures(lambda query: -np.abs(np.arange(len(query.saliency)) - 37.0))
    chance = figures(lambda query: generator.random(len(query.saliency)))
    constant = figures(lambda query: np.ones(len(query.saliency)))
    assert truth[1] > 0.95
    assert truth[0] > 2 * max(middle[0], chance[0])
    # Every clip at one score: the precision is the share of relevant clips.
    shares = [(query.saliency >= 4).mean() for query in queries]
    assert constant[0] == pytest.approx(np.mean(shares), abs=1e-12)
