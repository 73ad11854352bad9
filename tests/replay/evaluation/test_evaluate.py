"""Measures against SciPy, scikit-learn and loops; intervals and p-values against recomputation."""

import math
from dataclasses import replace

import numpy as np
import pytest

from limelight.models.training.evaluation import evaluate
from limelight.replay.evaluation.evaluate import evaluate_rooms
from limelight.replay.evaluation.options import EvaluationOptions
from limelight.replay.evaluation.resampling import draw_rooms, draw_swaps
from limelight.replay.evaluation.result import MEASURES
from limelight.replay.evaluation.rooms import JudgedRoom
from limelight.streams.settings import DetectorSettings
from tests.replay.evaluation import plain
from tests.replay.evaluation.made_rooms import make_room, make_rooms

NAN = math.nan
QUICK = EvaluationOptions(resamples=32, slices=(), reliability_bins=1)


def values(result, model: str = "good") -> dict[str, float]:
    return {name: each.value for name, each in result.whole.models[model].measures.items()}


@pytest.mark.parametrize("model", ["good", "bad"])
@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("tolerance", [0, 2])
def test_every_measure_is_the_plain_one(model: str, counted: bool, tolerance: int) -> None:
    rooms = make_rooms(counted=counted)
    found = values(evaluate_rooms(rooms, options=replace(QUICK, tolerance=tolerance)), model)
    expected = plain.measures(rooms, model, tolerance=tolerance)
    assert list(found) == list(MEASURES)
    assert not any(math.isnan(value) for value in expected.values())
    assert found == pytest.approx(expected, rel=1e-9)


def test_what_training_measures_as_well_has_the_same_value() -> None:
    rooms = make_rooms(counted=False)
    found = values(evaluate_rooms(rooms, options=QUICK))
    expected = evaluate([room.predictions["good"] for room in rooms], [r.measured for r in rooms])
    for name in ("tau", "log_loss", "mean_ratio", "ratio_of_means"):
        assert found[name] == pytest.approx(getattr(expected, name), rel=1e-6), name


def test_reliability_bins_hold_as_many_impressions_each() -> None:
    rooms = make_rooms()
    result = evaluate_rooms(rooms, options=replace(QUICK, reliability_bins=5))
    curve = result.whole.models["good"].reliability
    predicted = np.concatenate([room.predictions["good"] for room in rooms]).astype(float)
    known = ~np.isnan(np.concatenate([room.measured for room in rooms]))
    viewers = np.concatenate([room.viewers for room in rooms])[known]
    clicks = np.concatenate([room.clicks for room in rooms])[known]
    # Every impression on its own, in order; a bin goes on to the last of equal predictions.
    each = np.sort(np.repeat(predicted[known], viewers.astype(int)))
    firsts = [each[math.ceil(len(each) * part / 5)] for part in range(1, 5)]
    ends = [np.searchsorted(each, first, side="right") for first in firsts]
    edges = [each[end - 1] for end in ends]
    place = np.searchsorted(edges, predicted[known])
    expected = [
        (
            np.average(predicted[known][place == b], weights=viewers[place == b]),
            clicks[place == b].sum() / viewers[place == b].sum(),
            viewers[place == b].sum(),
        )
        for b in range(5)
    ]
    np.testing.assert_allclose(curve, expected, rtol=1e-6)
    error = plain.clicked(rooms, "good", edges)["calibration_error"]
    assert values(result)["calibration_error"] == pytest.approx(error)


def test_intervals_are_quantiles_of_measures_of_rooms_drawn_again() -> None:
    rooms = make_rooms(6)
    result = evaluate_rooms(rooms, options=QUICK)
    draws = draw_rooms(6, QUICK).astype(int)
    assert draws.shape == (32, 6) and (draws.sum(axis=1) == 6).all()
    again = {
        model: [
            plain.measures(
                [room for room, n in zip(rooms, draw, strict=True) for _ in range(n)], model
            )
            for draw in draws
        ]
        for model in ("good", "bad")
    }
    (difference,) = result.whole.differences
    for name in MEASURES:
        good, bad = ([measures[name] for measures in again[model]] for model in ("good", "bad"))
        for found, expected in (
            (result.whole.models["good"].measures[name], good),
            (result.whole.models["bad"].measures[name], bad),
            (difference.measures[name], np.subtract(good, bad)),
        ):
            low, high = np.nanquantile(expected, (0.025, 0.975))
            assert (found.low, found.high) == pytest.approx((low, high), rel=1e-6, abs=1e-9), name


def test_rooms_are_drawn_evenly_and_by_the_seed() -> None:
    options = replace(QUICK, resamples=4000)
    draws = draw_rooms(5, options)
    # Multinomial: mean 1, variance 1 - 1/5.
    assert draws.mean(axis=0) == pytest.approx(np.ones(5), abs=0.06)
    assert draws.var(axis=0) == pytest.approx(np.full(5, 0.8), abs=0.08)
    assert (draws == draw_rooms(5, options)).all()
    assert (draws != draw_rooms(5, replace(options, seed=1))).any()


