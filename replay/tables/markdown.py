"""Tables in Markdown, written into a file that people write around them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np


def row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def spread(values: Sequence[float], sign: str = "") -> str:
    """Mean and sample standard deviation; of one value, the value."""
    if len(values) == 1:
        return f"{values[0]:{sign}.4f}"
    return f"{np.mean(values):{sign}.4f} ± {np.std(values, ddof=1):.4f}"


def between_markers(path: Path, name: str, lines: Sequence[str]) -> None:
    """Replace what stands between the file's `name: begin` and `name: end` comments.

    Raises:
        ValueError: the file has no such markers; one that is not there yet is made with them.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = path.read_text(encoding="utf-8") if path.exists() else f"{begin}\n{end}\n"
    if begin not in text or end not in text:
        raise ValueError(f"{path}: found no {begin} ... {end}, expected both markers")
    before, rest = text.split(begin, 1)
    section = "\n".join([begin, *lines, end])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(before + section + rest.split(end, 1)[1], encoding="utf-8")
