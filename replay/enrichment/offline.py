"""`limelight enrich`: closed highlights out of a file, enriched as the service does it live."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from limelight.engine.errors import LimelightError
from limelight.engine.reasons import speech_start, strongest_comments
from limelight.kernels.energy import SEGMENT_MS
from limelight.replay.enrichment.enrich import Enricher
from limelight.replay.enrichment.shown import Offer, offer
from limelight.replay.event_time import shown_event_time
from limelight.replay.exports.highlights import MAX_EVENT_BYTES
from limelight.replay.page import template
from limelight.replay.recording import Recording
from limelight.streams.highlight_records import decode_highlight, encode_enriched
from limelight.streams.records import MalformedRecord

ENRICHED_NAME = "enriched.jsonl"
# Until the last highlight is made; only what stands here is taken over by the next run.
UNFINISHED_NAME = "enriched.unfinished.jsonl"
REPORT_NAME = "enriched.html"


@dataclass(frozen=True, slots=True)
class Card:
    """One highlight of the report."""

    room: str
    start: str
    end: str
    reason: str
    offer: Offer


def closed_highlights(path: Path) -> list[dict[str, Any]]:
    """The `closed` events in a file of CloudEvents, one a line, each highlight once.

    An `enriched` event stands for its `closed` one: the demo's file keeps only the newest.

    Raises:
        LimelightError: names the line that is no highlight event.
    """
    found: dict[str, dict[str, Any]] = {}
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                event = decode_highlight(line.strip(), max_bytes=MAX_EVENT_BYTES)
                data = event["data"]
                subject, kind = str(event["subject"]), data["kind"]
                for name, expected in (("start_ms", int), ("end_ms", int), ("peak", dict)):
                    if not isinstance(data[name], expected):
                        raise TypeError(f"data.{name} of {data[name]!r:.40}")
            except KeyError as error:
                raise LimelightError(
                    f"{path}, line {number}: found no {error}, expected a highlight event"
                ) from error
            except (MalformedRecord, TypeError) as error:
                raise LimelightError(
                    f"{path}, line {number}: found {error}, expected a highlight event"
                ) from error
            if kind == "enriched":
                event = _closed(event)
            if kind in ("closed", "enriched"):
                found.setdefault(subject, event)
    return list(found.values())


def with_words(event: dict[str, Any], recording: Recording, base_ms: int) -> dict[str, Any]:
    """The event with the peak's speech and strongest comments, where it came without any.

    An evaluation knows numbers only. `base_ms` is the event time at which the recording begins.
    """
    peak = event["data"]["peak"]
    if peak.get("speech") or peak.get("strongest_comments"):
        return event
    start_ms = int(peak.get("start_ms", event["data"]["start_ms"])) - base_ms
    end_ms = start_ms + SEGMENT_MS
    comments = [
        line.text for line in recording.read_comments() if start_ms <= line.offset_ms < end_ms
    ]
    said = [line.text for line in recording.read_speech() if start_ms <= line.start_ms < end_ms]
    words = {
        "strongest_comments": list(strongest_comments(comments)),
        "comment_count": len(comments),
        "speech": speech_start(" ".join(said)),
    }
    return {**event, "data": {**event["data"], "peak": {**peak, **words}}}


def enrich_file(
    events: Path,
    enricher: Enricher,
    out: Path,
    *,
    worded: Callable[[dict[str, Any]], dict[str, Any]] = lambda event: event,
    on_highlight: Callable[[int, int], None] = lambda done, of: None,
) -> list[dict[str, Any]]:
    """Enrich each closed highlight and write `enriched.jsonl`; gives the events.

    `worded` may put words into an event first.
    A run that was interrupted goes on, unless events or models have changed; one that had come to
    its end is made anew.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / UNFINISHED_NAME
    closed = [worded(event) for event in closed_highlights(events)]
    written = _written(path)
    done: list[dict[str, Any]] = []
    for event in closed:
        earlier = written.get(str(event["subject"]))
        if earlier is None or not _is_of(earlier, event, enricher):
            break
        done.append(earlier)
    path.write_bytes(b"".join(orjson.dumps(event) + b"\n" for event in done))
    with path.open("ab") as file:
        for event in closed[len(done) :]:
            on_highlight(len(done), len(closed))
            line = encode_enriched(event, enricher.enrich(event["data"]))
            file.write(line + b"\n")
            file.flush()
            done.append(orjson.loads(line))
    on_highlight(len(done), len(closed))
    path.replace(out / ENRICHED_NAME)
    return done


def write_enriched_report(events: list[dict[str, Any]], out: Path, path: Path) -> None:
    """A page with a card for each enriched event; clips and covers lie in `out`."""
    cards = [
        Card(
            event["data"]["room_id"],
            shown_event_time(event["data"]["start_ms"]),
            shown_event_time(event["data"]["end_ms"]),
            event["data"].get("reason", ""),
            offer(event["data"]["enrichment"], out),
        )
        for event in events
    ]
    models = {
        f"{part} {version}"
        for event in events
        for part, version in event["data"]["enrichment"]["models"].items()
    }
    page = template("enriched.html.j2").render(cards=cards, models=sorted(models))
    path.write_text(page, encoding="utf-8")


def _closed(event: dict[str, Any]) -> dict[str, Any]:
    data = {name: value for name, value in event["data"].items() if name != "enrichment"}
    return {
        **event,
        "id": event["id"].replace("/enriched/", "/closed/", 1),
        "type": event["type"].replace("enriched", "closed"),
        "data": {**data, "kind": "closed"},
    }


def _is_of(line: dict[str, Any], event: dict[str, Any], enricher: Enricher) -> bool:
    """Whether an earlier run's event is what this one would make, its sources being the same."""
    versions = line["data"]["enrichment"]["models"]
    return bool(_closed(line) == event and versions == enricher.models.versions)


def _written(path: Path) -> dict[str, dict[str, Any]]:
    """The events of an interrupted run, without a last line that was cut off."""
    found: dict[str, dict[str, Any]] = {}
    if not path.exists():
        return found
    for line in path.read_bytes().splitlines():
        try:
            event = orjson.loads(line)
            found[str(event["subject"])] = event
        except (orjson.JSONDecodeError, KeyError, TypeError):
            break
    return found
