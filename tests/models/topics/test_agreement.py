import numpy as np
import pytest

from limelight.models.topics.agreement import agreement
from limelight.models.topics.topics import unit


def test_clusters_that_are_the_classes_agree_and_noise_does_not() -> None:
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 4, 200)
    rows = unit(np.eye(4)[kinds] + 0.05 * rng.standard_normal((200, 4))).astype(np.float32)
    found = agreement(rows, [[f"kind {kind}"] for kind in kinds])
    assert found is not None
    assert (found.ari, found.nmi) == pytest.approx((1, 1))
    shuffled = agreement(rows, [[f"kind {kind}"] for kind in rng.permutation(kinds)])
    assert shuffled is not None
    assert abs(shuffled.ari) < 0.05


def test_what_cannot_be_compared_has_no_figure() -> None:
    rows = np.eye(3, dtype=np.float32)
    assert agreement(rows, [["a"], ["a"], []]) is None
    assert agreement(rows[[0, 0, 0]], [["a"], ["b"], ["a"]]) is None
    assert agreement(np.zeros((3, 3), np.float32), [["a"], ["b"], ["a"]]) is None
