"""The formats by name, and how to tell them apart by the head of a file."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from limelight.replay.readers.artplayer_json import read_artplayer_json
from limelight.replay.readers.bilibili_xml import read_bilibili_xml
from limelight.replay.readers.comments_csv import NEEDED_COLUMNS, read_comments_csv
from limelight.replay.readers.danmaku_ass import read_danmaku_ass
from limelight.replay.readers.engagement_csv import (
    EVENT_COLUMNS,
    INTERVAL_COLUMNS,
    read_engagement_csv,
)
from limelight.replay.readers.lines import CommentLine, EngagementLine, SpeechLine
from limelight.replay.readers.malformed import MalformedRecording
from limelight.replay.readers.subtitles import read_srt, read_vtt
from limelight.replay.readers.twitch_json import read_twitch_json
from limelight.replay.readers.whisper_json import read_whisper_json
from limelight.replay.readers.youtube_live_chat import read_youtube_live_chat

COMMENT_FORMATS: dict[str, Callable[[Path], Iterator[CommentLine]]] = {
    "artplayer-json": read_artplayer_json,
    "bilibili-xml": read_bilibili_xml,
    "comments-csv": read_comments_csv,
    "danmaku-ass": read_danmaku_ass,
    "twitch-json": read_twitch_json,
    "youtube-live-chat": read_youtube_live_chat,
}
SPEECH_FORMATS: dict[str, Callable[[Path], Iterator[SpeechLine]]] = {
    "srt": read_srt,
    "vtt": read_vtt,
    "whisper-json": read_whisper_json,
}
ENGAGEMENT_FORMATS: dict[str, Callable[[Path], Iterator[EngagementLine]]] = {
    "engagement-csv": read_engagement_csv,
}
# What holds pictures is told apart further by PyAV, when it is opened.
VIDEO_FORMAT = "video"

_HEAD_BYTES = 64 << 10
_SRT_HEAD = re.compile(r"\d+[ \t]*\r?\n\s*\d+:\d\d:\d\d[,.]\d")
_FIRST_KEY = re.compile(r'[\[{\s]*"([^"]*)"')


def sniff_format(path: Path) -> str:
    """The format's name, from what the file starts with and, where that says nothing, its suffix.

    Raises:
        MalformedRecording: the file is empty, or text of no known format.
    """
    with path.open("rb") as file:
        raw = file.read(_HEAD_BYTES)
    if not raw:
        raise MalformedRecording(path, None, "an empty file", "a part of a recording")
    # The head may end inside a character; a video holds zero bytes within its first few.
    head = raw.decode("utf-8-sig", errors="replace").lstrip()
    name = _sniff_text(head, path.suffix.lower())
    if name is not None:
        return name
    if b"\0" in raw or "\N{REPLACEMENT CHARACTER}" in head[:1_000]:
        return VIDEO_FORMAT
    known = sorted([*COMMENT_FORMATS, *SPEECH_FORMATS, *ENGAGEMENT_FORMATS, VIDEO_FORMAT])
    raise MalformedRecording(path, None, f"text that starts {head[:40]!r}", ", ".join(known))


def _sniff_text(head: str, suffix: str) -> str | None:
    if head.startswith("<"):
        return "bilibili-xml"
    if head.lower().startswith("[script info]") or suffix in (".ass", ".ssa"):
        return "danmaku-ass"
    if head.startswith("WEBVTT") or suffix == ".vtt":
        return "vtt"
    if _SRT_HEAD.match(head) or suffix == ".srt":
        return "srt"
    if head.startswith(("{", "[")):
        return _sniff_json(head)
    return _sniff_csv(head.splitlines()[0]) if head else None


def _sniff_json(head: str) -> str | None:
    key = _FIRST_KEY.match(head)
    first_key = key.group(1) if key else ""
    if '"replayChatItemAction"' in head:
        return "youtube-live-chat"
    if head.startswith("["):
        # An item of either kind has a "text"; only Whisper's has a start.
        return "whisper-json" if '"start"' in head[:2_000] else "artplayer-json"
    if '"content_offset_seconds"' in head or first_key in ("FileInfo", "streamer"):
        return "twitch-json"
    is_whisper = first_key in ("text", "segments", "language") or '"segments"' in head
    return "whisper-json" if is_whisper else None


def _sniff_csv(header: str) -> str | None:
    columns = {name.strip().strip('"').lower() for name in header.split(",")}
    if columns >= EVENT_COLUMNS or columns >= INTERVAL_COLUMNS:
        return "engagement-csv"
    return "comments-csv" if columns >= NEEDED_COLUMNS else None
