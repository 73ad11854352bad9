"""Parts of an evaluation: what is in each, and that each is judged as if it stood alone."""

from dataclasses import replace

import numpy as np
import pytest

from limelight.replay.evaluation.evaluate import evaluate_rooms
from limelight.replay.evaluation.options import EvaluationOptions
from limelight.replay.evaluation.slices import slices
from tests.replay.evaluation.made_rooms import make_room, make_rooms

OPTIONS = EvaluationOptions(resamples=20, reliability_bins=1)


def flat(rooms, kind: str) -> dict[str, np.ndarray]:
    return dict(slices(kind, rooms))


def test_rooms_of_a_category_are_judged_as_if_alone() -> None:
    rooms = make_rooms(8)
    found = {
        s.value: s for s in evaluate_rooms(rooms, options=OPTIONS).slices if s.kind == "category"
    }
    assert list(found) == ["category-0", "category-1"]
    own = [room for room in rooms if room.category == "category-1"]
    alone = evaluate_rooms(own, options=replace(OPTIONS, slices=())).whole
    part = found["category-1"]
    assert (part.rooms, part.segments) == (4, sum(len(room) for room in own))
    assert part.models["good"].measures == alone.models["good"].measures
    same = set(alone.differences[0].p_value) - {"auc"}
    for name in same:
        assert part.differences[0].p_value[name] == alone.differences[0].p_value[name], name


def test_segments_of_a_slice_alone_count() -> None:
    rooms = [replace(room, category="") for room in make_rooms(8, unmeasured=0.0)]
    result = evaluate_rooms(rooms, options=OPTIONS)
    parts = {s.value: s for s in result.slices if s.kind == "missing modality"}
    assert list(parts) == ["both", "none", "picture", "text"]
    assert sum(part.segments for part in parts.values()) == result.whole.segments
    rates = [part.models["bad"].measures["highlights_an_hour"].value for part in parts.values()]
    segments = [part.segments for part in parts.values()]
    whole = result.whole.models["bad"].measures["highlights_an_hour"].value
    assert np.average(rates, weights=segments) == pytest.approx(whole)
    hidden = [
        replace(
            room, measured=np.where(room.present.all(axis=1), room.measured, np.float32(np.nan))
        )
        for room in rooms
    ]
    expected = evaluate_rooms(hidden, options=replace(OPTIONS, slices=())).whole
    for name in ("tau", "room_tau", "auc", "log_loss", "mean_ratio", "ratio_of_means"):
        found = parts["none"].models["bad"].measures[name].value
        assert found == pytest.approx(expected.models["bad"].measures[name].value), name


def test_sizes_are_of_the_mean_impressions_of_counted_segments() -> None:
    rooms = [
        make_room(number, 2, viewers=np.array(viewers, np.float32))
        for number, viewers in enumerate([[0, 99], [100, 100], [5_000, 16_000], [0, 0]])
    ]
    found = flat(rooms, "size")
    assert list(found) == ["under 100", "100 to 999", "10,000 and more"]
    assert [np.flatnonzero(seen).tolist() for seen in found.values()] == [[0, 1], [2, 3], [4, 5]]


def test_hours_are_of_the_day_in_utc_and_need_a_date() -> None:
    hour = 3_600_000
    start_ms = np.array([0, 2 * hour, 26 * hour], np.int64) + 1_700_006_400_000  # midnight
    found = flat([make_room(0, 3, start_ms=start_ms)], "hour")
    assert {name: seen.tolist() for name, seen in found.items()} == {
        "00 UTC": [True, False, False],
        "02 UTC": [False, True, True],
    }
    assert flat([make_room(0, 3, start_ms=np.arange(3) * 30_000)], "hour") == {}


def test_a_kind_with_one_value_has_no_parts() -> None:
    assert flat([make_room(0), make_room(2)], "category") == {}
    unknown = [make_room(0), replace(make_room(2), category="")]
    assert list(flat(unknown, "category")) == ["category-0"]


def test_slices_can_be_chosen() -> None:
    options = replace(OPTIONS, slices=("category",))
    found = evaluate_rooms(make_rooms(4), options=options).slices
    assert {part.kind for part in found} == {"category"}
