"""Models judged on rooms: every measure with its interval, every pair with its test."""

from collections.abc import Sequence

import numpy as np

from limelight.replay.evaluation.options import EvaluationOptions
from limelight.replay.evaluation.resampling import (
    click_order,
    draw_rooms,
    draw_swaps,
    estimate,
    p_value,
    reliability,
    resampled_measures,
    swapped_differences,
)
from limelight.replay.evaluation.result import (
    MEASURES,
    Difference,
    EvaluationResult,
    ModelResult,
    SliceResult,
)
from limelight.replay.evaluation.rooms import JudgedRoom
from limelight.replay.evaluation.slices import slices
from limelight.replay.evaluation.statistics import Judged, Mask, judge, room_statistics


def evaluate_rooms(
    rooms: Sequence[JudgedRoom],
    *,
    models: Sequence[str] | None = None,
    options: EvaluationOptions | None = None,
) -> EvaluationResult:
    """How well each model does on the rooms, and the first model against each of the others.

    Pieces with one room id are one room: they are drawn and swapped together. A measure that
    nothing can be said about is NaN.

    Args:
        models: those to judge, of the rooms' predictions; None takes all.

    Raises:
        ValueError: no rooms, a room without a model's predictions, or no segment with a measured
            CTR or marked interval.
    """
    options = options or EvaluationOptions()
    rooms = [room for room in rooms if len(room)]
    if not rooms:
        raise ValueError("rooms: found none with a segment, expected at least one")
    names = tuple(models if models is not None else rooms[0].predictions)
    _check(rooms, names)
    judged = judge(rooms, names, options)
    everything = np.ones(len(judged.measured), np.bool_)
    whole = _slice("whole", "", judged, everything, names, options)
    parts = tuple(
        _slice(kind, value, judged, seen, names, options)
        for kind in options.slices
        for value, seen in slices(kind, rooms)
    )
    return EvaluationResult(
        models=names,
        whole=whole,
        slices=parts,
        windows=sum(len(room) // options.window_length for room in rooms),
        resamples=options.resamples,
        seed=options.seed,
        confidence=options.confidence,
    )


def _check(rooms: Sequence[JudgedRoom], models: Sequence[str]) -> None:
    if not models:
        raise ValueError("models: found none, expected at least one")
    if len(set(models)) < len(models):
        raise ValueError(f"models: found {list(models)}, expected each name once")
    for room in rooms:
        if missing := set(models) - set(room.predictions):
            raise ValueError(
                f"room {room.room_id}: found predictions of {list(room.predictions)}, expected"
                f" also {sorted(missing)}"
            )
    if all(np.isnan(room.measured).all() and room.intervals is None for room in rooms):
        raise ValueError(
            f"rooms: found no measured CTR and no marked interval in {len(rooms)}, expected some"
        )


def _slice(
    kind: str,
    value: str,
    judged: Judged,
    seen: Mask,
    models: Sequence[str],
    options: EvaluationOptions,
) -> SliceResult:
    # Only rooms that are seen are drawn: rare ones would be missing from most resamples.
    present, numbers = np.unique(judged.owner[seen], return_inverse=True)
    number_of = np.zeros(judged.owners, np.int64)
    number_of[judged.owner[seen]] = numbers
    parts = {}
    for model in models:
        statistics = room_statistics(judged, model, seen, options)
        clicks = click_order(judged, model, seen)
        parts[model] = statistics.of_rooms(present), clicks.renumbered(number_of)
    drawn = draw_rooms(len(present), options)
    once = np.ones((1, len(present)))
    values = {
        model: {name: float(each[0]) for name, each in found.items()}
        for model, found in (
            (model, resampled_measures(*parts[model], once, options)) for model in models
        )
    }
    resampled = {model: resampled_measures(*parts[model], drawn, options) for model in models}
    results = {
        model: ModelResult(
            measures={
                name: estimate(values[model][name], resampled[model][name], len(present), options)
                for name in MEASURES
            },
            reliability=reliability(parts[model][0]),
        )
        for model in models
    }
    of, *others = models
    swaps = draw_swaps(len(present), options)
    differences = []
    for minus in others:
        swapped = swapped_differences(parts[of], parts[minus], swaps.swapped, options)
        found = {name: values[of][name] - values[minus][name] for name in MEASURES}
        differences.append(
            Difference(
                of=of,
                minus=minus,
                measures={
                    name: estimate(
                        found[name],
                        resampled[of][name] - resampled[minus][name],
                        len(present),
                        options,
                    )
                    for name in MEASURES
                },
                p_value={
                    name: p_value(found[name], swapped[name], is_exact=swaps.is_exact)
                    for name in MEASURES
                },
            )
        )
    return SliceResult(
        kind=kind,
        value=value,
        rooms=len(present),
        segments=int(seen.sum()),
        models=results,
        differences=tuple(differences),
    )
