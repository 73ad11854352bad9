"""An enrichment as a person looks at it: the parts of the card that the reports show."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Beside the best one.
_COVERS_SHOWN = 3
_NAMES = {"play_rate": "starts", "cover_title": "covers", "popularity": "forecast"}


@dataclass(frozen=True, slots=True)
class Offer:
    """One highlight's card; pictures are data URLs, the clip is a path or URL."""

    clip: str
    start_s: float
    cover: str
    covers: list[str]
    title: str
    title_from: str
    topics: list[dict[str, Any]]
    facts: list[tuple[str, str]]
    missing: list[tuple[str, str]]


def offer(enrichment: Mapping[str, Any], folder: Path) -> Offer:
    """The card of an enrichment; covers are read below `folder`, where URLs are relative to it."""
    clip, title = enrichment["clip"], enrichment["title"]
    starts, forecast = enrichment["starts"], enrichment["forecast"]
    pictures = [_data_url(folder, each["url"]) for each in enrichment["covers"]]
    facts = []
    if clip:
        facts.append(("clip", f"{clip['seconds']:.0f} s, {clip['bytes'] / 1_000_000:.1f} MB"))
    if starts:
        best, worst = starts[0], starts[-1]
        others = f", worst at {worst['offset_ms'] / 1_000:.0f} s {100 * worst['play_rate']:.0f} %"
        facts.append((
            "best start",
            f"{best['offset_ms'] / 1_000:.0f} s: {100 * best['play_rate']:.0f} % expected to stay"
            f" 3 s{others if len(starts) > 1 else ''}",
        ))  # fmt: skip
    if enrichment["ctr"] is not None:
        facts.append(("CTR of the clip", f"{100 * enrichment['ctr']:.1f} % expected"))
    if enrichment["covers"] and enrichment["covers"][0]["score"] is not None:
        score = enrichment["covers"][0]["score"]
        facts.append(("cover and title", f"popularity class {score:.1f} of 0 to 4"))
    if forecast:
        facts.append(("forecast", f"popularity score {forecast['score']:,.0f}"))
    return Offer(
        clip=clip["url"] if clip else "",
        start_s=starts[0]["offset_ms"] / 1_000 if starts else 0.0,
        cover=pictures[0] if pictures else "",
        covers=pictures[1 : 1 + _COVERS_SHOWN],
        title=title["text"] if title else "",
        title_from=title["from"] if title else "",
        topics=enrichment["topics"],
        facts=facts,
        missing=[(_NAMES.get(name, name), why) for name, why in enrichment["missing"].items()],
    )


def in_one_line(enrichment: Mapping[str, Any]) -> str:
    """The same in a line, for a terminal."""
    title, topics, starts = enrichment["title"], enrichment["topics"], enrichment["starts"]
    parts = [f"“{title['text']}”" if title else "no title"]
    if topics:
        parts.append("/".join(topics[0]["names"]) or f"topic {topics[0]['topic']}")
    if enrichment["clip"]:
        best = f", begin at {starts[0]['offset_ms'] / 1_000:.0f} s" if starts else ""
        parts.append(f"clip of {enrichment['clip']['seconds']:.0f} s{best}")
    if enrichment["missing"]:
        parts.append(f"without {', '.join(enrichment['missing'])}")
    return "; ".join(parts)


def _data_url(folder: Path, url: str) -> str:
    path = folder / url
    if "://" in url or not path.is_file():
        return url
    return f"data:image/jpeg;base64,{base64.b64encode(path.read_bytes()).decode()}"
