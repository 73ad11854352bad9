"""What a user asks of the benchmark, and the run of it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers.utils.logging import disable_progress_bar

from limelight.engine.bench.machine import machine
from limelight.engine.bench.plan import PRESETS, Plan, full_plan, quick_plan
from limelight.engine.bench.report import as_json
from limelight.engine.bench.suite import check_parts, run
from limelight.engine.threads import fastest_threads


@dataclass(frozen=True, slots=True)
class Options:
    """The choices of the command line, lists with commas; what is empty is left to the plan."""

    quick: bool = False
    out: Path | None = None
    only: str = ""
    device: str = "auto"
    preset: str = "base"
    rooms: str = ""
    threads: int = 0
    texts: Path | None = None

    def plan(self) -> Plan:
        """What these options come to on this machine.

        Raises:
            ValueError: one of them is not known, or not possible here.
        """
        check_parts(self.parts)
        if self.preset not in PRESETS:
            found = f"found {self.preset!r}, expected one of {sorted(PRESETS)}"
            raise ValueError(f"preset: {found}")
        if not all(each.isdecimal() and int(each) for each in _listed(self.rooms)):
            raise ValueError(f"rooms: found {self.rooms!r}, expected numbers such as 64,256")
        if self.threads < 0:
            raise ValueError(f"threads: found {self.threads}, expected 0 or more")
        plan = (quick_plan if self.quick else full_plan)(self.device)
        rooms = tuple(int(each) for each in _listed(self.rooms)) or plan.rooms
        return replace(plan, preset=self.preset, texts=self.texts, rooms=rooms)

    @property
    def parts(self) -> list[str]:
        return _listed(self.only)


def measure(options: Options, *, tell: Callable[[str], object]) -> None:
    """Measures, tells each table as soon as it is there, and stores the figures.

    Raises:
        ValueError: see `Options.plan`.
        OSError: a file cannot be read or written.
    """
    plan = options.plan()
    if options.out is not None:
        options.out.touch()  # better refused now than after the work
    disable_progress_bar()
    if options.threads or not plan.on_cuda:
        torch.set_num_threads(options.threads or fastest_threads())
    on = machine(plan)
    tell(", ".join(f"{name} {value}" for name, value in on.items()))
    sections = run(plan, options.parts, tell=lambda section: tell(f"\n{section.table()}"))
    if options.out is not None:
        record = {"machine": on, "quick": options.quick, "sections": as_json(sections)}
        options.out.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]
