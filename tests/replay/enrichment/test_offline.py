"""Highlights of a file, enriched: each once, an interrupted run goes on, and a page shows them."""

import json

import orjson
import pytest

from limelight.engine.errors import LimelightError
from limelight.replay.enrichment.enrich import Enricher
from limelight.replay.enrichment.offline import (
    closed_highlights,
    enrich_file,
    write_enriched_report,
)
from limelight.replay.enrichment.sources import MediaSource, MediaSources
from limelight.replay.exports.highlights import read_highlights
from limelight.streams.highlight_records import encode_enriched
from limelight.streams.settings import EnrichmentSettings

STARTED_MS = 1_777_636_800_000


def make_event(data, kind="closed"):
    room, start_ms = data["room_id"], data["start_ms"]
    return {
        "specversion": "1.0",
        "id": f"{room}/{start_ms}/{kind}/energy",
        "source": f"/limelight/rooms/{room}",
        "type": f"live.limelight.highlight.{kind}",
        "subject": data["highlight_id"],
        "time": "2026-05-01T12:00:30.000Z",
        "datacontenttype": "application/json",
        "data": {**data, "kind": kind},
    }


@pytest.fixture
def events(tmp_path, highlight):
    """Three highlights; one is still open, another is told twice."""
    found = [
        make_event(highlight(1, 5)),
        make_event(highlight(1, 4), "opened"),
        make_event(highlight(5, 9)),
        make_event(highlight(5, 9)),
        make_event(highlight(9, 10), "opened"),
    ]
    path = tmp_path / "highlights.jsonl"
    path.write_bytes(b"".join(orjson.dumps(each) + b"\n" for each in found))
    return path


@pytest.fixture
def enricher(tmp_path, make_video, clip_models):
    video = make_video(tmp_path / "room.mp4", 12)
    settings = EnrichmentSettings(out=str(tmp_path / "out"))
    return Enricher(settings, MediaSources({"room-1": MediaSource(video, STARTED_MS)}), clip_models)


def test_each_closed_highlight_is_enriched_once(tmp_path, events, enricher) -> None:
    made = enrich_file(events, enricher, tmp_path / "out")
    assert [each["data"]["kind"] for each in made] == ["enriched"] * 2
    written = (tmp_path / "out/enriched.jsonl").read_bytes().splitlines()
    assert [orjson.loads(line) for line in written] == made
    exported = read_highlights(tmp_path / "out/enriched.jsonl")
    assert [each.highlight_id for each in exported] == [each["subject"] for each in made]


def test_an_interrupted_run_goes_on_behind_its_last_whole_line(
    tmp_path, events, enricher, monkeypatch
) -> None:
    whole = enrich_file(events, enricher, tmp_path / "out")
    asked = interrupt(tmp_path / "out", enricher, monkeypatch)
    written = (tmp_path / "out/enriched.jsonl").read_bytes()
    assert enrich_file(events, enricher, tmp_path / "out") == whole
    assert len(asked) == 1 and (tmp_path / "out/enriched.jsonl").read_bytes() == written
    assert not (tmp_path / "out/enriched.unfinished.jsonl").exists()


def interrupt(out, enricher, monkeypatch) -> list:
    """Cut the last line of a run off, and give a list of what is made from now on."""
    first, second = (out / "enriched.jsonl").read_bytes().splitlines(keepends=True)
    (out / "enriched.unfinished.jsonl").write_bytes(first + second[:40])
    asked: list = []
    enrich = enricher.enrich
    monkeypatch.setattr(enricher, "enrich", lambda data: asked.append(data) or enrich(data))
    return asked


def test_a_run_that_had_ended_is_made_anew(tmp_path, events, enricher, clip_models) -> None:
    settings = EnrichmentSettings(out=str(tmp_path / "out"))
    blind = enrich_file(events, Enricher(settings, MediaSources({}), clip_models), tmp_path / "out")
    assert [each["data"]["enrichment"]["clip"] for each in blind] == [None, None]
    made = enrich_file(events, enricher, tmp_path / "out")
    assert all(each["data"]["enrichment"]["clip"] for each in made)


