"""The tables say what the runs say; a short run of each kind really trains."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from limelight.replay.tables.experiment_run import (
    RunSize,
    energy_predictions,
    find_run,
    run_about,
    run_and_store,
)
from limelight.replay.tables.experiments import (
    CONTENTCTR,
    ENERGY,
    ID_BASELINES,
    METHODS,
    MODALITIES,
    OURS,
    all_experiments,
)
from limelight.replay.tables.markdown import between_markers, row, spread
from limelight.replay.tables.tables import TableOptions, make_tables, tables_text

SMALL = RunSize(training_rooms=12, validation_rooms=4, test_rooms=4, epochs=1)


def made_up_runs(**taus: tuple[float, float]) -> dict[str, list[dict[str, float]]]:
    """Runs of two seeds: 0.60 and 0.62 for ContentCTR, 0.5 for what is not named."""
    runs = {each.name: [0.5, 0.5] for each in all_experiments()}
    runs |= {CONTENTCTR: [0.60, 0.62], **{name: list(pair) for name, pair in taus.items()}}
    return {
        name: [
            {"seed": s, "tau": t, "mean_ratio": 1.2, "ratio_of_means": 1.0} for s, t in enumerate(v)
        ]
        for name, v in runs.items()
    }


def test_the_papers_numbers_stand_in_the_tables() -> None:
    # Tables 1, 3 and 4 of the paper, read again from its text.
    papers = {each.name: each.paper_tau for each in all_experiments()}
    assert papers["DIFM"] == 0.5697
    assert papers["CrossAttention-kv"] == 0.5780
    assert papers["w/o visual"] == 0.5447
    assert papers["Model4: point + pair 2"] == 0.5256
    assert papers[CONTENTCTR] == 0.5919
    assert len(METHODS) == 13
    assert len(papers) == 21


def test_a_row_gives_mean_spread_and_paired_difference_by_hand() -> None:
    lines = tables_text(made_up_runs(DIFM=(0.50, 0.56)))
    (found,) = [line for line in lines if line.startswith("| DIFM |")]
    # Mean of 0.50 and 0.56; differences -0.10 and -0.06; both with n - 1.
    assert found == row(["DIFM", "0.5300 ± 0.0424", "-0.0800 ± 0.0283", "0.5697", "-0.0222"])


def test_of_one_value_there_is_no_spread() -> None:
    assert spread([0.25]) == "0.2500"
    assert spread([0.1, 0.3], sign="+") == "+0.2000 ± 0.1414"


SHORT = (OURS, MODALITIES[3], METHODS[7], ID_BASELINES[0], *METHODS[:3])


@pytest.mark.parametrize("experiment", SHORT, ids=lambda experiment: experiment.name)
def test_a_short_run_of_each_kind_is_measured_and_stored(experiment, tmp_path: Path) -> None:
    assert find_run(experiment, 0, SMALL, tmp_path) is None
    found = run_and_store(experiment, 0, SMALL, tmp_path)
    assert found["name"] == experiment.name
    assert -1 <= found["tau"] <= 1
    assert found["windows"] == 12
    assert find_run(experiment, 0, SMALL, tmp_path) == found
    larger = RunSize(training_rooms=13, validation_rooms=4, test_rooms=4, epochs=1)
    assert find_run(experiment, 0, larger, tmp_path) is None
    assert find_run(experiment, 1, SMALL, tmp_path) is None


def test_tables_are_made_of_stored_runs_and_keep_what_people_wrote(tmp_path: Path) -> None:
    work, out = tmp_path / "work", tmp_path / "results.md"
    work.mkdir()
    for experiment in all_experiments():
        for seed in (0, 1):
            safe = "".join(c if c.isalnum() else "-" for c in experiment.name)
            fields = run_about(experiment, seed, SMALL) | {"tau": 0.5 - seed / 10}
            fields |= {"mean_ratio": 1.1, "ratio_of_means": 1.0}
            (work / f"{safe}-seed{seed}.json").write_text(json.dumps(fields))
    out.write_text("Before.\n<!-- tables: begin -->\nold\n<!-- tables: end -->\nAfter.\n")
    options = TableOptions(work, out, seeds=2, processes=1, size=SMALL)
    make_tables(options, Console(quiet=True))
    text = out.read_text()
    assert text.startswith("Before.\n") and text.endswith("After.\n") and "old" not in text
    assert f"| {ENERGY} | 0.4500 ± 0.0707 | +0.0000 ± 0.0000 |" in text
    assert "ContentCTR above every ID baseline in every seed: NO" in text


def test_a_file_without_markers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.md").write_text("no markers")
    with pytest.raises(ValueError, match="expected both markers"):
        between_markers(tmp_path / "r.md", "tables", [])


def test_one_seed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="seeds: found 1, expected at least 2"):
        make_tables(TableOptions(tmp_path, tmp_path / "r.md", seeds=1), Console(quiet=True))


def test_energy_ranks_a_burst_above_calm() -> None:
    from limelight.replay.simulator.features import labelled_rooms
    from limelight.replay.simulator.world import World, WorldConfig

    (room,) = labelled_rooms(World(WorldConfig(), 0), range(1))
    room.counts[:, 2] = 5
    room.counts[30, 2] = 100
    (energy,) = energy_predictions([room])
    assert energy.argmax() == 30
