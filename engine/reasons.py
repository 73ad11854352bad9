"""The parts of a score's reasons that come from the segment itself."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from limelight.engine.window import Segment

STRONGEST_COMMENTS = 3
SPEECH_CHARS = 500
PICTURE = "picture"
TEXT = "text"
COMMENTS = "comments"

_REPEATS = re.compile(r"(.)\1{2,}")


def strongest_comments(comments: Sequence[str]) -> tuple[str, ...]:
    """Up to three texts, the most repeated first, among equals the earliest.

    Comments count as the same when they differ only in width, case, spaces, or in how often a
    character is repeated: "666", "６６６６６" and "66666666" are one, shown as first written.
    """
    counts: Counter[str] = Counter()
    first_written: dict[str, str] = {}
    for comment in comments:
        if key := _normalised(comment):
            counts[key] += 1
            first_written.setdefault(key, comment.strip())
    # A Counter lists equal counts in the order of their first occurrence.
    return tuple(first_written[key] for key, _ in counts.most_common(STRONGEST_COMMENTS))


def speech_start(speech: str) -> str:
    """The first 500 characters, spaces around them removed."""
    return speech.strip()[:SPEECH_CHARS]


def key_frame_ms(segment: Segment) -> int | None:
    """The time of the segment's middle frame, None if it has no picture."""
    times = segment.frame_times_ms
    return times[len(times) // 2] if times else None


def modality_shares(
    ctr: float, ctr_without_picture: float, ctr_without_text: float
) -> dict[str, float]:
    """How the CTR divides: each modality's share of what is lost when one of them is masked.

    A modality without which the CTR would be as high or higher has no share. What is lost counts
    from 0.0001 on: where nothing is, the last bits of a float must not decide who gets it all.
    """
    picture = max(0.0, round(ctr - ctr_without_picture, 4))
    text = max(0.0, round(ctr - ctr_without_text, 4))
    lost = (picture + text) or 1.0
    return {PICTURE: picture / lost, TEXT: text / lost}


def _normalised(comment: str) -> str:
    folded = unicodedata.normalize("NFKC", comment).casefold()
    return _REPEATS.sub(r"\1\1", " ".join(folded.split()))