def test_an_interrupted_run_of_other_models_or_events_is_made_anew(
    tmp_path, events, enricher, monkeypatch, clip_models
) -> None:
    enrich_file(events, enricher, tmp_path / "out")
    asked = interrupt(tmp_path / "out", enricher, monkeypatch)
    monkeypatch.setattr(clip_models, "versions", {**clip_models.versions, "ctr": "another"})
    enrich_file(events, enricher, tmp_path / "out")
    assert len(asked) == 2
    (tmp_path / "out/enriched.jsonl").rename(tmp_path / "out/enriched.unfinished.jsonl")
    first, *others = [orjson.loads(line) for line in events.read_bytes().splitlines()]
    first["data"]["end_ms"] += 1_000
    events.write_bytes(b"".join(orjson.dumps(each) + b"\n" for each in [first, *others]))
    made = enrich_file(events, enricher, tmp_path / "out")
    assert made[0]["data"]["end_ms"] == first["data"]["end_ms"] and len(asked) == 4


def test_what_another_file_left_behind_is_not_among_the_events(tmp_path, events, enricher) -> None:
    enrich_file(events, enricher, tmp_path / "out")
    lines = events.read_bytes().splitlines(keepends=True)
    events.write_bytes(lines[2])
    (made,) = enrich_file(events, enricher, tmp_path / "out")
    assert orjson.loads((tmp_path / "out/enriched.jsonl").read_bytes()) == made
    events.write_bytes(b"")
    assert enrich_file(events, enricher, tmp_path / "out") == []
    assert (tmp_path / "out/enriched.jsonl").read_bytes() == b""


def test_an_enriched_event_is_enriched_anew_as_its_closed_one(tmp_path, highlight) -> None:
    closed = make_event(highlight(1, 5))
    path = tmp_path / "highlights.jsonl"
    path.write_bytes(encode_enriched(closed, {"clip": None}) + b"\n")
    assert closed_highlights(path) == [closed]


def test_a_line_that_is_no_event_is_named(tmp_path, events) -> None:
    events.write_bytes(events.read_bytes() + b"{}\n")
    with pytest.raises(LimelightError, match=r"highlights.jsonl, line 6: found .*expected a high"):
        closed_highlights(events)


@pytest.mark.parametrize(
    ("without", "changes", "found"),
    [
        ("subject", {}, "found no 'subject'"),
        ("", {"start_ms": "7"}, "found data.start_ms of '7'"),
        ("", {"peak": None}, "found data.peak of None"),
    ],
)
def test_a_line_that_cannot_be_enriched_is_named(
    tmp_path, highlight, without, changes, found
) -> None:
    event = make_event(highlight(1, 5, **changes))
    event.pop(without, None)
    path = tmp_path / "highlights.jsonl"
    path.write_bytes(orjson.dumps(event) + b"\n")
    with pytest.raises(LimelightError, match=rf"highlights.jsonl, line 1: {found}, expected a"):
        closed_highlights(path)


def test_the_page_shows_clips_and_escapes_what_viewers_wrote(
    tmp_path, events, enricher, highlight
) -> None:
    (made, _) = enrich_file(events, enricher, tmp_path / "out")
    made["data"]["enrichment"]["title"] = {"text": "<script>alert(1)</script>", "from": "comment"}
    bare = json.loads(json.dumps(made))
    bare["data"]["enrichment"].update(
        clip=None, covers=[], starts=[], ctr=None, title=None, topics=[], forecast=None,
        missing={"clip": "no source"},
    )  # fmt: skip
    write_enriched_report([made, bare], tmp_path / "out", tmp_path / "out/page.html")
    page = (tmp_path / "out/page.html").read_text()
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert f'src="{made["data"]["enrichment"]["clip"]["url"]}#t=' in page
    assert page.count("<video") == 1 and "data:image/jpeg;base64," in page
    assert "none: no source" in page
