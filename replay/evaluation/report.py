"""`report.html` of an evaluation: one self-contained page of tables, curves and key frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from limelight.replay.evaluation import shown
from limelight.replay.evaluation.data import DataRoom
from limelight.replay.evaluation.models import Model
from limelight.replay.evaluation.options import EvaluationOptions
from limelight.replay.evaluation.result import MEASURES, EvaluationResult, SliceResult
from limelight.replay.evaluation.room_charts import HEIGHT, LANE, WIDTH, chosen_rooms, room_chart
from limelight.replay.evaluation.rooms import JudgedRoom
from limelight.replay.page import round_top, template

COLOURS = ("#3b5bdb", "#d9480f", "#9c36b5", "#0c8599", "#e67700", "#5c5f66")
SQUARE = 340

_BETTER = {True: "higher", False: "lower", None: ""}


@dataclass(frozen=True, slots=True)
class Cell:
    """A number, what stands small beside it, and whether it is clear of 0."""

    text: str
    small: str = ""
    is_clear: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table; `hint` says which way is better."""

    title: str
    cells: list[Cell]
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Reliability:
    """A model's reliability curve in chart units, with a dot (x, y, words) for each bin."""

    name: str
    colour: str
    line: str
    dots: list[tuple[float, float, str]]


def write_report(
    result: EvaluationResult,
    data: Sequence[DataRoom],
    rooms: Sequence[JudgedRoom],
    models: Sequence[Model],
    options: EvaluationOptions,
    path: Path,
    *,
    most: int,
) -> None:
    """Write the page; `most` rooms are drawn."""
    colours = {model.name: COLOURS[at % len(COLOURS)] for at, model in enumerate(models)}
    ctr_models = [model.name for model in models if not model.is_energy]
    curves = {name: result.whole.models[name].reliability for name in ctr_models}
    top = round_top([ctr for bins in curves.values() for each in bins for ctr in each[:2]])
    shown_rooms = chosen_rooms(data, rooms, models[0].name, most)
    page = template("evaluation.html.j2").render(
        result=result,
        options=options,
        percent=round(100 * options.confidence),
        measures=_measures(result),
        differences=_differences(result),
        parts=_parts(result),
        slice_columns=[f"tau, {name}" for name in result.models]
        + [f"AUC, {name}" for name in result.models]
        + [f"tau, {each.of} − {each.minus}" for each in result.whole.differences],
        reliability=[
            _reliability(name, colours[name], bins, top) for name, bins in curves.items() if bins
        ],
        reliability_top=top,
        square=SQUARE,
        rooms=[room_chart(data[at], rooms[at], models, options) for at in shown_rooms],
        colours=colours,
        width=WIDTH,
        height=HEIGHT,
        lane=LANE,
        sources=list(dict.fromkeys(each.source.rstrip("/").rsplit("/", 1)[-1] for each in data)),
    )
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(page, encoding="utf-8")
    unfinished.replace(path)


def _measures(result: EvaluationResult) -> list[Row]:
    rows = []
    for measure, better in MEASURES.items():
        found = [result.whole.models[name].measures[measure] for name in result.models]
        cells = [Cell(shown.number(measure, e.value), shown.interval(measure, e)) for e in found]
        rows.append(Row(shown.title(measure), cells, _BETTER[better]))
    return rows


def _differences(result: EvaluationResult) -> list[Row]:
    rows = []
    for measure in MEASURES:
        cells = []
        for each in result.whole.differences:
            found = each.measures[measure]
            small = shown.interval(measure, found, signed=True)
            p = shown.p_value(each.p_value[measure])
            cells += [
                Cell(
                    shown.number(measure, found.value, signed=True),
                    small,
                    shown.is_clear(each, measure),
                ),
                Cell(p),
            ]
        rows.append(Row(shown.title(measure), cells))
    return rows


def _parts(result: EvaluationResult) -> list[tuple[str, list[Row]]]:
    """The slices of each kind, in order."""
    kinds: dict[str, list[Row]] = {}
    for part in result.slices:
        kinds.setdefault(part.kind, []).append(_part(part, result.models))
    return list(kinds.items())


def _part(part: SliceResult, models: Sequence[str]) -> Row:
    cells = [Cell(f"{part.rooms:,}"), Cell(f"{part.segments:,}")]
    for measure in ("tau", "auc"):
        for name in models:
            found = part.models[name].measures[measure]
            cells.append(Cell(shown.number(measure, found.value), shown.interval(measure, found)))
    for each in part.differences:
        found = each.measures["tau"]
        p = shown.p_value(each.p_value["tau"])
        cells.append(
            Cell(
                shown.number("tau", found.value, signed=True),
                f"p {p}",
                shown.is_clear(each, "tau"),
            )
        )
    return Row(part.value, cells)


def _reliability(
    name: str, colour: str, bins: Sequence[tuple[float, float, float]], top: float
) -> Reliability:
    dots = [
        (
            round(predicted / top * SQUARE, 1),
            round((1 - measured / top) * SQUARE, 1),
            f"predicted {100 * predicted:.1f} %, measured {100 * measured:.1f} %,"
            f" {impressions:,.0f} impressions",
        )
        for predicted, measured, impressions in bins
    ]
    return Reliability(name, colour, " ".join(f"{x},{y}" for x, y, _ in dots), dots)
