import json
from pathlib import Path

import pytest

from limelight.replay.readers.lines import CommentLine
from limelight.replay.readers.malformed import MalformedRecording
from limelight.replay.readers.youtube_live_chat import read_youtube_live_chat


def replay_line(
    offset: object, runs: list[object], kind: str = "liveChatTextMessageRenderer"
) -> str:
    renderer = {"message": {"runs": runs}, "authorExternalChannelId": "UC1"}
    actions = [{"addChatItemAction": {"item": {kind: renderer}}}]
    action = {"actions": actions, "videoOffsetTimeMsec": offset}
    return json.dumps({"replayChatItemAction": action})


def read(tmp_path: Path, lines: list[str]) -> list[CommentLine]:
    file = tmp_path / "video.live_chat.json"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return list(read_youtube_live_chat(file))


def test_text_and_emoji_runs_are_joined(tmp_path: Path) -> None:
    custom = {"emojiId": "UC/x", "shortcuts": [":cat:"], "isCustomEmoji": True}
    runs = [
        {"text": "hi "},
        {"emoji": {"emojiId": "😂", "shortcuts": [":joy:"]}},
        {"emoji": custom},
    ]
    paid = replay_line("7", [{"text": "thanks"}], "liveChatPaidMessageRenderer")
    assert read(tmp_path, [replay_line("61500", runs), "", paid]) == [
        CommentLine(61_500, "UC1", "hi 😂:cat:"),
        CommentLine(7, "UC1", "thanks"),
    ]


def test_stickers_placeholders_and_deletions_are_left_out(tmp_path: Path) -> None:
    deletion = json.dumps({"replayChatItemAction": {"actions": [{"markChatItem": {}}]}})
    sticker = replay_line("5", [], "liveChatPaidStickerRenderer")
    assert read(tmp_path, [deletion, sticker, replay_line("5", [])]) == []


def test_a_live_download_has_its_time_outside_and_may_start_before_zero(tmp_path: Path) -> None:
    def live_line(offset: str) -> str:
        line = json.loads(replay_line("0", [{"text": offset}]))
        del line["replayChatItemAction"]["videoOffsetTimeMsec"]
        return json.dumps({**line, "videoOffsetTimeMsec": offset, "isLive": True})

    lines = read(tmp_path, [live_line("-400"), live_line("400")])
    assert lines == [CommentLine(400, "UC1", "400")]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ('{"replayChat', "line 2, column .*broken JSON"),
        ("[1]", "line 2: found .1., expected a JSON object"),
        ('{"a": 1}', 'line 2: found an object of .*, expected "replayChatItemAction"'),
        (replay_line(None, [{"text": "a"}]), "line 2: found no time"),
        (replay_line("soon", [{"text": "a"}]), "line 2: found 'soon'"),
        ('{"replayChatItemAction": {"actions": 5}}', "line 2: found 5"),
        (replay_line("1", [{"text": "a" * 10_001}]), "10,001 characters"),
    ],
)
def test_malformed_lines_are_refused(tmp_path: Path, line: str, error: str) -> None:
    with pytest.raises(MalformedRecording, match=error):
        read(tmp_path, [replay_line("1", [{"text": "good"}]), line])
