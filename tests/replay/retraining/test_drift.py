"""The population stability index, against its formula spelled out, and what it says of rooms."""

import math
from itertools import pairwise

import numpy as np
import pytest

from limelight.models.datasets.labelled_room import COUNT_NAMES, LabelledRoom
from limelight.replay.retraining.drift import (
    decoded_distribution,
    distribution,
    drift,
    encoded_distribution,
)


def room(seed: int, segments: int = 400, shift: float = 0.0, silent: bool = False) -> LabelledRoom:
    rng = np.random.default_rng(seed)
    present = np.ones((segments, 2), np.bool_)
    if silent:
        present[: segments // 2, 1] = False
    counts = np.zeros((segments, len(COUNT_NAMES)), np.float32)
    counts[:, 0] = rng.poisson(500, segments)
    counts[:, 2] = rng.poisson(50, segments)
    return LabelledRoom(
        room_id=f"room {seed}",
        streamer_id="streamer",
        frame_features=(rng.normal(size=(segments, 6)) + shift).astype(np.float16),
        text_features=rng.normal(size=(segments, 4)).astype(np.float32),
        present=present,
        ctr=rng.uniform(0.1, 0.3, segments).astype(np.float32),
        counts=counts,
    )


def said(rooms: list[LabelledRoom], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.beta(2, 8, len(each)) for each in rooms]


def plain_psi(before: np.ndarray, after: np.ndarray) -> float:
    """Deciles counted one by one."""
    edges = [-math.inf, *sorted(np.quantile(before, [n / 10 for n in range(1, 10)])), math.inf]
    total = 0.0
    for low, high in pairwise(edges):
        p = max(1e-4, sum(low < each <= high for each in before) / len(before))
        q = max(1e-4, sum(low < each <= high for each in after) / len(after))
        total += (q - p) * math.log(q / p)
    return total


def test_the_index_is_that_of_the_formula() -> None:
    before, after = room(1), room(2, shift=0.5)
    found = drift(distribution([before], said([before])), [after], said([after], 1))
    plain = [
        plain_psi(a, b)
        for a, b in zip(
            before.frame_features.astype(float).T, after.frame_features.astype(float).T, strict=True
        )
    ]
    assert found.psi["frame_features, mean"] == pytest.approx(np.mean(plain))
    assert found.psi["frame_features, largest"] == pytest.approx(max(plain))
    predicted = plain_psi(said([before])[0], said([after], 1)[0])
    assert found.psi["predicted CTR"] == pytest.approx(predicted)


def test_the_same_platform_has_not_drifted_and_another_has() -> None:
    rooms = [room(seed) for seed in range(5)]
    then = distribution(rooms, said(rooms))
    others = [room(seed) for seed in range(5, 10)]
    assert drift(then, others, said(others)).drifted == []
    changed = [room(seed, shift=1.0, silent=True) for seed in range(5, 10)]
    assert drift(then, changed, said(changed)).drifted == ["text_missing", "frame_features, mean"]


def test_it_is_kept_as_json_and_what_is_none_is_refused() -> None:
    rooms = [room(1)]
    then = distribution(rooms, said(rooms))
    assert decoded_distribution(encoded_distribution(then)) == then
    for broken in (b"{", b"[]", b'{"viewers": [{"edges": [1]}]}'):
        with pytest.raises(ValueError, match="distribution: found"):
            decoded_distribution(broken)


def test_features_of_another_size_are_named_and_not_compared() -> None:
    rooms = [room(1)]
    then = distribution(rooms, said(rooms))
    then["frame_features"] = then["frame_features"][:3]
    found = drift(then, rooms, said(rooms))
    assert found.missing == ("frame_features",)
    assert "frame_features, mean" not in found.psi
