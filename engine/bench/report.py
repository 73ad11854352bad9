"""What a benchmark hands back: rows of figures, as text and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Figure = str | float | int
Row = dict[str, Figure]


@dataclass(frozen=True, slots=True)
class Section:
    """Rows of figures under one title.

    A row's keys are its columns, with the unit in the name; rows of one section may lack some. One
    that could not be measured here says under "waits for" what it takes.
    """

    name: str
    title: str
    rows: tuple[Row, ...]
    note: str

    @property
    def columns(self) -> tuple[str, ...]:
        """All of the rows' columns, in the order in which they first occur."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row))

    def cells(self) -> list[tuple[str, ...]]:
        """The rows as text, one cell for each column, empty where a row has none."""
        return [tuple(shown(row.get(name, "")) for name in self.columns) for row in self.rows]

    def table(self) -> str:
        """Plain text in columns, for a terminal."""
        lines = [self.columns, *self.cells()]
        widths = [max(len(line[at]) for line in lines) for at in range(len(self.columns))]
        padded = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        return "\n".join([self.title, *padded, self.note])


def waiting(what: Mapping[str, Figure], reason: str) -> Row:
    """The row of a figure that this machine cannot give."""
    return {**what, "waits for": reason}


def shown(figure: Figure) -> str:
    """Three digits that count, more where whole numbers have them."""
    if isinstance(figure, str):
        return figure
    if isinstance(figure, int) or abs(figure) >= 100:
        return f"{figure:,.0f}"
    return f"{figure:.3g}"


def as_json(sections: Sequence[Section]) -> dict[str, object]:
    """Every section by its name, with the figures unrounded."""
    return {
        section.name: {"title": section.title, "rows": list(section.rows), "note": section.note}
        for section in sections
    }
