"""A small run goes through everything and leaves out no row. No time is judged."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from limelight.engine.bench import encoders, following, serving, step
from limelight.engine.bench.ceilings import Ceilings
from limelight.engine.bench.options import Options, measure
from limelight.engine.bench.plan import Plan, full_plan, quick_plan
from limelight.engine.bench.report import Section, as_json
from limelight.engine.bench.suite import PARTS, run


def small_plan() -> Plan:
    return replace(
        quick_plan("cpu"),
        preset="tiny",
        rooms=(2, 3),
        repeats=1,
        serving_rooms=(4, 6),
        fresh_rooms=4,
        takeover_rooms=2,
        pictures=2,
        texts_drawn=5,
        ceiling_seconds=0.0,
        known_texts=6,
    )


@pytest.fixture(scope="module")
def sections() -> dict[str, Section]:
    told: list[str] = []
    found = run(small_plan(), tell=lambda section: told.append(section.name))
    assert told == [section.name for section in found]
    return {section.name: section for section in found}


def whats(section: Section, rooms: int | None = None) -> list[object]:
    return [row["what"] for row in section.rows if rooms is None or row["rooms"] == rooms]


def test_every_part_has_its_sections(sections: dict[str, Section]) -> None:
    assert list(sections) == [
        "ceilings",
        "step",
        "dtype",
        "memory",
        "networks",
        "encoders",
        "serving",
        "stages",
        "take_over",
    ]
    assert list(PARTS) == ["step", "networks", "encoders", "serving"]


@pytest.mark.parametrize("rooms", [2, 3])
def test_the_step_stands_beside_every_peer(sections: dict[str, Section], rooms: int) -> None:
    found = sections["step"]
    assert set(whats(found, rooms)) == {
        step.SERVED,
        step.EAGER,
        step.COMPILED,
        step.DECODER,
        step.WINDOW_DECODER,
        step.STATIC,
        step.DYNAMIC,
    }
    for row in found.rows:
        if row["what"] == step.COMPILED:
            assert "--quick" in str(row["waits for"])
        if "waits for" in row:
            continue
        assert 0 < float(row["min ms"]) <= float(row["median ms"])
        assert float(row["of roofline %"]) == pytest.approx(
            100 * float(row["bound ms"]) / float(row["min ms"])
        )
        assert row["slower, by minimum"] == 1 or row["what"] not in (step.SERVED, step.DECODER)


def test_networks_are_measured_beside_the_step(sections: dict[str, Section]) -> None:
    names = following.STEP, following.EXPLAINED, following.CHALLENGED
    assert whats(sections["networks"], 3) == [*names, following.PREFILL, following.SWAP]


def test_what_needs_other_hardware_says_so(sections: dict[str, Section]) -> None:
    waiting = {
        row["what"]: row["waits for"] for row in sections["memory"].rows if "waits for" in row
    }
    assert waiting == {"device allocations a step": "a GPU"}
    encoders = {row["what"]: row.get("waits for") for row in sections["encoders"].rows}
    assert encoders == {
        "tiny Swin, 2 pictures": None,
        "Swin-B": "a run without --quick",
        "tiny BERT, 5 texts": None,
        "BERT-base": "a run without --quick",
        "Swin-B in bfloat16": "a GPU",
        "BERT-large in bfloat16": "a GPU",
    }
    step_rows = {row["what"]: row for row in sections["step"].rows if row["rooms"] == 4_096}
    assert {row["waits for"] for row in step_rows.values()} == {"a GPU"}
    assert step_rows[step.EAGER]["target"] == ">= 15x"
    assert sections["serving"].rows[-1] == {
        "rooms": 10_000,
        "what": serving.TAKE_OVER,
        "target": "< 10 s on a GPU",
        "waits for": "a GPU",
    }


def test_scorers_take_over_known_rooms_and_unknown_texts(sections: dict[str, Section]) -> None:
    every = [serving.TAKE_OVER, serving.TAKE_OVER_KNOWN, serving.STEADY]
    assert whats(sections["serving"], 4) == every
    assert whats(sections["serving"], 6) == every[1:]  # beyond `fresh_rooms`


def test_a_scorers_time_is_all_accounted_for(sections: dict[str, Section]) -> None:
    found = [row for row in sections["stages"].rows if row["rooms"] == 4]
    assert {"check", "encode texts", "store", "perceive", "decode", "explain", "energies"} < {
        str(row["what"]) for row in found
    }
    assert sum(float(row["%"]) for row in found) == pytest.approx(100)
    assert all(float(row["us a window"]) > 0 for row in found if row["what"] == "encode texts")


def test_scores_differ_after_a_take_over_until_the_receptive_field_ends(
    sections: dict[str, Section],
) -> None:
    """The bundled network has two decoder layers: a logit sees 2 * 19 + 1 segments."""
    found = {row["segments after"]: row for row in sections["take_over"].rows}
    assert float(found[0]["largest difference"]) > 1e-6
    assert float(found[20]["largest difference"]) < 1e-6
    told = re.search(r"From segment (\d+) on", sections["take_over"].note)
    assert told is not None
    assert 10 < int(told[1]) <= 19


def test_json_holds_every_row_unrounded(sections: dict[str, Section]) -> None:
    stored = json.loads(json.dumps(as_json(list(sections.values()))))
    for name, section in sections.items():
        assert stored[name]["rows"] == list(section.rows)


def test_bfloat16_is_measured_where_the_hardware_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "has_bfloat16", lambda device: True)
    ceilings = Ceilings({torch.float32: 1e9, torch.bfloat16: 2e9}, 1e9)
    plan = replace(small_plan(), rooms=(2,))
    rows = {section.name: section for section in step.measure(plan, ceilings)}["dtype"].rows
    assert [row["what"] for row in rows] == ["rolling step, float32", "rolling step, bfloat16"]
    assert float(rows[1]["MB"]) == pytest.approx(float(rows[0]["MB"]) / 2)
    assert not any("waits for" in row for row in rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(only="step,sttep"), "only: found \\['sttep'\\]"),
        (Options(preset="huge"), "preset: found 'huge'"),
        (Options(rooms="64,0"), "rooms: found '64,0'"),
        (Options(threads=-1), "threads: found -1"),
        (Options(device="tpu"), "device: found 'tpu'"),
    ],
)
def test_an_unknown_option_is_refused_before_the_work(options: Options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure(options, tell=lambda text: None)


def test_a_full_run_leaves_nothing_out() -> None:
    full = full_plan("cpu")
    assert full.rooms == (64, 256)
    assert full.compiled
    assert full.large_encoders
    assert 10_000 in full.serving_rooms


def test_padding_is_told_of_real_texts(tmp_path: Path) -> None:
    path = tmp_path / "texts.tsv"
    path.write_text("hello\tab\tcd\n\t\n\tabcdefgh\n", encoding="utf-8")
    plan = replace(small_plan(), texts=path)
    row = encoders.measure(plan, Ceilings({torch.float32: 1e9}, 1e9))[0].rows[4]
    assert row["what"] == "texts.tsv: 2 texts"
    # [CLS] hello [SEP] ab | cd [SEP] are 5 + 2 + 1 + 2 characters and 3 others; the second has 8
    # and 3.
    assert row["tokens, mean"] == 12
    assert row["padding %"] == pytest.approx(100 * 2 / 26)


def test_a_texts_file_without_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "texts.tsv").write_text("\t\t\n", encoding="utf-8")
    plan = replace(small_plan(), texts=tmp_path / "texts.tsv")
    with pytest.raises(ValueError, match=r"texts\.tsv: found no text"):
        encoders.measure(plan, Ceilings({torch.float32: 1e9}, 1e9))
