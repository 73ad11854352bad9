"""What a highlight may be called: given, or sentences that were said or written in it."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

MAX_TITLE_CHARS = 60
_MAX_CANDIDATES = 12
# Assembled speech has a space between two utterances; Chinese and Japanese have none of their own.
_SENTENCE_END = re.compile(
    r"[。！？!?…\n]+|(?<=[a-z])\.\s+|(?<=[\u3040-\u9fff])\s+(?=[\u3040-\u9fff])"
)

Origin = Literal["given", "speech", "comment"]


@dataclass(frozen=True, slots=True)
class Title:
    """A title and where it is from; texts of streamers and viewers are not to be trusted."""

    text: str
    origin: Origin


def title_candidates(highlight: Mapping[str, Any], given: str = "") -> list[Title]:
    """The titles to choose from: the given one alone, else sentences and strongest comments.

    Each once, at most 12, cut to 60 characters; what has no letter or digit, such as emoji only,
    says nothing and is left out.
    """
    if given.strip():
        return [Title(given.strip()[:MAX_TITLE_CHARS], "given")]
    peak = highlight.get("peak") or {}
    texts: list[tuple[str, Origin]] = [
        (sentence, "speech") for sentence in sentences(str(peak.get("speech") or ""))
    ]
    texts += [(str(comment), "comment") for comment in peak.get("strongest_comments") or ()]
    found: dict[str, Title] = {}
    for text, origin in texts:
        cleaned = _one_line(text)[:MAX_TITLE_CHARS]
        if any(unicodedata.category(each)[0] in "LN" for each in cleaned):
            found.setdefault(cleaned.casefold(), Title(cleaned, origin))
    return list(found.values())[:_MAX_CANDIDATES]


def sentences(speech: str) -> list[str]:
    """The speech, parted at sentence ends and at spaces between Chinese or Japanese characters."""
    parts = [part.strip() for part in _SENTENCE_END.split(speech)]
    return [part for part in parts if part]


def _one_line(text: str) -> str:
    printable = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(printable.split())
