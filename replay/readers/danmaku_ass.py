r"""Comments from an ASS file, as danmaku converters write it: one `Dialogue:` line a comment."""

import re
from collections.abc import Iterator
from pathlib import Path

from limelight.replay.readers.lines import CommentLine, comment_line
from limelight.replay.readers.malformed import MalformedRecording, Place
from limelight.replay.readers.text_lines import numbered_lines
from limelight.replay.readers.timestamps import clock_ms

_OVERRIDE = re.compile(r"\{[^{}]*\}")
_DRAWING = re.compile(r"\\p(\d+)")
_BREAK = re.compile(r"\\[Nnh]")


def read_danmaku_ass(path: Path) -> Iterator[CommentLine]:
    """Comments in file order, each at the time it appears on screen.

    The user is always "": the format has no place for it (`Name` is an actor or a style, and one
    constant name there would make all viewers one).

    Raises:
        MalformedRecording: no [Events] section, a `Dialogue:` before the `Format:` line or with
            fewer fields than it names, or a broken time.
    """
    section = ""
    fields: list[str] | None = None
    place = Place(path)
    for number, line in numbered_lines(path):
        place = Place(path, f"line {number}")
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].lower()
        elif section != "events":
            if line.startswith("Dialogue:"):
                raise place.malformed("a Dialogue: line", "[Events] before it")
        elif line.startswith("Format:"):
            fields = _event_fields(place, line)
        elif line.startswith("Dialogue:"):
            if fields is None:
                raise place.malformed("a Dialogue: line", "a Format: line before it")
            comment = _comment(place, line, fields)
            if comment is not None:
                yield comment
    if fields is None:
        raise MalformedRecording(path, place.where, "the end of the file", "[Events] and Format:")


def _event_fields(place: Place, line: str) -> list[str]:
    fields = [field.strip() for field in line.removeprefix("Format:").split(",")]
    if "Start" not in fields or "End" not in fields or fields[-1] != "Text":
        raise place.malformed_value(line, "Format: with Start and End, and Text as the last")
    return fields


def _comment(place: Place, line: str, fields: list[str]) -> CommentLine | None:
    # Only the last field, the text, may hold commas of its own.
    values = line.removeprefix("Dialogue:").split(",", len(fields) - 1)
    if len(values) < len(fields):
        raise place.malformed(f"{len(values)} fields", f"the {len(fields)} of the Format: line")
    event = dict(zip(fields, values, strict=True))
    start_ms = clock_ms(place, event["Start"])
    end_ms = clock_ms(place, event["End"])
    if end_ms < start_ms:
        raise place.malformed_value(event["End"], f"an end not before {event['Start'].strip()}")
    return comment_line(place, start_ms, "", _spoken_text(event["Text"]))


def _spoken_text(text: str) -> str:
    r"""`text` without override tags, and without what `{\p1}` ... `{\p0}` draws."""
    kept: list[str] = []
    is_drawing = False
    read_to = 0
    for override in _OVERRIDE.finditer(text):
        if not is_drawing:
            kept.append(text[read_to : override.start()])
        for scale in _DRAWING.findall(override.group()):
            is_drawing = int(scale) > 0
        read_to = override.end()
    if not is_drawing:
        kept.append(text[read_to:])
    return _BREAK.sub(" ", "".join(kept))
