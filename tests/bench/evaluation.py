"""A whole evaluation against SciPy and scikit-learn: every measure, its interval and its test.

The peer takes each room's measures by their loops once, as a careful script would, and AUC by
scikit-learn for every resample. It would take hours; the loops are timed on some rooms and the
resamples on a few, and multiplied. Sums of the other measures over resamples cost it nothing here.
"""

from importlib.metadata import version

import numpy as np
from sklearn.metrics import roc_auc_score

from limelight.replay.evaluation.evaluate import evaluate_rooms
from limelight.replay.evaluation.options import EvaluationOptions
from limelight.replay.evaluation.rooms import JudgedRoom
from tests.bench.result import Result, interleaved
from tests.replay.evaluation import plain
from tests.replay.evaluation.made_rooms import make_room

ROOMS, SEGMENTS = 5_000, 40
LOOPED_ROOMS, LOOPED_RESAMPLES = 100, 2
RESAMPLES = 1_000
REPEATS = 3
MODELS = ("good", "bad")


def run() -> Result:
    rooms = [make_room(number, SEGMENTS) for number in range(ROOMS)]
    windows = sum(len(room) // 20 for room in rooms)
    whole = EvaluationOptions(resamples=RESAMPLES, slices=())
    sliced = EvaluationOptions(resamples=RESAMPLES)
    found = evaluate_rooms(rooms[:LOOPED_ROOMS], options=whole).whole.models["good"].measures
    expected = plain.measures(rooms[:LOOPED_ROOMS], "good")
    for name in set(expected) - {"calibration_error"}:  # ours has ten bins, the peer one
        np.testing.assert_allclose(found[name].value, expected[name], rtol=1e-9)
    timings = interleaved(
        {
            "ours": lambda: evaluate_rooms(rooms, options=whole),
            "ours with slices": lambda: evaluate_rooms(rooms, options=sliced),
            "loops": lambda: [plain.measures(rooms[:LOOPED_ROOMS], model) for model in MODELS],
            "resamples": lambda: _aucs(rooms),
        },
        repeats=REPEATS,
    )
    # Two models drawn, and two swapped: each of these is an AUC over all segments.
    shares = ROOMS / LOOPED_ROOMS, RESAMPLES * 2 / LOOPED_RESAMPLES
    peer_s = [
        (timings["loops"].min_ms * shares[0] + timings["resamples"].min_ms * shares[1]) / 1000,
        (timings["loops"].median_ms * shares[0] + timings["resamples"].median_ms * shares[1])
        / 1000,
    ]
    loops_s = timings["loops"].min_ms * shares[0] / 1000
    rows: list[tuple[str | float, ...]] = []
    for name in ("ours", "ours with slices"):
        own = timings[name]
        ratio = f"{peer_s[0] * 1000 / own.min_ms:,.0f}x" if name == "ours" else ""
        seconds = round(own.min_ms / 1000, 1), round(own.median_ms / 1000, 1)
        rows.append((name, *seconds, ratio))
    rows.append(("SciPy and scikit-learn", *(f"{each:,.0f}" for each in peer_s), ""))
    rows.append(("of that, without any interval or test", f"{loops_s:,.0f}", "", ""))
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "scikit-learn"))
    return Result(
        title=f"Evaluation of {windows:,} windows: two models, 13 measures, intervals and tests",
        columns=("work", "min s", "median s", "ratio (by minimum)"),
        rows=tuple(rows),
        note=(
            f"{ROOMS:,} rooms of {SEGMENTS} segments, {RESAMPLES:,} resamples and as many swaps,"
            f" one thread, {REPEATS} times in turn, seed fixed. The peer's loops are timed on"
            f" {LOOPED_ROOMS} rooms and multiplied by {shares[0]:.0f}, its AUC on"
            f" {LOOPED_RESAMPLES} resamples of both models and multiplied by {shares[1]:.0f} for"
            f" {RESAMPLES:,} resamples and {RESAMPLES:,} swaps. Both run the live detector, which"
            f" is most of ours. {versions}."
        ),
    )


def _aucs(rooms: list[JudgedRoom]) -> list[float]:
    """AUC of both models by scikit-learn for a few resamples of rooms."""
    random = np.random.default_rng(0)
    known = np.concatenate([~np.isnan(room.measured) for room in rooms])
    owner = np.repeat(np.arange(len(rooms)), [len(room) for room in rooms])[known]
    clicks, viewers = (
        np.concatenate([getattr(room, name) for room in rooms])[known]
        for name in ("clicks", "viewers")
    )
    labels = np.repeat([1, 0], len(owner))
    found = []
    for model in MODELS:
        predicted = np.concatenate([room.predictions[model] for room in rooms])[known]
        for _ in range(LOOPED_RESAMPLES):
            drawn = np.bincount(random.integers(0, len(rooms), len(rooms)), minlength=len(rooms))
            weights = np.concatenate([clicks, viewers - clicks]) * np.tile(drawn[owner], 2)
            found.append(roc_auc_score(labels, np.tile(predicted, 2), sample_weight=weights))
    return found
