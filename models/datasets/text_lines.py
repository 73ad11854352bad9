"""The lines of a data set's file, one at a time, never more than a bounded one in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from limelight.models.datasets.malformed import Place

# A KLive line holds two features; 8 MB is some hundred times what these take as text.
MAX_LINE_BYTES = 8_000_000

_UTF8_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line without its end, and the byte of the file it begins at."""

    place: Place
    offset: int
    text: str


def text_lines(path: Path, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[TextLine]:
    """Yields every line that is not blank; a UTF-8 byte order mark is taken off.

    Raises:
        MalformedDataset: not UTF-8, or a line above `max_line_bytes`.
    """
    with path.open("rb") as file:
        number = offset = 0
        while raw := file.readline(max_line_bytes + 1):
            number += 1
            place = Place(path, number)
            text = decoded_line(place, raw, max_line_bytes)
            if text.strip():
                yield TextLine(place, offset, text)
            offset += len(raw)


def decoded_line(place: Place, raw: bytes, max_line_bytes: int = MAX_LINE_BYTES) -> str:
    """The text of `raw`, without its end.

    Raises:
        MalformedDataset: as in `text_lines`.
    """
    if len(raw) > max_line_bytes:
        raise place.malformed(f"a line of more than {max_line_bytes:,} bytes", "a shorter line")
    if place.line == 1:
        raw = raw.removeprefix(_UTF8_BOM)
    try:
        return raw.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        found = f"byte 0x{raw[error.start]:02x} at column {error.start + 1}"
        raise place.malformed(found, "UTF-8 text") from error
