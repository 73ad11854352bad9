"""Draws docs/benchmarks/assembler_scale.svg from the JSON beside it.

python -m tests.bench.scale.plot
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot
from matplotlib.axes import Axes

RECORDS = Path(__file__).parents[3] / "docs" / "benchmarks"
RECORD, PLOT = RECORDS / "assembler_scale.json", RECORDS / "assembler_scale.svg"
# What is drawn of a row, by its column: title, unit's column, target.
PANELS = (
    ("processor", "cores used", "cores", None),
    ("memory of the worker", "workers' memory MB", "MB", None),
    ("closing mark to window, p99", "p99 ms", "ms", 500.0),
)


def main() -> None:
    record = json.loads(RECORD.read_text())
    rows = [dict(zip(record["columns"], row, strict=True)) for row in record["rows"]]
    # The same picture for the same figures: no date, and ids that do not change.
    pyplot.rcParams["svg.hashsalt"] = RECORD.name
    figure, panels = pyplot.subplots(1, len(PANELS), figsize=(12, 3.6), layout="constrained")
    for panel, (title, column, unit, target) in zip(panels, PANELS, strict=True):
        for feature_size in sorted({row["feature size"] for row in rows}):
            chosen = [
                row for row in rows if (row["workers"], row["feature size"]) == (1, feature_size)
            ]
            _draw(panel, chosen, column, f"features of {feature_size:,}")
        panel.set(title=title, xlabel="rooms, one worker on one core", ylabel=unit)
        panel.set_xlim(0)
        panel.set_ylim(0)
        if target is not None:
            panel.axhline(target, color="gray", linestyle=":", label="target")
        panel.legend(frameon=False)
    figure.savefig(PLOT, metadata={"Date": None})


def _draw(panel: Axes, rows: Sequence[dict[str, Any]], column: str, label: str) -> None:
    """A line of measured points, and a thin one that grows with the rooms alone."""
    rooms = [row["rooms"] for row in rows]
    values = [_number(row[column]) for row in rows]
    (line,) = panel.plot(rooms, values, "o-", label=label)
    if column == "cores used" and rooms:
        panel.plot(
            [0, rooms[-1]],
            [0, values[0] / rooms[0] * rooms[-1]],
            linewidth=0.8,
            linestyle="--",
            color=line.get_color(),
            label=f"{label}, in proportion to {rooms[0]:,}",
        )


def _number(cell: str | float) -> float:
    return float(str(cell).split()[0])


if __name__ == "__main__":
    main()
