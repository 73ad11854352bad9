"""What measures leaves things as they were, and sees what it should."""

import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch

from limelight.engine import scorer as scorer_module
from limelight.engine.bench import timing
from limelight.engine.bench.memory import PeakMemory
from limelight.engine.bench.report import Section, shown, waiting
from limelight.engine.bench.stages import REST, Stages
from limelight.engine.bench.timing import interleaved
from limelight.engine.scorer import load_scorer
from limelight.engine.settings import EngineSettings
from limelight.engine.text_encoder import TextEncoder
from limelight.engine.window import Window


def test_peers_take_turns_after_one_warm_up() -> None:
    calls: list[str] = []
    found = interleaved(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")},
        repeats=2,
        before_turn=lambda: calls.append("-"),
    )
    assert "".join(calls) == "-ab-ab-ab"
    assert found["a"].min_ms <= found["a"].median_ms


def test_the_warm_up_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock_s, costs_s = [0.0], iter([100.0, 3.0, 1.0, 2.0])
    monkeypatch.setattr(timing, "perf_counter", lambda: clock_s[0])

    def run() -> None:
        clock_s[0] += next(costs_s)

    found = interleaved({"a": run}, repeats=3)
    assert found["a"] == timing.Timing(min_ms=1_000, median_ms=2_000)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process's peak")
def test_memory_that_is_free_again_counts_for_the_peak() -> None:
    with PeakMemory(torch.device("cpu")) as memory:
        np.ones(64_000_000, np.uint8)
    assert 60e6 < memory.bytes < 90e6
    with PeakMemory(torch.device("cpu")) as memory:
        pass
    assert memory.bytes < 20e6


def test_stages_count_each_part_once_and_take_their_clocks_away(
    make_window: Callable[..., Window],
) -> None:
    before = scorer_module.check_window, TextEncoder.encode
    scorer = load_scorer(EngineSettings(cache_slots=4, device="cpu"))
    stages = Stages()
    with stages:
        scorer.score([make_window(3, "a"), make_window(3, "b")])
    assert (scorer_module.check_window, TextEncoder.encode) == before
    found = stages.seconds(total=100.0)
    assert found["check"] > 0
    # Its text is encoded inside of what stores, and is not the storing's own.
    assert found["encode texts"] > found["store"] > 0
    assert found["decode"] == 0  # both are prefilled
    assert sum(found.values()) == pytest.approx(100)
    assert found[REST] > 99 or sum(found.values()) - found[REST] < 100


def test_a_table_has_every_column_and_empty_cells() -> None:
    rows = (
        {"what": "a", "ms": 1234.5678, "n": 7},
        waiting({"what": "b"}, "a GPU"),
    )
    section = Section("s", "Title", rows, "Note.")
    assert section.columns == ("what", "ms", "n", "waits for")
    assert section.cells() == [("a", "1,235", "7", ""), ("b", "", "", "a GPU")]
    assert section.table().splitlines() == [
        "Title",
        "what  ms     n  waits for",
        "a     1,235  7",
        "b               a GPU",
        "Note.",
    ]


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        (0.012345, "0.0123"),
        (12.345, "12.3"),
        (99.96, "100"),
        (12_345, "12,345"),
        ("x", "x"),
        (0, "0"),
    ],
)
def test_figures_show_three_digits(figure: float | str, text: str) -> None:
    assert shown(figure) == text
