"""Comments from yt-dlp's `live_chat.json`: one JSON object a line."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import orjson

from limelight.replay.readers.json_fields import members, user_of
from limelight.replay.readers.lines import CommentLine, comment_line
from limelight.replay.readers.malformed import Place
from limelight.replay.readers.text_lines import numbered_lines
from limelight.replay.readers.timestamps import whole_ms

_MAX_LINE_BYTES = 16 << 20

_COMMENT_RENDERERS = ("liveChatTextMessageRenderer", "liveChatPaidMessageRenderer")


def read_youtube_live_chat(path: Path) -> Iterator[CommentLine]:
    """Chat messages and paid messages in file order; stickers, joins and deletions are left out.

    Messages from before the stream, which carry a negative time in a live download, are left out.

    Raises:
        MalformedRecording: a line that is not JSON, or a message without a valid time.
    """
    for number, text in numbered_lines(path, _MAX_LINE_BYTES):
        if not text.strip():
            continue
        place = Place(path, f"line {number}")
        try:
            line = members(place, orjson.loads(text))
        except orjson.JSONDecodeError as error:
            place = Place(path, f"line {number}, column {error.colno}")
            raise place.malformed(f"broken JSON ({error.msg})", "a JSON object") from error
        yield from _comments(place, line)


def _comments(place: Place, line: Mapping[str, object]) -> Iterator[CommentLine]:
    if "replayChatItemAction" not in line:
        raise place.malformed(f"an object of {list(line)[:5]}", '"replayChatItemAction"')
    replay = members(place, line["replayChatItemAction"])
    actions = replay.get("actions")
    if not isinstance(actions, list):
        raise place.malformed_value(actions, 'an array as "actions"')
    for renderer in filter(None, map(_comment_renderer, actions)):
        # Beside the actions in a replay, one level up in a download made while live.
        written = replay.get("videoOffsetTimeMsec", line.get("videoOffsetTimeMsec"))
        if written is None:
            raise place.malformed("no time", 'ms as "videoOffsetTimeMsec"')
        if str(written).startswith("-"):
            continue
        offset_ms = whole_ms(place, str(written))
        user = user_of(renderer, "authorExternalChannelId")
        comment = comment_line(place, offset_ms, user, _message_text(renderer.get("message")))
        if comment is not None:
            yield comment


def _comment_renderer(action: object) -> Mapping[str, object] | None:
    if not isinstance(action, dict):
        return None
    added = action.get("addChatItemAction")
    item = added.get("item") if isinstance(added, dict) else None
    if not isinstance(item, dict):
        return None
    renderers = (item.get(name) for name in _COMMENT_RENDERERS)
    return next((renderer for renderer in renderers if isinstance(renderer, dict)), None)


def _message_text(message: object) -> str:
    """The runs joined, an emoji as itself or as its `:name:`; "" for a payment without words."""
    if not isinstance(message, dict):
        return ""
    if isinstance(message.get("simpleText"), str):
        return str(message["simpleText"])
    runs = message.get("runs")
    return "".join(map(_run_text, runs)) if isinstance(runs, list) else ""


def _run_text(run: object) -> str:
    if not isinstance(run, dict):
        return ""
    if isinstance(run.get("text"), str):
        return str(run["text"])
    emoji = run.get("emoji")
    if not isinstance(emoji, dict):
        return ""
    # A channel's own emoji has an opaque id; its shortcut is what viewers type.
    shortcuts = emoji.get("shortcuts")
    if emoji.get("isCustomEmoji") and isinstance(shortcuts, list) and shortcuts:
        return str(shortcuts[0])
    return user_of(emoji, "emojiId")
