"""The items of one array in a JSON file, parsed one at a time whatever the file's size.

Only brackets and strings are followed over the whole file; each item is then parsed strictly by
orjson. So a chat log of gigabytes costs the memory of its largest comment.
"""

import mmap
import re
from collections.abc import Iterator
from pathlib import Path

import orjson

from limelight.replay.readers.malformed import MalformedRecording, Place, shown

MAX_ITEM_BYTES = 16 << 20

_UTF8_BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(rb"[ \t\r\n]*+")
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_STRUCTURE = re.compile(rb'["\[\]{}]')
_SCALAR = re.compile(rb'[^\s,\[\]{}":]++')


def json_items(path: Path, key: str | None = None) -> Iterator[tuple[Place, object]]:
    """Yields each item with its place: of the array that is the file, or that `key` names in it.

    Raises:
        MalformedRecording: the file is neither, is cut off, or is broken at the byte named.
    """
    expected = "a JSON array" if key is None else f'a JSON object with "{key}", or an array'
    with path.open("rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as error:  # an empty file cannot be mapped
            raise MalformedRecording(path, None, "an empty file", expected) from error
        with data:
            scanner = _Scanner(path, data)
            if scanner.peek() == b"[":
                yield from scanner.items()
            elif scanner.peek() == b"{" and key is not None:
                yield from scanner.items_of_member(key, expected)
            else:
                raise scanner.place().malformed(shown(scanner.peek()), expected)
            if rest := scanner.peek():
                raise scanner.place().malformed(shown(rest), "the end of the file")


class _Scanner:
    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self._path = path
        self._data = data
        self._at = len(_UTF8_BOM) if data[:3] == _UTF8_BOM else 0

    def place(self) -> Place:
        return Place(self._path, f"byte {self._at}")

    def peek(self) -> bytes:
        """The next byte that is not space; b"" at the end of the file."""
        space = _SPACE.match(self._data, self._at)
        self._at = space.end() if space else self._at
        return self._data[self._at : self._at + 1]

    def items(self) -> Iterator[tuple[Place, object]]:
        self._take(b"[")
        count = 0
        while self.peek() != b"]":
            if count:
                self._take(b",")
            start = self._skip_value()
            place = Place(self._path, f"item {count + 1} at byte {start}")
            if self._at - start > MAX_ITEM_BYTES:
                raise place.malformed(
                    f"an item of {self._at - start:,} bytes", f"at most {MAX_ITEM_BYTES:,}"
                )
            yield place, self._parse(start)
            count += 1
        self._take(b"]")

    def items_of_member(self, key: str, expected: str) -> Iterator[tuple[Place, object]]:
        start = self.place()
        keys: list[str] = []
        self._take(b"{")
        while self.peek() != b"}":
            if keys:
                self._take(b",")
            keys.append(self._key())
            if keys[-1] != key:
                self._skip_value()
            elif self.peek() == b"[":
                yield from self.items()
            else:
                raise self.place().malformed(shown(self.peek()), f'an array as "{key}"')
        self._take(b"}")
        if key not in keys:
            raise start.malformed(f"an object of {shown(keys[:5])}", expected)

    def _key(self) -> str:
        if self.peek() != b'"':
            raise self.place().malformed(self._found(), "a key in quotes")
        key = self._parse(self._skip_value())
        self._take(b":")
        return str(key)

    def _take(self, mark: bytes) -> None:
        if self.peek() != mark:
            raise self.place().malformed(self._found(), repr(mark.decode()))
        self._at += 1

    def _found(self) -> str:
        return shown(self.peek()) if self.peek() else "the end of the file"

    def _skip_value(self) -> int:
        """Moves behind the next value and returns where it starts."""
        start_mark = self.peek()
        start = self._at
        if start_mark not in (b'"', b"[", b"{"):
            scalar = _SCALAR.match(self._data, start)
            if scalar is None:
                raise self.place().malformed(self._found(), "a value")
            self._at = scalar.end()
            return start
        depth = 0
        while True:
            mark = _STRUCTURE.search(self._data, self._at)
            if mark is None:
                raise self._cut_off(start)
            self._at = mark.end()
            if mark.group() == b'"':
                string = _STRING.match(self._data, mark.start())
                if string is None:
                    raise self._cut_off(start)
                self._at = string.end()
            else:
                depth += 1 if mark.group() in b"[{" else -1
            if depth == 0:
                return start

    def _cut_off(self, start: int) -> MalformedRecording:
        return Place(self._path, f"byte {len(self._data)}").malformed(
            "the end of the file", f"the end of the value that starts at byte {start}"
        )

    def _parse(self, start: int) -> object:
        try:
            return orjson.loads(self._data[start : self._at])
        except orjson.JSONDecodeError as error:
            raise Place(self._path, f"byte {start + error.pos}").malformed(
                f"broken JSON ({error.msg})", "a JSON value"
            ) from error
