"""`recording.toml`: who was live when, and which files hold what; checked key by key."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from limelight.replay.readers.malformed import MalformedRecording, shown

MANIFEST_NAME = "recording.toml"
# As long as the records that carry a room or streamer id allow.
MAX_NAME_CHARS = 200

_Value = TypeVar("_Value", str, int, bool, datetime, dict, list)  # type: ignore[type-arg]

_TYPE_NAMES = {
    str: "a string",
    int: "a whole number",
    bool: "true or false",
    datetime: "a date and time",
    dict: "a table",
    list: "an array of tables",
}


@dataclass(frozen=True, slots=True)
class VideoPart:
    """`offset_ms` is where the video's start lies on the recording's clock."""

    path: Path
    offset_ms: int
    loop: bool


@dataclass(frozen=True, slots=True)
class TextPart:
    """A file of comments, speech or engagement; `format` is None where it is to be sniffed."""

    path: Path
    format: str | None
    offset_ms: int


@dataclass(frozen=True, slots=True)
class Credit:
    text: str
    licence: str
    url: str | None


@dataclass(frozen=True, slots=True)
class Manifest:
    room_id: str
    streamer_id: str
    title: str
    note: str
    started_at: datetime
    duration_ms: int | None
    align_to_start: bool
    video: VideoPart | None
    comments: TextPart | None
    asr: TextPart | None
    engagement: TextPart | None
    credits: tuple[Credit, ...]


def read_manifest(folder: Path) -> Manifest:
    """The folder's manifest.

    Raises:
        MalformedRecording: no manifest, broken TOML, a key that is unknown, missing or of the
            wrong type, a file that is absent or outside the folder, or no part at all.
    """
    path = folder / MANIFEST_NAME
    if not path.is_file():
        raise MalformedRecording(path, None, "no such file", f"a folder with {MANIFEST_NAME}")
    top = _Table(path, "", _parse_toml(path))
    manifest = Manifest(
        room_id=top.name("room_id"),
        streamer_id=top.name("streamer_id"),
        title=top.optional("title", str, ""),
        note=top.optional("note", str, ""),
        started_at=top.started_at(),
        duration_ms=top.duration_ms(),
        align_to_start=top.align_to_start(),
        video=_video_part(top.table("video")),
        comments=_text_part(top.table("comments")),
        asr=_text_part(top.table("asr")),
        engagement=_text_part(top.table("engagement")),
        credits=tuple(_credit(table) for table in top.tables("credits")),
    )
    top.refuse_unknown()
    if not (manifest.video or manifest.comments or manifest.asr or manifest.engagement):
        expected = "at least one of [video], [comments], [asr], [engagement]"
        raise MalformedRecording(path, None, "no part", expected)
    return manifest


def _parse_toml(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n"))
    except UnicodeDecodeError as error:
        raise MalformedRecording(
            path, f"byte {error.start}", "another encoding", "UTF-8 text"
        ) from error
    except tomllib.TOMLDecodeError as error:
        message, _, place = str(error).partition(" (at ")
        where = place.removesuffix(")") or None
        raise MalformedRecording(path, where, f"broken TOML ({message})", "TOML") from error


def _video_part(table: "_Table | None") -> VideoPart | None:
    if table is None:
        return None
    offset_ms = table.optional("offset_ms", int, 0)
    part = VideoPart(table.file(), offset_ms, table.optional("loop", bool, False))
    table.refuse_unknown()
    return part


def _text_part(table: "_Table | None") -> TextPart | None:
    if table is None:
        return None
    format_name = table.optional("format", str, "")
    part = TextPart(table.file(), format_name or None, table.optional("offset_ms", int, 0))
    table.refuse_unknown()
    return part


def _credit(table: "_Table") -> Credit:
    url = table.optional("url", str, "")
    credit = Credit(table.name("text"), table.name("licence"), url or None)
    table.refuse_unknown()
    return credit


class _Table:
    """A TOML table that remembers which of its keys have been asked for."""

    def __init__(self, path: Path, prefix: str, values: Mapping[str, object]) -> None:
        self._path = path
        self._prefix = prefix
        self._values = values
        self._asked: list[str] = []

    def optional(self, key: str, kind: type[_Value], default: _Value) -> _Value:
        self._asked.append(key)
        if key not in self._values:
            return default
        value = self._values[key]
        # A bool is an int to isinstance, and `offset_ms = true` is a mistake.
        if not isinstance(value, kind) or isinstance(value, bool) is not (kind is bool):
            raise self.malformed(key, shown(value), _TYPE_NAMES[kind])
        return value

    def name(self, key: str) -> str:
        value: str = self.optional(key, str, "")
        if not value.strip():
            found = "an empty string" if key in self._values else "nothing"
            raise self.malformed(key, found, "a string")
        if len(value) > MAX_NAME_CHARS or "\x00" in value:
            expected = f"at most {MAX_NAME_CHARS}, none of them NUL"
            raise self.malformed(key, f"{len(value)} characters", expected)
        return value

    def started_at(self) -> datetime:
        value = self.optional("started_at", datetime, datetime.min)
        if value.tzinfo is None:
            found = str(self._values["started_at"]) if "started_at" in self._values else "nothing"
            expected = "a date and time with its offset, such as 2026-05-01T20:00:00+08:00"
            raise self.malformed("started_at", found, expected)
        return value

    def duration_ms(self) -> int | None:
        duration_ms: int = self.optional("duration_ms", int, 0)
        if "duration_ms" in self._values and duration_ms <= 0:
            raise self.malformed("duration_ms", str(duration_ms), "a number above 0")
        return duration_ms or None

    def align_to_start(self) -> bool:
        value = self.optional("align_segments", str, "start")
        if value not in ("start", "hash"):
            raise self.malformed("align_segments", shown(value), '"start" or "hash"')
        return value == "start"

    def file(self) -> Path:
        """The path under `file`, which must lie in the recording's folder, links followed."""
        name = self.name("file")
        folder = self._path.parent
        # A backslash leaves the folder on one system and is a letter on another.
        path = folder / name
        if "\\" in name or "\0" in name or not path.resolve().is_relative_to(folder.resolve()):
            raise self.malformed("file", shown(name), "a path inside the recording's folder")
        if not path.is_file():
            raise self.malformed("file", f"{shown(name)}, which is no file", "a file")
        return path

    def table(self, key: str) -> "_Table | None":
        values: dict[str, object] = self.optional(key, dict, {})
        return _Table(self._path, f"{key}.", values) if key in self._values else None

    def tables(self, key: str) -> list["_Table"]:
        values: list[object] = self.optional(key, list, [])
        tables = []
        for number, item in enumerate(values, start=1):
            if not isinstance(item, dict):
                raise self.malformed(key, shown(item), _TYPE_NAMES[dict])
            tables.append(_Table(self._path, f"{key} {number}: ", item))
        return tables

    def refuse_unknown(self) -> None:
        for key in self._values:
            if key not in self._asked:
                known = ", ".join(sorted(self._asked))
                raise self.malformed(key, "an unknown key", f"one of {known}")

    def malformed(self, key: str, found: str, expected: str) -> MalformedRecording:
        return MalformedRecording(self._path, f"key {self._prefix}{key}", found, expected)
