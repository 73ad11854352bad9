"""Comments from ArtPlayer's danmaku JSON: an array of `{"text": ..., "time": seconds}`."""

from collections.abc import Iterator
from pathlib import Path

from limelight.replay.readers.json_fields import members, text_of
from limelight.replay.readers.json_items import json_items
from limelight.replay.readers.lines import CommentLine, comment_line
from limelight.replay.readers.timestamps import seconds_ms


def read_artplayer_json(path: Path) -> Iterator[CommentLine]:
    """Comments in file order; the format names no user.

    Raises:
        MalformedRecording: broken or cut-off JSON, or an item without text and a valid time.
    """
    for place, item in json_items(path):
        comment = members(place, item)
        offset_ms = seconds_ms(place, comment.get("time"))
        line = comment_line(place, offset_ms, "", text_of(place, comment, "text"))
        if line is not None:
            yield line
