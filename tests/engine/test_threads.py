"""The number of threads is one that was tried, by what the trials say."""

import pytest
import torch

from limelight.engine import threads
from limelight.engine.threads import fastest_threads, usable_cores


def test_a_real_trial_gives_a_number_of_cores_and_leaves_torch_as_it_was() -> None:
    before = torch.get_num_threads()
    assert 1 <= fastest_threads() <= usable_cores()
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({1: 1.0, 2: 0.5, 4: 0.3, 8: 0.29}, 4),  # eight are no tenth faster than four
        ({1: 1.0, 2: 1.4, 4: 0.6, 8: 2.0}, 4),
        ({1: 1.0, 2: 0.95, 4: 0.95, 8: 0.95}, 1),
    ],
)
def test_a_thread_more_must_be_worth_it(
    seconds: dict[int, float], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 1

    def set_threads(wanted: int) -> None:
        nonlocal count
        count = wanted

    monkeypatch.setattr(torch, "set_num_threads", set_threads)
    monkeypatch.setattr(threads, "usable_cores", lambda: 8)
    monkeypatch.setattr(threads, "_timed_s", lambda: seconds[count])
    assert fastest_threads() == expected
