"""Comments from a Bilibili XML file: `<d p="seconds,mode,size,colour,time,pool,user,id">`."""

from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat

import orjson

from limelight.replay.readers.lines import MAX_TEXT_CHARS, CommentLine, comment_line
from limelight.replay.readers.malformed import MalformedRecording, Place
from limelight.replay.readers.timestamps import seconds_ms

_CHUNK_BYTES = 64 << 10
# expat keeps an unfinished tag in memory however long it grows.
_MAX_TAG_BYTES = 1 << 20

# XML forbids these, and Bilibili's own files hold them (backspaces inside comments). One byte for
# one byte, so the positions in errors stay those of the file.
_CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\r")
_CONTROLS_TO_SPACES = bytes.maketrans(_CONTROLS, b" " * len(_CONTROLS))

_USER_FIELD = 6
_POSITIONED_MODE = "7"
_SCRIPT_MODES = ("8", "9")


def read_bilibili_xml(path: Path) -> Iterator[CommentLine]:
    """Comments in file order, which is often not the order of time.

    Scripted comments (modes 8 and 9) are programs, not words, and are left out.

    Raises:
        MalformedRecording: broken XML, a document type (no entity is ever expanded), another root
            than `<i>`, or a comment without a valid time.
    """
    parse = _Parse(path)
    fed_bytes = 0
    with path.open("rb") as file:
        while True:
            chunk = file.read(_CHUNK_BYTES)
            fed_bytes += len(chunk)
            yield from parse.feed(chunk.translate(_CONTROLS_TO_SPACES), fed_bytes)
            if not chunk:
                return


class _Parse:
    """expat's callbacks; `feed` gives the comments finished by each piece of the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._expat = expat.ParserCreate()
        self._expat.buffer_text = True
        self._expat.StartDoctypeDeclHandler = self._refuse_doctype
        self._expat.StartElementHandler = self._start
        self._expat.CharacterDataHandler = self._text
        self._expat.EndElementHandler = self._end
        self._depth = 0
        self._fields: list[str] | None = None
        self._texts: list[str] = []
        self._text_chars = 0
        self._finished: list[CommentLine] = []

    def feed(self, chunk: bytes, fed_bytes: int) -> list[CommentLine]:
        self._finished = []
        try:
            self._expat.Parse(chunk, not chunk)
        except expat.ExpatError as error:
            found = f"broken XML ({expat.ErrorString(error.code)})"
            place = Place(self._path, f"line {error.lineno}, column {error.offset + 1}")
            raise place.malformed(found, "Bilibili XML") from error
        except (ValueError, LookupError) as error:  # an encoding that expat cannot read
            raise self._place().malformed(f"another encoding ({error})", "UTF-8 text") from error
        if fed_bytes - self._expat.CurrentByteIndex > _MAX_TAG_BYTES:
            raise self._place().malformed(
                f"a tag of more than {_MAX_TAG_BYTES:,} bytes", "a shorter one"
            )
        return self._finished

    def _place(self) -> Place:
        line, column = self._expat.CurrentLineNumber, self._expat.CurrentColumnNumber
        return Place(self._path, f"line {line}, column {column + 1}")

    def _refuse_doctype(self, name: str, *_: object) -> None:
        raise self._place().malformed(f"a document type ({name})", "none")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if self._depth == 0 and name != "i":
            raise self._place().malformed(f"root element <{name}>", "<i>")
        self._depth += 1
        if name == "d":
            if "p" not in attributes:
                raise self._place().malformed("a <d> without p", '<d p="seconds,mode,...">')
            self._fields = attributes["p"].split(",")
            self._texts = []
            self._text_chars = 0

    def _text(self, text: str) -> None:
        if self._fields is None:
            return
        self._texts.append(text)
        self._text_chars += len(text)
        if self._text_chars > MAX_TEXT_CHARS:
            raise _too_long(self._place())

    def _end(self, name: str) -> None:
        self._depth -= 1
        if name != "d" or self._fields is None:
            return
        fields, self._fields = self._fields, None
        place = self._place()
        offset_ms = seconds_ms(place, fields[0])
        mode = fields[1] if len(fields) > 1 else ""
        user = fields[_USER_FIELD] if len(fields) > _USER_FIELD else ""
        text = "".join(self._texts)
        if mode in _SCRIPT_MODES:
            return
        if mode == _POSITIONED_MODE:
            text = _positioned_text(text)
        # Recorders write 0 for a viewer who is not logged in: not one and the same user.
        line = comment_line(place, offset_ms, "" if user == "0" else user, text)
        if line is not None:
            self._finished.append(line)


def _too_long(place: Place) -> MalformedRecording:
    return place.malformed(
        f"a text of more than {MAX_TEXT_CHARS:,} characters", f"at most {MAX_TEXT_CHARS:,}"
    )


def _positioned_text(text: str) -> str:
    """The words of a positioned comment, `[x, y, opacity, seconds, "words", ...]`."""
    try:
        values = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    is_positioned = isinstance(values, list) and len(values) > 4 and isinstance(values[4], str)
    return str(values[4]) if is_positioned else text
