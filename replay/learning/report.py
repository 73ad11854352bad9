"""The closed loop as one plot: tau of each wave, what changed when, and every run's reason."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from limelight.replay.learning.figures import ENERGY, FIRST, SERVED, WaveFigures
from limelight.replay.page import template
from limelight.replay.registry.records import Change
from limelight.replay.retraining.state import RunState

WIDTH, HEIGHT = 1000, 320
_COLOURS = {SERVED: "#3b5bdb", FIRST: "#868e96", ENERGY: "#d9480f"}


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    colour: str
    points: str
    bars: list[tuple[float, float, float]]  # x, top and bottom of each interval
    dots: list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Event:
    x: float
    text: str
    y: float


def write_learning_report(
    waves: Sequence[WaveFigures],
    changes: Sequence[tuple[int, Change]],
    runs: Sequence[RunState],
    out: Path,
) -> list[Path]:
    """Write `learning.svg` and `learning.html`, which holds it; gives their paths."""
    low = min([0.0, *(each.tau[name].low for each in waves for name in each.tau)])
    top = max(each.tau[name].high for each in waves for name in each.tau)
    low, top = int(low * 10 - 1) / 10 if low < 0 else 0.0, int(top * 10 + 1) / 10

    def x(wave: float) -> float:
        return round((wave + 0.5) / len(waves) * WIDTH, 1)

    def y(tau: float) -> float:
        return round((top - tau) / (top - low) * HEIGHT, 1)

    lines = [
        Line(
            name,
            colour,
            " ".join(f"{x(at)},{y(each.tau[name].value)}" for at, each in enumerate(waves)),
            [
                (x(at), y(each.tau[name].high), y(each.tau[name].low))
                for at, each in enumerate(waves)
            ]
            if name == SERVED
            else [],
            [(x(at), y(each.tau[name].value)) for at, each in enumerate(waves)],
        )
        for name, colour in _COLOURS.items()
    ]
    chart = template("learning.svg.j2").render(
        width=WIDTH,
        height=HEIGHT,
        lines=lines,
        events=_events(waves, changes, x),
        ticks=[(tick / 10, y(tick / 10)) for tick in range(round(low * 10), round(top * 10) + 1)],
        waves=[(x(at), at + 1) for at in range(len(waves))],
    )
    page = template("learning.html.j2").render(
        chart=chart, waves=waves, names=list(_COLOURS), changes=changes, runs=runs
    )
    paths = [out / "learning.svg", out / "learning.html"]
    for path, text in zip(paths, (chart, page), strict=True):
        path.write_text(text, encoding="utf-8")
    return paths


def _events(
    waves: Sequence[WaveFigures],
    changes: Sequence[tuple[int, Change]],
    x: Callable[[float], float],
) -> list[Event]:
    found: list[tuple[float, str]] = []
    changed = next((at for at, each in enumerate(waves) if each.taste_changed), None)
    if changed is not None:
        found.append((changed - 0.5, "taste changes"))
    names = {"challenge": "shadow begins", "promote": "promoted", "withdraw": "withdrawn"}
    found += [
        (wave, names.get(change.action, change.action))
        for wave, change in changes
        if change.number > 1
    ]
    return [Event(x(at), text, 14 + 16 * (number % 3)) for number, (at, text) in enumerate(found)]