# AUC is left out: its swaps are of ranks, and have a test of their own.
@pytest.mark.parametrize("rooms_count", [5, 6])
def test_p_values_are_the_share_of_swaps_with_as_large_a_difference(rooms_count: int) -> None:
    # 32 swaps of 5 rooms are all taken, of the 64 of 6 rooms some are drawn.
    rooms = make_rooms(rooms_count, errors={"good": 0.05, "bad": 0.08})
    result = evaluate_rooms(rooms, options=QUICK)
    swaps = draw_swaps(rooms_count, QUICK)
    assert (len(swaps.swapped), swaps.is_exact) == ((32, True) if rooms_count == 5 else (32, False))
    differences = {name: [] for name in MEASURES}
    for swapped in swaps.swapped:
        mixed = [
            replace(
                room,
                predictions={
                    "good": room.predictions["bad" if swap else "good"],
                    "bad": room.predictions["good" if swap else "bad"],
                },
            )
            for room, swap in zip(rooms, swapped, strict=True)
        ]
        good, bad = plain.measures(mixed, "good"), plain.measures(mixed, "bad")
        for name in MEASURES:
            differences[name].append(good[name] - bad[name])
    (found,) = result.whole.differences
    for name in set(MEASURES) - {"auc"}:
        swapped = np.array(differences[name])
        swapped = np.abs(swapped[~np.isnan(swapped)])
        as_large = int((swapped >= abs(found.measures[name].value) - 1e-9).sum())
        extra = 0 if swaps.is_exact else 1
        expected = (extra + as_large) / (extra + len(swapped))
        assert found.p_value[name] == pytest.approx(expected), name


def test_swapped_auc_is_of_each_models_own_ranks() -> None:
    rooms = make_rooms(4, unmeasured=0.0)
    result = evaluate_rooms(rooms, options=QUICK)
    ranked = {}
    for model in ("good", "bad"):
        every = np.concatenate([room.predictions[model] for room in rooms])
        ranked[model] = [
            np.array([(every < p).sum() + (every == p).sum() / 2 for p in room.predictions[model]])
            for room in rooms
        ]
    swapped = []
    for code in range(16):
        mixed = []
        for number, room in enumerate(rooms):
            names = ("bad", "good") if code >> number & 1 else ("good", "bad")
            both = {
                name: ranked[source][number] / 1000
                for name, source in zip(("good", "bad"), names, strict=True)
            }
            mixed.append(replace(room, predictions=both))
        good, bad = (plain.clicked(mixed, model)["auc"] for model in ("good", "bad"))
        swapped.append(abs(good - bad))
    found = result.whole.differences[0]
    expected = np.mean(np.array(swapped) >= abs(found.measures["auc"].value) - 1e-9)
    assert found.p_value["auc"] == pytest.approx(expected)


def test_a_better_model_is_told_from_a_worse_one() -> None:
    rooms = make_rooms(24)
    (found,) = evaluate_rooms(rooms, options=replace(QUICK, resamples=400)).whole.differences
    assert (found.of, found.minus) == ("good", "bad")
    assert found.measures["tau"].low > 0 and found.p_value["tau"] < 0.01
    assert found.measures["auc"].low > 0 and found.p_value["auc"] < 0.01
    assert found.measures["log_loss"].high < 0 and found.p_value["log_loss"] < 0.01


def test_a_model_does_not_differ_from_itself() -> None:
    rooms = [
        replace(
            room, predictions={"one": room.predictions["good"], "two": room.predictions["good"]}
        )
        for room in make_rooms(12)
    ]
    (found,) = evaluate_rooms(rooms, options=QUICK).whole.differences
    for name in MEASURES:
        assert found.measures[name].value == found.measures[name].low == 0, name
        assert found.p_value[name] == 1, name


def test_p_values_of_models_that_are_as_good_are_uniform() -> None:
    small = []
    for trial in range(50):
        random = np.random.default_rng(trial)
        rooms = []
        for room in make_rooms(10, errors={"one": 0.0}):
            both = {
                name: room.predictions["one"] + random.normal(size=len(room)).astype(np.float32)
                for name in ("one", "two")
            }
            rooms.append(replace(room, predictions=both))
        result = evaluate_rooms(rooms, options=replace(QUICK, resamples=99, seed=trial))
        small.append(result.whole.differences[0].p_value["tau"])
    # 50 draws of a uniform number: 25 below one half, give or take 4 standard deviations.
    assert 11 < sum(p < 0.5 for p in small) < 39
    assert sum(p <= 0.05 for p in small) <= 10


def test_the_first_model_is_compared_with_each_of_the_others() -> None:
    rooms = make_rooms(4, errors={"a": 0.1, "b": 0.2, "c": 0.0})
    result = evaluate_rooms(rooms, models=("c", "a", "b"), options=QUICK)
    assert result.models == ("c", "a", "b")
    assert [(d.of, d.minus) for d in result.whole.differences] == [("c", "a"), ("c", "b")]
    assert evaluate_rooms(rooms, models=["b"], options=QUICK).whole.differences == ()


