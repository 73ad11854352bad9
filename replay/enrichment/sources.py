"""Where the video of each room is: a TOML file, or recordings that were played.

[default]                     # of rooms that are not named below; may be left out
url = "https://media.example.com/{room_id}/{room_started_ms}.mp4"

[rooms."room-42"]
path = "videos/room-42.mp4"   # relative to this file; or url
started_ms = 1767225600000    # event time of its first picture; else the room's own start
loop = false
title = "..."                 # given; else one is chosen
category = "dance"
tags = ["dance", "live"]
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from limelight.engine.errors import LimelightError
from limelight.models.training.run_settings import read_toml
from limelight.replay.media_url import MediaUrl, Video
from limelight.replay.recording import Recording

_PLACES = ("room_id", "streamer_id", "room_started_ms", "start_ms", "end_ms")
_MAX_WORDS = 200


class PartMissing(LimelightError):
    """A part of an enrichment cannot be made; the text says why, for the event."""


@dataclass(frozen=True, slots=True)
class MediaSource:
    """A room's video, and what is known of the room besides.

    `started_ms` is the event time of the video's first picture.
    """

    video: Video
    started_ms: int
    loop: bool = False
    title: str = ""
    category: str = ""
    tags: tuple[str, ...] = ()


class _RoomFields(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    path: Path | None = None
    url: str = ""
    started_ms: int | None = Field(None, ge=0)
    loop: bool = False
    title: str = Field("", max_length=_MAX_WORDS)
    category: str = Field("", max_length=_MAX_WORDS)
    tags: tuple[str, ...] = Field((), max_length=64)

    @model_validator(mode="after")
    def _names_one_video(self) -> "_RoomFields":
        if (self.path is None) == (not self.url):
            raise ValueError("expected one of path and url")
        for place in _places(self.url):
            if place not in _PLACES:
                raise ValueError(f"url: found {{{place}}}, expected one of {', '.join(_PLACES)}")
        server = urlsplit(self.url).netloc
        if "{" in server:
            # Who names a room would name the server.
            raise ValueError(f"url: found {server} for a server, expected {{...}} in the path only")
        return self


class _SourcesFields(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    default: _RoomFields | None = None
    rooms: dict[str, _RoomFields] = {}


class MediaSources:
    """The video of each room that a highlight may come from."""

    def __init__(
        self,
        known: Mapping[str, MediaSource],
        fields: _SourcesFields | None = None,
        folder: Path = Path(),
        timeout_s: float = 20.0,
    ) -> None:
        self._known = dict(known)
        self._fields = fields or _SourcesFields()
        self._folder = folder
        self._timeout_s = timeout_s

    def of(self, highlight: Mapping[str, Any]) -> MediaSource:
        """The source of a highlight's `data`.

        Raises:
            PartMissing: nothing is known of the room's video, or of where in it the highlight is.
        """
        room_id = highlight["room_id"]
        if room_id in self._known:
            return self._known[room_id]
        fields = self._fields.rooms.get(room_id, self._fields.default)
        if fields is None:
            raise PartMissing("no source of the room's video is given")
        started_ms = fields.started_ms
        if started_ms is None:
            started_ms = highlight.get("room_started_ms")
        if started_ms is None:
            raise PartMissing("neither the source nor the room says when the video starts")
        if fields.path is not None:
            video: Video = self._folder / fields.path
        else:
            video = MediaUrl(_filled(fields.url, highlight), self._timeout_s)
        return MediaSource(
            video, started_ms, fields.loop, fields.title, fields.category, fields.tags
        )


def load_sources(path: Path, *, timeout_s: float) -> MediaSources:
    """The sources in a TOML file.

    Raises:
        ValueError: no TOML, or keys that do not fit; it names file and key.
        OSError: it cannot be read.
    """
    try:
        fields = _SourcesFields.model_validate(read_toml(path))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{path}: {where}: {first['msg']}") from error
    return MediaSources({}, fields, path.parent, timeout_s)


def sources_of(recordings: Iterable[Recording], base_ms: int | None = None) -> MediaSources:
    """Recordings as sources; they were played from `base_ms` on, or from their own starts."""
    return MediaSources(_played(recordings, base_ms))


def sources_toml(recordings: Iterable[Recording], base_ms: int | None = None) -> str:
    """The same as the TOML that `load_sources` reads, paths absolute."""
    lines = []
    for room_id, each in _played(recordings, base_ms).items():
        # A JSON string is a TOML basic string.
        lines += [
            f"[rooms.{json.dumps(room_id)}]",
            f"path = {json.dumps(str(Path(str(each.video)).resolve()))}",
            f"started_ms = {each.started_ms}",
            f"loop = {json.dumps(each.loop)}",
            "",
        ]
    return "\n".join(lines)


def _places(url: str) -> list[str]:
    return [place for _, place, _, _ in Formatter().parse(url) if place is not None]


def _filled(url: str, highlight: Mapping[str, Any]) -> str:
    """The URL of a highlight's video.

    Raises:
        PartMissing: the highlight lacks what the URL wants, or it would lead to another folder.
    """
    values = {}
    for name in _places(url):
        value = highlight.get(name)
        # Slashes are encoded, but a server goes up a folder for two dots, however they are written.
        if value is None or value in ("", ".", ".."):
            raise PartMissing(f"the highlight's {name} makes no address of a video")
        values[name] = quote(str(value), safe="")
    return url.format_map(values)


def _played(recordings: Iterable[Recording], base_ms: int | None) -> dict[str, MediaSource]:
    known = {}
    for each in recordings:
        if each.video is not None:
            started_ms = (each.started_ms if base_ms is None else base_ms) + each.video.offset_ms
            known[each.room_id] = MediaSource(each.video.path, started_ms, each.video.loop)
    return known
