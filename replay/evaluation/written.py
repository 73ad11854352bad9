"""Results as JSON: as they were found, and null for what is no number."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from limelight.replay.evaluation.highlights import detected_events
from limelight.replay.evaluation.options import EvaluationOptions
from limelight.replay.evaluation.result import EvaluationResult
from limelight.replay.evaluation.rooms import JudgedRoom
from limelight.streams.highlight_records import encode_highlight

SCHEMA = "limelight-evaluation-1"


def write_json(result: EvaluationResult, about: dict[str, Any], path: Path) -> None:
    """The file appears whole. `about` says what was judged and how."""
    write_figures({"schema": SCHEMA, "about": about, **asdict(result)}, path)


def write_figures(found: Any, path: Path) -> None:
    """Write dicts, lists and numbers; the file appears whole."""
    unfinished = path.with_name(path.name + ".part")
    text = json.dumps(_defined(found), indent=1, ensure_ascii=False, allow_nan=False)
    unfinished.write_text(text + "\n", encoding="utf-8")
    unfinished.replace(path)


def write_highlights(
    rooms: Sequence[JudgedRoom], model: str, options: EvaluationOptions, path: Path
) -> None:
    """The events that the live detector would publish of a model, one a line; without reasons."""
    is_energy = model in options.energies
    unfinished = path.with_name(path.name + ".part")
    with unfinished.open("wb") as file:
        for room in rooms:
            for event in detected_events(room, model, options.detector, is_energy=is_energy):
                file.write(encode_highlight(event, {}) + b"\n")
    unfinished.replace(path)


def _defined(value: Any) -> Any:
    """The same with None for NaN and infinity, which JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _defined(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_defined(each) for each in value]
    return value
