"""docs/push against what is pushed: every event fits the schema, and the guide's receiver works."""

import asyncio
import copy
import json
import os
import random
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from pydantic import SecretStr

from limelight.engine.score import Reasons, Score
from limelight.streams.broker import free_port
from limelight.streams.detection import HighlightDetector, RoomTrend
from limelight.streams.highlight_records import CONTENT_TYPE, encode_enriched, encode_highlight
from limelight.streams.settings import DetectorSettings, PushSettings
from limelight.streams.webhook import Outcome, WebhookClient

PUSH = Path(__file__).parents[2] / "docs/push"
SCHEMA = json.loads((PUSH / "highlight.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=FormatChecker())
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

Event = dict[str, Any]


def events_of(scores: list[Score]) -> list[Event]:
    detector, trend = HighlightDetector(DetectorSettings()), RoomTrend()
    return [
        json.loads(encode_highlight(event, {"closed_at_ms": 1, "scored_at_ms": 2}))
        for score in scores
        for event in detector.update(trend, score)
    ]


def make_scores(values: list[float], room_id: str, streamer_id: str, network: bool) -> list[Score]:
    shares = {"picture": 0.25, "text": 0.75} if network else {"comments": 1.0}
    return [
        Score(
            room_id=room_id, streamer_id=streamer_id, room_started_ms=None, segment_index=index,
            start_ms=index * 30_000, end_ms=(index + 1) * 30_000, ctr=value, energy=1 - value,
            decided_by="network" if network else "energy", decision=value, model_version="模型 1",
            reasons=Reasons(shares, ("太强了", "<b>"), None if network else 7, 3),
            final=index == len(values) - 1,
        )
        for index, value in enumerate(values)
    ]  # fmt: skip


@pytest.fixture
def event() -> Event:
    event: Event = copy.deepcopy(SCHEMA["examples"][0])
    return event


def test_the_schema_is_one_and_fits_its_example(event: Event) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    VALIDATOR.validate(event)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.floats(0, 1), min_size=20, max_size=60),
    room_id=st.text(min_size=1, max_size=200).filter(lambda text: "\0" not in text),
    streamer_id=st.text(max_size=200),
    network=st.booleans(),
)
def test_every_event_of_a_run_fits(values, room_id, streamer_id, network) -> None:
    for event in events_of(make_scores(values, room_id, streamer_id, network)):
        VALIDATOR.validate(event)


def test_a_run_that_opens_updates_and_closes_has_all_three_kinds() -> None:
    generator = random.Random(3)
    values = [generator.uniform(0.45, 0.55) for _ in range(20)] + [0.7, 0.9, 0.2, 0.2]
    events = events_of(make_scores(values, "room", "s", network=False))
    assert [event["data"]["kind"] for event in events] == ["opened", "updated", "closed"]


def objects(schema: Any) -> list[dict[str, Any]]:
    """Every object of the schema that names its fields."""
    found = [schema, *(schema["$defs"][name] for name in ("highlight", "peak"))]
    return found


def test_the_schema_describes_every_field_that_is_sent_and_no_other() -> None:
    values = [0.5] * 10 + [0.9, 0.3]
    event = events_of(make_scores(values, "room", "s", network=False))[0]
    sent = [event, event["data"], event["data"]["peak"]]
    for fields, described in zip(sent, objects(SCHEMA), strict=True):
        own = set(described["properties"]) - {"enrichment"}
        assert set(fields) == own == set(described["required"])


ENRICHMENT: dict[str, Any] = {
    "clip": {"url": "clips/a.mp4", "start_ms": 5, "seconds": 30.5, "bytes": 12},
    "starts": [{"offset_ms": 0, "play_rate": 0.5}],
    "ctr": 0.1,
    "covers": [{"url": "clips/a.jpg", "offset_ms": 100, "score": None}],
    "title": {"text": "太强了", "from": "comment"},
    "topics": [{"topic": 3, "similarity": 0.7, "names": ["舞蹈"]}],
    "forecast": {"score": 12.5},
    "models": {"ctr": "tiny-1"},
    "missing": {},
}
NOTHING = ENRICHMENT | {
    "clip": None, "starts": [], "ctr": None, "covers": [], "title": None, "topics": [],
    "forecast": None, "missing": {"clip": "no source of the room's video is given"},
}  # fmt: skip


@pytest.mark.parametrize("enrichment", [ENRICHMENT, NOTHING])
def test_an_enriched_event_says_all_of_the_closed_one_and_fits(enrichment: Event) -> None:
    closed = events_of(make_scores([0.5] * 10 + [0.9, 0.3], "closed/closed", "s", True))[-1]
    enriched = json.loads(encode_enriched(closed, enrichment))
    VALIDATOR.validate(enriched)
    assert enriched["subject"] == closed["subject"] and enriched["id"] != closed["id"]
    assert enriched["id"].replace("/enriched/", "/closed/") == closed["id"]
    without = {k: v for k, v in enriched["data"].items() if k not in ("kind", "enrichment")}
    assert without == {k: v for k, v in closed["data"].items() if k != "kind"}


