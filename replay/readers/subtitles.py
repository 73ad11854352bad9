"""Speech from subtitles: SubRip (SRT) and WebVTT."""

import html
import re
from collections.abc import Iterator
from pathlib import Path

from limelight.replay.readers.lines import SpeechLine, speech_line
from limelight.replay.readers.malformed import Place
from limelight.replay.readers.text_lines import numbered_lines
from limelight.replay.readers.timestamps import clock_ms

# Behind the times stand cue settings (VTT) or coordinates (SRT).
_TIMES = re.compile(r"\s*(\S+?)\s*-->\s*(\S+)(?:\s.*)?")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|</?\d[\d:.]*>|\{\\[^{}]*\}")
_NOT_CUES = re.compile(r"(NOTE|STYLE|REGION)(\s|$)")

_Block = list[tuple[int, str]]


def read_srt(path: Path) -> Iterator[SpeechLine]:
    """Cues in file order, without mark-up.

    Raises:
        MalformedRecording: a block without a time line, a broken time, or an end before its start.
    """
    for block in _blocks(path):
        yield from _cue(path, block)


def read_vtt(path: Path) -> Iterator[SpeechLine]:
    """Cues in file order, without mark-up; notes, styles and regions are skipped.

    Raises:
        MalformedRecording: no WEBVTT line at the top, a block without a time line, a broken time,
            or an end before its start.
    """
    blocks = _blocks(path)
    number, first = next(blocks, [(1, "")])[0]
    if re.fullmatch(r"WEBVTT([ \t].*)?", first) is None:
        raise Place(path, f"line {number}").malformed_value(first, "WEBVTT")
    for block in blocks:
        if _NOT_CUES.match(block[0][1]) is None:
            yield from _cue(path, block)


def _blocks(path: Path) -> Iterator[_Block]:
    """Runs of numbered lines between empty ones."""
    block: _Block = []
    for number, line in numbered_lines(path):
        if line.strip():
            block.append((number, line))
        elif block:
            yield block
            block = []
        _check_length(path, block)
    if block:
        yield block


def _check_length(path: Path, block: _Block) -> None:
    # Texts are checked once a cue is whole; this bounds what is held until then.
    if len(block) > 1_000:
        raise Place(path, f"line {block[0][0]}").malformed(
            "a cue of more than 1,000 lines", "an empty line after each cue"
        )


def _cue(path: Path, block: _Block) -> Iterator[SpeechLine]:
    """The block's cue, if it has words: an optional number or name, the times, then the text."""
    times_at = 0 if "-->" in block[0][1] or len(block) == 1 else 1
    number, times = block[times_at]
    place = Place(path, f"line {number}")
    match = _TIMES.fullmatch(times)
    if match is None:
        raise place.malformed_value(times, "a time line such as 00:00:01.000 --> 00:00:02.500")
    start_ms, end_ms = (clock_ms(place, text) for text in match.groups())
    text = " ".join(line for _, line in block[times_at + 1 :])
    line = speech_line(place, start_ms, end_ms, html.unescape(_TAG.sub("", text)))
    if line is not None:
        yield line
