"""QVHighlights: queries in plain words, and how well each 2 s clip of a video answers them.

The files are the released JSON lines with labels (train and val; the test part has none). They
are for research only (CC BY-NC-SA 4.0), and none of them comes with this project.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from limelight.kernels import ranking
from limelight.models.datasets.given_scores import Scores, check_complete, one_row
from limelight.models.datasets.json_lines import (
    Row,
    json_rows,
    numbers_of,
    positive_number_of,
    text_of,
    whole_number_of,
)
from limelight.models.datasets.malformed import Place

CLIP_SECONDS = 2
NUM_RATERS = 3
VERY_GOOD = 4


@dataclass(frozen=True, slots=True)
class QVHighlightsQuery:
    """One query and its video of N clips.

    Args:
        query_id: `qid` of the file.
        text: the query.
        video_id: `vid` of the file, a cut of a YouTube video.
        duration_s: how long the video is.
        relevant_clip_ids: (K,) int64, the clips that answer the query, from 0.
        saliency: (N, 3) int64, 0 (Very Bad) to 4 (Very Good) by three raters; 0 for the clips that
            nobody was asked about, because they do not answer the query.
    """

    query_id: int
    text: str
    video_id: str
    duration_s: float
    relevant_clip_ids: NDArray[np.int64]
    saliency: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class QVHighlightsFigures:
    """Means over queries, in [0, 1]; papers print them in %.

    `num_fitted` queries had scores for more or fewer clips than the video has.
    """

    mean_average_precision: float
    hit_at_1: float
    num_queries: int
    num_fitted: int


def read_qvhighlights(path: Path) -> Iterator[QVHighlightsQuery]:
    """Yields the queries of a file in its order.

    Raises:
        MalformedDataset: a broken line, a query twice, a clip twice or past the video's end, or a
            saliency that is not one of 0 to 4.
    """
    seen: set[int] = set()
    for place, row in json_rows(path):
        query = _query(place, row)
        if query.query_id in seen:
            raise place.malformed(f"qid {query.query_id} again", "each qid once")
        seen.add(query.query_id)
        yield query


def evaluate_qvhighlights(
    queries: Sequence[QVHighlightsQuery], scores: Mapping[int, Scores], lowest: int = VERY_GOOD
) -> QVHighlightsFigures:
    """HL-mAP and HIT@1 of `scores`, as the benchmark counts them (without its rounding).

    Average precision is interpolated, taken for each rater and averaged. Scores beyond the video's
    last clip are cut off and missing ones count as 0, while the clip for HIT@1 is the best of the
    scores as given: a miss if it lies beyond the end. This is the original's rule, kept because
    published predictions need it (13 of the 1,550 in its own example); `num_fitted` counts them.

    Args:
        queries: what `read_qvhighlights` yields.
        scores: by query id, (N,) predicted saliency of each clip.
        lowest: the lowest saliency of a relevant clip: 4 is Very Good, 3 Good, 2 Fair.

    Raises:
        ValueError: queries without scores, scores without a query, or scores that are not finite.

    Source: `eval_highlight` in standalone_eval/eval.py of github.com/jayleicn/moment_detr.
    """
    check_complete(scores, [query.query_id for query in queries], "query")
    precisions, hits, num_fitted = [], [], 0
    for query in queries:
        given = one_row(scores[query.query_id], None, f"query {query.query_id}")
        num_clips = len(query.saliency)
        num_fitted += given.shape[1] != num_clips
        fitted = np.zeros((1, num_clips))
        kept = min(num_clips, given.shape[1])
        fitted[:, :kept] = given[:, :kept]
        precision, _ = ranking.qvhighlights(fitted, query.saliency[None], lowest=lowest)
        precisions.append(float(precision[0]))
        best = int(given.argmax())
        hits.append(best < num_clips and bool((query.saliency[best] >= lowest).any()))
    return QVHighlightsFigures(
        mean_average_precision=float(np.mean(precisions)),
        hit_at_1=float(np.mean(hits)),
        num_queries=len(queries),
        num_fitted=num_fitted,
    )


def _query(place: Place, row: Row) -> QVHighlightsQuery:
    duration_s = positive_number_of(place, row, "duration")
    num_clips = int(duration_s / CLIP_SECONDS)
    found_ids = numbers_of(place, row, "relevant_clip_ids", (None,))
    clip_ids = found_ids.astype(np.int64)
    if (clip_ids != found_ids).any() or len(set(clip_ids.tolist())) < len(clip_ids):
        raise place.malformed_value("relevant_clip_ids", found_ids.tolist(), "each clip once")
    if not num_clips or (clip_ids < 0).any() or (clip_ids >= num_clips).any():
        found = f"clips {clip_ids.min(initial=0)} to {clip_ids.max(initial=0)}"
        raise place.malformed(found, f"clips from 0 to before {num_clips} in {duration_s} s")
    ratings = numbers_of(place, row, "saliency_scores", (len(clip_ids), NUM_RATERS))
    if not np.isin(ratings, range(VERY_GOOD + 1)).all():
        raise place.malformed(f"saliency_scores up to {ratings.max()}", "0, 1, 2, 3 or 4")
    saliency = np.zeros((num_clips, NUM_RATERS), np.int64)
    saliency[clip_ids] = ratings
    return QVHighlightsQuery(
        query_id=whole_number_of(place, row, "qid"),
        text=text_of(place, row, "query"),
        video_id=text_of(place, row, "vid"),
        duration_s=duration_s,
        relevant_clip_ids=clip_ids,
        saliency=saliency,
    )
