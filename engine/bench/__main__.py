"""`python -m limelight.engine.bench`: the same as `limelight bench engine`, without Kafka."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from limelight.engine.bench.machine import machine
from limelight.engine.bench.plan import PRESETS, full_plan, quick_plan
from limelight.engine.bench.report import Section, as_json
from limelight.engine.bench.suite import PARTS, run


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="limelight bench engine", description="Measure the engine on this machine."
    )
    parser.add_argument("--quick", action="store_true", help="a minute's look, not for the record")
    parser.add_argument("--out", type=Path, help="store every figure there, as JSON")
    parser.add_argument("--only", default="", help=f"some of {','.join(PARTS)}")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="base")
    parser.add_argument("--rooms", default="", help="rooms of a step, such as 64,256")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 leaves it the choice")
    parser.add_argument("--texts", type=Path, help="real texts, one segment's a line, UTF-8")
    given = parser.parse_args(arguments)
    try:
        _run(given)
    except (OSError, ValueError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")


def _run(given: argparse.Namespace) -> None:
    if given.threads:
        torch.set_num_threads(given.threads)
    plan = (quick_plan if given.quick else full_plan)(given.device)
    plan = replace(plan, preset=given.preset, texts=given.texts)
    if given.rooms:
        plan = replace(plan, rooms=tuple(int(rooms) for rooms in given.rooms.split(",")))
    on = machine(plan)
    _say(", ".join(f"{name} {value}" for name, value in on.items()))
    sections = run(plan, [name for name in given.only.split(",") if name], tell=_tell)
    if given.out:
        record = {"machine": on, "quick": given.quick, "sections": as_json(sections)}
        given.out.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def _tell(section: Section) -> None:
    _say(f"\n{section.table()}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
