"""`evaluation.json`: the result as it was found, NaN as null."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from limelight.replay.evaluation.result import EvaluationResult

SCHEMA = "limelight-evaluation-1"


def write_json(result: EvaluationResult, about: dict[str, Any], path: Path) -> None:
    """The file appears whole. `about` says what was judged and how."""
    found = {"schema": SCHEMA, "about": about, **_defined(asdict(result))}
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    unfinished.replace(path)


def _defined(value: Any) -> Any:
    """The same with None for NaN, which JSON does not have."""
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, dict):
        return {name: _defined(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_defined(each) for each in value]
    return value
