import json
from pathlib import Path

import pytest

from limelight.replay.readers.lines import CommentLine
from limelight.replay.readers.malformed import MalformedRecording
from limelight.replay.readers.twitch_json import read_twitch_json


def read(tmp_path: Path, comments: list[object]) -> list[CommentLine]:
    file = tmp_path / "chat.json"
    whole = {
        "FileInfo": {"Version": {"Major": 1}},
        "streamer": {"name": "s", "id": 1},
        "video": {"title": 'a "[quoted{" title', "start": 0, "end": 9.5},
        "comments": comments,
        "embeddedData": {"firstParty": [{"data": "]}" * 50}]},
    }
    file.write_text(json.dumps(whole, indent=2))
    return list(read_twitch_json(file))


def comment(**changes: object) -> dict[str, object]:
    return {
        "_id": "c1",
        "content_offset_seconds": 12.5,
        "commenter": {"display_name": "Ann", "_id": "99", "name": "ann"},
        "message": {"body": "PogChamp wow", "fragments": [{"text": "PogChamp wow"}]},
        **changes,
    }


def test_time_user_and_body_are_read(tmp_path: Path) -> None:
    lines = read(tmp_path, [comment(), comment(content_offset_seconds=3, commenter=None)])
    assert lines == [
        CommentLine(12_500, "99", "PogChamp wow"),
        CommentLine(3_000, "", "PogChamp wow"),
    ]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"content_offset_seconds": -1}, "item 1 at byte .*not negative"),
        ({"content_offset_seconds": None}, "expected a time in seconds"),
        ({"message": None}, "found None, expected a JSON object"),
        ({"message": {}}, "no 'body'"),
    ],
)
def test_malformed_comments_are_refused(
    tmp_path: Path, changes: dict[str, object], error: str
) -> None:
    with pytest.raises(MalformedRecording, match=error):
        read(tmp_path, [comment(**changes)])
