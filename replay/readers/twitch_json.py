"""Comments from TwitchDownloader's chat JSON: an object whose "comments" is the array."""

from collections.abc import Iterator
from pathlib import Path

from limelight.replay.readers.json_fields import members, text_of, user_of
from limelight.replay.readers.json_items import json_items
from limelight.replay.readers.lines import CommentLine, comment_line
from limelight.replay.readers.timestamps import seconds_ms


def read_twitch_json(path: Path) -> Iterator[CommentLine]:
    """Comments in file order; embedded pictures in the same file are skipped unread.

    Raises:
        MalformedRecording: broken or cut-off JSON, or a comment without a body and a valid time.
    """
    for place, item in json_items(path, "comments"):
        comment = members(place, item)
        offset_ms = seconds_ms(place, comment.get("content_offset_seconds"))
        text = text_of(place, members(place, comment.get("message")), "body")
        # A deleted account leaves null as the commenter.
        user = user_of(comment.get("commenter"), "_id", "name", "display_name")
        line = comment_line(place, offset_ms, user, text)
        if line is not None:
            yield line
