"""The fuzzers' targets without a fuzzer: their seeds, and mutations of them by Hypothesis."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.__main__ import NAMES
from tests.fuzz.targets import TARGETS, Target


@st.composite
def mutated(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A seed with a few bytes replaced, parts left out or repeated, and another's end."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        at, end = sorted(draw(st.integers(0, len(data))) for _ in range(2))
        change = draw(st.sampled_from(["write", "cut", "repeat", "splice"]))
        if change == "write":
            data = data[:at] + draw(st.binary(max_size=4)) + data[at + 1 :]
        elif change == "cut":
            data = data[:at] + data[end:]
        elif change == "repeat":
            data = data[:end] + data[at:]
        else:
            data = data[:at] + draw(st.sampled_from(seeds))[at:]
    return data


def test_every_target_can_be_named() -> None:
    assert list(NAMES) == list(TARGETS)


@pytest.mark.parametrize("name", NAMES)
def test_a_target_reads_its_seeds_and_whatever_they_become(name: str) -> None:
    target: Target = TARGETS[name]
    seeds = target.seeds()
    for seed in (b"", *seeds):
        target.run(seed)

    @settings(max_examples=150, deadline=None)
    @given(mutated(seeds) | st.binary(max_size=200))
    def run(data: bytes) -> None:
        target.run(data)

    run()
