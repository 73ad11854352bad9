"""Highlights as an edit decision list (CMX 3600), which video editors import."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

# The format numbers events with three digits.
MAX_EVENTS = 999
_DROPPING = {Fraction(30_000, 1_001): 2, Fraction(60_000, 1_001): 4}


@dataclass(frozen=True, slots=True)
class Cut:
    """A part `[start_ms, end_ms)` of a video, with what to say of it."""

    start_ms: int
    end_ms: int
    note: str


def timecode(frame: int, rate: Fraction) -> str:
    """HH:MM:SS:FF of a frame's number.

    At 29.97 and 59.94 frames a second drop-frame (HH:MM:SS;FF): the first 2 or 4 numbers of each
    minute but every tenth are left out, so that the code keeps to the clock. Frame 1,800 of 29.97
    is 00:01:00;02, frame 17,982 is 00:10:00;00.
    """
    a_second = round(rate)
    dropped = _DROPPING.get(rate, 0)
    if dropped:
        a_minute = 60 * a_second - dropped
        ten_minutes = 10 * a_minute + dropped
        tens, rest = divmod(frame, ten_minutes)
        # The first minute of ten has all its numbers.
        minutes = max(0, (rest - dropped) // a_minute)
        frame += dropped * (9 * tens + minutes)
    seconds, frames = divmod(frame, a_second)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    separator = ";" if dropped else ":"
    return f"{hours % 24:02d}:{minutes:02d}:{seconds:02d}{separator}{frames:02d}"


def edl(title: str, clip_name: str, cuts: Sequence[Cut], rate: Fraction) -> str:
    """An edit of the cuts one after the other, each with a marker at its start.

    Raises:
        ValueError: more cuts than the format numbers, or one that is empty.
    """
    if len(cuts) > MAX_EVENTS:
        raise ValueError(f"edl: found {len(cuts)} highlights, expected at most {MAX_EVENTS}")
    mode = "DROP FRAME" if rate in _DROPPING else "NON-DROP FRAME"
    lines = [f"TITLE: {_one_line(title)}", f"FCM: {mode}", ""]
    at = 0
    for number, cut in enumerate(cuts, 1):
        first, end = _frame(cut.start_ms, rate), _frame(cut.end_ms, rate)
        if first >= end:
            raise ValueError(f"edl: found a highlight of {first} to {end}, expected a frame of it")
        codes = (first, end, at, at + end - first)
        lines += [
            f"{number:03d}  AX       V     C        "
            + " ".join(timecode(code, rate) for code in codes),
            f"* FROM CLIP NAME: {_one_line(clip_name)}",
            f"* LOC: {timecode(at, rate)} RED     {_one_line(cut.note)}",
            "",
        ]
        at += end - first
    return "\n".join(lines)


def write_edl(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\r\n")


def _frame(time_ms: int, rate: Fraction) -> int:
    return round(time_ms * rate / 1000)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]
