"""Ranking measures of many rows at once, against SciPy, scikit-learn and vectorised NumPy.

A library's call for one row at a time is timed on the first rows only and multiplied: the loops
would take minutes. NumPy's version is timed in full.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from limelight.kernels.ranking import average_precision, kendall_tau, ndcg_at_k, spearman
from tests.bench.result import Result, Timing, interleaved

WINDOWS, WINDOW = 100_000, 20
VIDEOS, CLIPS = 10_000, 192
LOOPED_WINDOWS, LOOPED_VIDEOS = 500, 100
# Windows whose pairs NumPy compares together, so that they stay in the cache: the fastest of 64,
# 128, ..., 4,096.
CHUNK = 512
REPEATS = 15
THREADS = (1, 2)
K = 10

Work = Callable[[int], Any]


class Peer(NamedTuple):
    name: str
    run: Callable[[], Any]
    share: float
    target: str


def run() -> Result:
    rng = np.random.default_rng(0)
    rows: list[tuple[str | float, ...]] = []
    missing = [name for name in ("scipy", "sklearn") if not _module(name)]
    for dtype in (np.float32, np.float64):
        predicted = rng.random((WINDOWS, WINDOW)).astype(dtype)
        # CTR of few viewers: half of the windows have ties.
        actual = rng.random((WINDOWS, WINDOW)).astype(dtype)
        actual[::2] = np.round(actual[::2] * 10) / 10
        scores = rng.random((VIDEOS, CLIPS)).astype(dtype)
        relevant = rng.random(scores.shape) < 0.2
        gains = rng.integers(0, 5, scores.shape).astype(dtype)
        windows = f"{WINDOWS:,} x {WINDOW}, {np.dtype(dtype)}"
        videos = f"{VIDEOS:,} x {CLIPS}, {np.dtype(dtype)}"
        rows += _compared(
            f"Kendall's tau, {windows}",
            lambda threads, p=predicted, a=actual: kendall_tau(p, a, threads=threads),
            [
                *_looped_windows("kendalltau", predicted, actual, ">= 3,000x"),
                Peer("NumPy", lambda p=predicted, a=actual: _kendall_numpy(p, a), 1.0, ">= 30x"),
            ],
        )
        rows += _compared(
            f"Spearman's rho, {windows}",
            lambda threads, p=predicted, a=actual: spearman(p, a, threads=threads),
            _looped_windows("spearmanr", predicted, actual, "none"),
        )
        rows += _compared(
            f"average precision, {videos}",
            lambda threads, s=scores, r=relevant: average_precision(s, r, threads=threads),
            _looped_videos("average_precision_score", scores, relevant, ">= 60x"),
        )
        rows += _compared(
            f"NDCG@{K}, {videos}",
            lambda threads, s=scores, g=gains: ndcg_at_k(s, g, K, threads=threads),
            _looped_ndcg(scores, gains),
        )
    note = (
        f"One process, taking turns, minimum of {REPEATS}, seed 0. {_versions()}. Loops over one "
        f"row at a time are timed on the first {LOOPED_WINDOWS} windows or {LOOPED_VIDEOS} videos "
        f"and multiplied; NumPy in full, in chunks of {CHUNK} windows. Half of "
        "the windows have ties, a fifth of the clips is relevant."
    )
    if missing:
        note += f" Not installed and left out: {', '.join(missing)}."
    return Result(
        title="Ranking measures of many windows and videos",
        columns=(
            "work",
            "threads",
            "ours min ms",
            "ours median ms",
            "peer",
            "peer min ms",
            "peer median ms",
            "ratio (by minimum)",
            "target",
        ),
        rows=tuple(rows),
        note=note,
    )


def _compared(name: str, work: Work, peers: list[Peer]) -> list[tuple[str | float, ...]]:
    for peer in peers:
        found, expected = work(1), np.asarray(peer.run())
        np.testing.assert_allclose(found[: len(expected)], expected, atol=1e-12)
    todo = {f"{threads}": lambda t=threads: work(t) for threads in THREADS}
    todo |= {peer.name: peer.run for peer in peers}
    timings = interleaved(todo, repeats=REPEATS)
    rows: list[tuple[str | float, ...]] = []
    for threads in THREADS:
        own = timings[f"{threads}"]
        first = (name, threads, round(own.min_ms, 2), round(own.median_ms, 2))
        for peer in peers:
            slow = _whole(timings[peer.name], peer.share)
            target = peer.target if threads == 1 else "none"
            ratio = f"{slow.min_ms / own.min_ms:,.0f}x"
            other = (peer.name, round(slow.min_ms), round(slow.median_ms))
            rows.append((*first, *other, ratio, target))
        if not peers:
            rows.append((*first, "none installed", "", "", "", ""))
    return rows


def _whole(timing: Timing, share: float) -> Timing:
    return Timing(timing.min_ms / share, timing.median_ms / share)


def _looped_windows(
    function: str, predicted: NDArray[Any], actual: NDArray[Any], target: str
) -> list[Peer]:
    stats = _module("scipy.stats")
    if not stats:
        return []
    call = getattr(stats, function)
    pairs = list(zip(predicted[:LOOPED_WINDOWS], actual[:LOOPED_WINDOWS], strict=True))
    return [
        Peer(
            f"loop of scipy.stats.{function}",
            lambda: [call(p, a).statistic for p, a in pairs],
            LOOPED_WINDOWS / WINDOWS,
            target,
        )
    ]


def _looped_videos(
    function: str, scores: NDArray[Any], relevant: NDArray[Any], target: str
) -> list[Peer]:
    metrics = _module("sklearn.metrics")
    if not metrics:
        return []
    call = getattr(metrics, function)
    pairs = list(zip(relevant[:LOOPED_VIDEOS], scores[:LOOPED_VIDEOS], strict=True))
    return [
        Peer(
            f"loop of sklearn {function}",
            lambda: [call(r, s) for r, s in pairs],
            LOOPED_VIDEOS / VIDEOS,
            target,
        )
    ]


def _looped_ndcg(scores: NDArray[Any], gains: NDArray[Any]) -> list[Peer]:
    metrics = _module("sklearn.metrics")
    if not metrics:
        return []
    pairs = list(zip(gains[:LOOPED_VIDEOS], scores[:LOOPED_VIDEOS], strict=True))
    return [
        Peer(
            "loop of sklearn ndcg_score",
            lambda: [metrics.ndcg_score(g[None], s[None], k=K) for g, s in pairs],
            LOOPED_VIDEOS / VIDEOS,
            "none",
        )
    ]


def _kendall_numpy(predicted: NDArray[Any], actual: NDArray[Any]) -> NDArray[np.float64]:
    upper, lower = np.triu_indices(predicted.shape[1], 1)
    tau = np.empty(len(predicted))
    for first in range(0, len(predicted), CHUNK):
        p, a = predicted[first : first + CHUNK], actual[first : first + CHUNK]
        ours = np.sign(p[:, upper] - p[:, lower])  # (CHUNK, pairs)
        theirs = np.sign(a[:, upper] - a[:, lower])
        # All sums are whole numbers up to 190, which float32 holds.
        agreement = np.einsum("bp,bp->b", ours, theirs)
        untied = np.count_nonzero(ours, axis=1) * np.count_nonzero(theirs, axis=1)
        tau[first : first + CHUNK] = agreement / np.sqrt(untied)
    return tau


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None


def _versions() -> str:
    modules = [_module(name) for name in ("numpy", "numba", "scipy", "sklearn")]
    return ", ".join(f"{m.__name__} {m.__version__}" for m in modules if m)
