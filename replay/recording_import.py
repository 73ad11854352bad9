"""Making a recording out of loose files, whole or not at all."""

import json
import shutil
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from limelight.replay.readers.formats import (
    COMMENT_FORMATS,
    ENGAGEMENT_FORMATS,
    SPEECH_FORMATS,
    sniff_format,
)
from limelight.replay.readers.malformed import MalformedRecording
from limelight.replay.recording import Recording, load_recording
from limelight.replay.recording_manifest import MANIFEST_NAME


@dataclass(frozen=True, slots=True)
class RecordingIdentity:
    """What no file says about itself."""

    room_id: str
    streamer_id: str
    started_at: datetime
    title: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Source:
    part: str
    format: str
    path: Path

    @property
    def copy_name(self) -> str:
        return f"{self.part}{self.path.suffix.lower()}"


def import_recording(
    paths: Iterable[Path], out: Path, identity: RecordingIdentity, *, loop: bool = False
) -> Recording:
    """The recording made in `out` from copies of `paths`, each recognised by its content.

    Everything is copied, written and read through in a folder beside `out`, which takes its name
    only at the end: an import that fails or is interrupted leaves nothing under it.

    Raises:
        MalformedRecording: a file of no known format, two files for one part, or a broken file.
        ValueError: `out` is there and not an empty folder, or the start has no time zone.
    """
    if identity.started_at.tzinfo is None:
        raise ValueError(f"started_at: found {identity.started_at}, expected a time zone")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out}: found something there, expected no folder or an empty one")
    sources = _sorted_into_parts(paths)
    out.parent.mkdir(parents=True, exist_ok=True)
    making = out.parent / f".{out.name}.importing-{uuid.uuid4().hex[:8]}"
    making.mkdir()
    try:
        for source in sources:
            shutil.copyfile(source.path, making / source.copy_name)
        manifest = manifest_text(sources, identity, loop=loop)
        (making / MANIFEST_NAME).write_text(manifest, encoding="utf-8", newline="\n")
        recording = load_recording(making)
        # Reads every text file through and opens the video, so a broken one is refused here.
        _ = recording.duration_ms
        _open_video(recording)
        making.rename(out)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return load_recording(out)


def manifest_text(sources: Iterable[_Source], identity: RecordingIdentity, *, loop: bool) -> str:
    """`recording.toml` as text."""
    lines = [
        f"room_id = {_toml_string(identity.room_id)}",
        f"streamer_id = {_toml_string(identity.streamer_id)}",
        f"started_at = {identity.started_at.isoformat(timespec='milliseconds')}",
    ]
    if identity.title:
        lines.append(f"title = {_toml_string(identity.title)}")
    if identity.note:
        lines.append(f"note = {_toml_string(identity.note)}")
    for source in sources:
        lines += ["", f"[{source.part}]", f"file = {_toml_string(source.copy_name)}"]
        if source.part == "video":
            lines.append(f"loop = {str(loop).lower()}")
        else:
            lines.append(f"format = {_toml_string(source.format)}")
    return "\n".join(lines) + "\n"


def _sorted_into_parts(paths: Iterable[Path]) -> list[_Source]:
    by_part: dict[str, _Source] = {}
    for path in paths:
        if not path.is_file():
            raise MalformedRecording(path, None, "no such file", "a part of a recording")
        name = sniff_format(path)
        source = _Source(_part_of(name), name, path)
        if other := by_part.get(source.part):
            found = f"a second file for [{source.part}] beside {other.path.name}"
            raise MalformedRecording(path, None, found, "one file a part")
        by_part[source.part] = source
    if not by_part:
        raise ValueError("paths: found none, expected at least one file")
    return list(by_part.values())


def _part_of(format_name: str) -> str:
    if format_name in COMMENT_FORMATS:
        return "comments"
    if format_name in SPEECH_FORMATS:
        return "asr"
    return "engagement" if format_name in ENGAGEMENT_FORMATS else "video"


def _open_video(recording: Recording) -> None:
    from limelight.replay.frames import FrameReader

    if recording.video is not None:
        FrameReader(recording.video.path).close()


def _toml_string(text: str) -> str:
    # A JSON string is a TOML string, but for DEL, which JSON leaves as it is.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
