"""The error of every unreadable data set, and the place in the file it points at."""

from dataclasses import dataclass
from pathlib import Path

_SHOWN_CHARS = 80


class MalformedDataset(ValueError):
    """Reads like `testing.csv, line 12: found ..., expected ...`.

    `line` counts from 1; None when the whole file or folder is meant.
    """

    def __init__(self, path: Path, line: int | None, found: str, expected: str) -> None:
        self.path = path
        self.line = line
        self.found = found
        self.expected = expected
        place = path.name if line is None else f"{path.name}, line {line}"
        super().__init__(f"{place}: found {found}, expected {expected}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where in which file a reader stands."""

    path: Path
    line: int | None = None

    def malformed(self, found: str, expected: str) -> MalformedDataset:
        return MalformedDataset(self.path, self.line, found, expected)

    def malformed_value(self, name: str, value: object, expected: str) -> MalformedDataset:
        return self.malformed(f"{name} {shown(value)}", expected)


def shown(value: object) -> str:
    """`value` as it can stand in an error: quoted, on one line, cut to a readable length."""
    if isinstance(value, str) and len(value) > _SHOWN_CHARS:
        return f"{value[:_SHOWN_CHARS]!r} and {len(value) - _SHOWN_CHARS:,} more"
    if isinstance(value, list) and len(value) > _SHOWN_CHARS:
        return f"a list of {len(value):,}"
    text = repr(value)
    return text if len(text) <= 2 * _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
