"""The lines of a text file, one at a time, with their numbers."""

from collections.abc import Iterator
from pathlib import Path

from limelight.replay.readers.malformed import Place

MAX_LINE_BYTES = 1 << 20

_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


def numbered_lines(path: Path, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[tuple[int, str]]:
    """Yields (number from 1, line without its end); a UTF-8 byte order mark is taken off.

    Raises:
        MalformedRecording: not UTF-8, or a line above `max_line_bytes`.
    """
    with path.open("rb") as file:
        number = 0
        while raw := file.readline(max_line_bytes + 1):
            number += 1
            place = Place(path, f"line {number}")
            if len(raw) > max_line_bytes:
                raise place.malformed(
                    f"a line of more than {max_line_bytes:,} bytes", "a shorter line"
                )
            if number == 1:
                if raw.startswith(_UTF16_BOMS):
                    raise place.malformed("a UTF-16 byte order mark", "UTF-8 text")
                raw = raw.removeprefix(_UTF8_BOM)
            try:
                yield number, raw.decode("utf-8").removesuffix("\n").removesuffix("\r")
            except UnicodeDecodeError as error:
                raise place.malformed(
                    f"byte 0x{raw[error.start]:02x} at column {error.start + 1}", "UTF-8 text"
                ) from error