def test_pieces_of_one_room_are_drawn_together() -> None:
    rooms = make_rooms(6)
    pieces = [replace(room, room_id=f"room-{number // 2}") for number, room in enumerate(rooms)]
    result = evaluate_rooms(pieces, options=QUICK)
    assert result.whole.rooms == 3
    taus = [
        plain.measures([rooms[2 * number + half] for number in draw for half in (0, 1)], "good")[
            "tau"
        ]
        for draw in (np.repeat(range(3), row.astype(int)) for row in draw_rooms(3, QUICK))
    ]
    found = result.whole.models["good"].measures["tau"]
    assert (found.low, found.high) == pytest.approx(np.quantile(taus, (0.025, 0.975)))
    assert found.value == pytest.approx(plain.measures(rooms, "good")["tau"])


def test_marked_intervals_go_before_the_best_segments() -> None:
    room = make_room(3, 40, unmeasured=0.0)
    start = int(room.start_ms[0])
    marked = np.array([[start + 310_000, start + 400_000], [start + 900_000, start + 930_000]])
    rooms = [replace(room, intervals=marked), make_room(1)]
    found = values(evaluate_rooms(rooms, options=QUICK), "bad")
    assert found == pytest.approx(plain.measures(rooms, "bad"), rel=1e-9)
    none = [replace(room, intervals=np.empty((0, 2), np.int64)) for room in make_rooms(4)]
    found = values(evaluate_rooms(none, options=QUICK), "bad")
    assert found["precision"] == 0 and math.isnan(found["recall"])


def test_highlights_are_the_live_detectors_by_its_settings() -> None:
    rooms = make_rooms(6)
    detector = DetectorSettings(spread_factor=0.5, ctr_floor=0.05, cool_down_segments=0)
    found = values(evaluate_rooms(rooms, options=replace(QUICK, detector=detector)))
    expected = plain.measures(rooms, "good", detector=detector)
    assert found == pytest.approx(expected, rel=1e-9)
    assert (
        found["highlights_an_hour"]
        > values(evaluate_rooms(rooms, options=QUICK))["highlights_an_hour"]
    )


def test_an_energy_has_the_floor_of_energies() -> None:
    rooms = make_rooms(6)
    detector = DetectorSettings(floor=1.0, ctr_floor=0.0)
    options = replace(QUICK, detector=detector, energies=frozenset({"good"}))
    result = evaluate_rooms(rooms, options=options)
    assert values(result)["highlights_an_hour"] == 0
    assert values(result, "bad")["highlights_an_hour"] > 0


def constant(room: JudgedRoom, ctr: float = 0.3) -> JudgedRoom:
    return replace(room, predictions={"good": np.full(len(room), ctr, np.float32)})


@pytest.mark.parametrize(
    ("rooms", "undefined"),
    [
        ([constant(make_room())], {"tau", "room_tau", "precision", "time_to_detect_s"}),
        (
            [make_room(segments=1, unmeasured=0.0)],
            {"tau", "room_tau", "map", "hit_at_1", "precision", "recall", "time_to_detect_s"},
        ),
        (
            [
                replace(
                    make_room(), clicks=np.zeros(40, np.float32), measured=np.zeros(40, np.float32)
                )
            ],
            {
                "tau",
                "room_tau",
                "auc",
                "mean_ratio",
                "ratio_of_means",
                "map",
                "hit_at_1",
                "precision",
                "recall",
                "time_to_detect_s",
            },
        ),
    ],
    ids=["constant predictions", "one segment", "no clicks"],
)
def test_what_cannot_be_said_is_nan(rooms: list[JudgedRoom], undefined: set[str]) -> None:
    result = evaluate_rooms(rooms, models=["good"], options=QUICK)
    found = values(result)
    assert {name for name, value in found.items() if math.isnan(value)} == undefined
    assert found == pytest.approx(plain.measures(rooms, "good"), rel=1e-9, nan_ok=True)
    for each in result.whole.models["good"].measures.values():
        # One room does not say how rooms differ.
        assert math.isnan(each.low) and math.isnan(each.high)


def test_a_constant_has_an_auc_of_a_half() -> None:
    found = values(evaluate_rooms([constant(room) for room in make_rooms(3)], options=QUICK))
    assert found["auc"] == 0.5


@pytest.mark.parametrize(
    ("rooms", "models", "text"),
    [
        ([], None, "rooms: found none with a segment, expected at least one"),
        ([make_room()], [], "models: found none, expected at least one"),
        ([make_room()], ["good", "good"], "found .'good', 'good'., expected each name once"),
        ([make_room()], ["new"], r"room room-0: found predictions of .*, expected also .'new'."),
        ([make_room(unmeasured=1.1)], None, "found no measured CTR and no marked interval in 1"),
    ],
)
def test_what_cannot_be_judged_is_refused(rooms, models, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        evaluate_rooms(rooms, models=models)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"resamples": 0}, "resamples: found 0, expected 1 or more"),
        ({"top_share": 1.0}, "top_share: found 1.0, expected between 0 and 1"),
        ({"slices": ("colour",)}, "slices: found .'colour'., expected some of"),
    ],
)
def test_options_out_of_range_are_refused(options: dict, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        EvaluationOptions(**options)
