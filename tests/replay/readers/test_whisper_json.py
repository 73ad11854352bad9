from pathlib import Path

import pytest

from limelight.replay.readers.lines import SpeechLine
from limelight.replay.readers.malformed import MalformedRecording
from limelight.replay.readers.whisper_json import read_whisper_json

SEGMENTS = """\
[{"id": 0, "start": 0.0, "end": 2.5, "text": " Ask not"},
{"start": 2.5, "end": 2.5, "text": "x"}]"""


def read(tmp_path: Path, content: str) -> list[SpeechLine]:
    file = tmp_path / "speech.json"
    file.write_text(content, encoding="utf-8")
    return list(read_whisper_json(file))


@pytest.mark.parametrize(
    "content", [SEGMENTS, f'{{"text": "Ask not", "segments": {SEGMENTS}, "language": "en"}}']
)
def test_segments_are_read_bare_and_inside_whispers_output(tmp_path: Path, content: str) -> None:
    lines = read(tmp_path, content)
    assert lines == [SpeechLine(0, 2_500, "Ask not"), SpeechLine(2_500, 2_500, "x")]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ('[{"start": 2, "end": 1, "text": "a"}]', "found an end at 1000 ms, expected one not"),
        ('[{"start": -1, "end": 1, "text": "a"}]', "not negative"),
        ('[{"start": NaN, "end": 1, "text": "a"}]', "broken JSON"),
        ('[{"start": 0, "text": "a"}]', "found None, expected a time"),
        ('[{"start": 0, "end": 1}]', "no 'text'"),
        ('{"text": "abc"}', 'expected a JSON object with "segments"'),
        ('{"text": "abc", "segments": [{"start": 0', "the end of the file"),
    ],
)
def test_malformed_segments_are_refused(tmp_path: Path, content: str, error: str) -> None:
    with pytest.raises(MalformedRecording, match=error):
        read(tmp_path, content)


@pytest.mark.shared_data
def test_clips_of_many_videos_are_refused(shared_data: Path) -> None:
    with pytest.raises(MalformedRecording, match=r'found an object of .*"segments"'):
        list(read_whisper_json(shared_data / "subtitles-audio" / "whisper_meanwhile.json"))
