"""Speech from Whisper's JSON: `{"segments": [{"start", "end", "text"}, ...]}` or the bare array."""

from collections.abc import Iterator
from pathlib import Path

from limelight.replay.readers.json_fields import members, text_of
from limelight.replay.readers.json_items import json_items
from limelight.replay.readers.lines import SpeechLine, speech_line
from limelight.replay.readers.timestamps import seconds_ms


def read_whisper_json(path: Path) -> Iterator[SpeechLine]:
    """Segments in file order.

    A file that maps video ids to clips with their own `begin` and `end` (Whisper's evaluation
    data) is refused: its times belong to different videos, so they make no one stream.

    Raises:
        MalformedRecording: broken or cut-off JSON, or a segment without text and valid times.
    """
    for place, item in json_items(path, "segments"):
        segment = members(place, item)
        start_ms = seconds_ms(place, segment.get("start"))
        end_ms = seconds_ms(place, segment.get("end"))
        line = speech_line(place, start_ms, end_ms, text_of(place, segment, "text"))
        if line is not None:
            yield line