def test_an_enriched_event_without_its_enrichment_does_not_fit() -> None:
    closed = events_of(make_scores([0.5] * 10 + [0.9, 0.3], "room", "s", True))[-1]
    enriched = json.loads(encode_enriched(closed, ENRICHMENT))
    del enriched["data"]["enrichment"]
    with pytest.raises(ValidationError):
        VALIDATOR.validate(enriched)


def test_only_a_closed_highlight_is_enriched() -> None:
    opened = events_of(make_scores([0.5] * 10 + [0.9, 0.3], "room", "s", True))[0]
    with pytest.raises(ValueError, match="found kind 'opened', expected 'closed'"):
        encode_enriched(opened, ENRICHMENT)


Change = Callable[[Event], object]


@pytest.mark.parametrize(
    "change",
    [
        *(lambda e, name=name: e.pop(name) for name in SCHEMA["required"]),
        *(
            lambda e, name=name: e["data"].pop(name)
            for name in SCHEMA["$defs"]["highlight"]["required"]
        ),
        *(
            lambda e, name=name: e["data"]["peak"].pop(name)
            for name in SCHEMA["$defs"]["peak"]["required"]
        ),
        lambda e: e.update(specversion="0.3"),
        lambda e: e.update(type="live.limelight.highlight.cancelled"),
        lambda e: e.update(type="live.limelight.highlight.closed"),  # of an opened one
        lambda e: e["data"].update(kind="cancelled"),
        lambda e: e.update(id="房"),
        lambda e: e.update(time="2026-01-01 00:00:50"),
        lambda e: e["data"].update(start_ms="1767225620000"),
        lambda e: e["data"].update(start_ms=1_767_225_620.5),
        lambda e: e["data"].update(baseline=1.5),
        lambda e: e["data"].update(room_id=""),
        lambda e: e["data"]["peak"].update(modality_shares={"smell": 1.0}),
        lambda e: e["data"]["peak"].update(key_frame_ms=False),
        lambda e: e["data"]["timings"].update(closed_at_ms="now"),
    ],
)
def test_an_event_of_another_form_does_not_fit(event: Event, change: Change) -> None:
    change(event)
    with pytest.raises(ValidationError):
        VALIDATOR.validate(event)


def test_fields_that_come_later_fit(event: Event) -> None:
    event["traceparent"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    event["data"]["title"] = "later"
    event["data"]["peak"]["loudness"] = 0.5
    VALIDATOR.validate(event)


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [each for value in node.values() for each in references(value)]
    if isinstance(node, list):
        return [each for value in node for each in references(value)]
    return []


def test_the_asyncapi_document_refers_to_what_is_there() -> None:
    document = yaml.safe_load((PUSH / "asyncapi.yaml").read_text())
    assert document["asyncapi"] == "3.0.0"
    for reference in references(document):
        file, _, pointer = reference.partition("#")
        target: Any = document if not file else json.loads((PUSH / file).read_text())
        for name in filter(None, pointer.split("/")):
            target = target[name]
    message = document["components"]["messages"]["highlight"]
    assert message["contentType"] == CONTENT_TYPE
    assert message["payload"] == {"$ref": "./highlight.schema.json"}


def test_the_documents_numbers_are_the_defaults() -> None:
    text = " ".join((PUSH / "asyncapi.yaml").read_text().split())
    defaults = PushSettings()
    assert f"within the time-out ({defaults.timeout_s:g} s)" in text
    assert f"again, {defaults.max_attempts} times in all" in text
    first, most = defaults.first_backoff_s, defaults.max_backoff_s
    assert f"after {first:g} s, {2 * first:g} s, {4 * first:g} s and so on up to {most:g} s" in text


async def test_the_guides_receiver_takes_each_event_once_and_refuses_a_forged_one(
    event: Event, tmp_path: Path
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (PUSH / "README.md").read_text(), re.DOTALL)
    port = free_port()
    program = tmp_path / "receiver.py"
    program.write_text(code.replace("8088", str(port)))
    there = PushSettings(
        endpoint=f"http://127.0.0.1:{port}/",
        secret=SecretStr(SECRET),
        allow_private_addresses=True,
    )
    forged = there.model_copy(update={"secret": SecretStr(f"whsec_{'A' * 32}")})
    body = json.dumps(event).encode()
    headers = yaml.safe_load((PUSH / "asyncapi.yaml").read_text())["components"]["messages"][
        "highlight"
    ]["headers"]
    assert set(headers["required"]) == set(headers["properties"])
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(program),
        env={**os.environ, "LIMELIGHT_PUSH_SECRET": SECRET},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with WebhookClient(there) as client, WebhookClient(forged) as forger:
            async with asyncio.timeout(30):
                while (await client.post(event["id"], body)).outcome is not Outcome.DELIVERED:
                    await asyncio.sleep(0.05)
            assert (await client.post(event["id"], body)).outcome is Outcome.DELIVERED
            assert "answered 401" in (await forger.post(event["id"], body)).reason
    finally:
        process.terminate()
    printed, _ = await process.communicate()
    assert printed.decode().splitlines() == [f"opened {event['data']['reason']}"]
