"""Hostile logs through every reader: nothing raises, and the books balance."""

import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import orjson
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from prometheus_client import REGISTRY

from limelight.engine.encoders import load_frame_encoder
from limelight.engine.score import Rejected
from limelight.engine.scorer import Scorer, load_scorer
from limelight.engine.settings import EngineSettings
from limelight.replay.accounting import Accounts
from limelight.streams.assembly import Emission, PartitionAssembly
from limelight.streams.dead_letters import Origin
from limelight.streams.detection import HighlightDetector, RoomTrend
from limelight.streams.frame_batch import FrameMessage, encode_frames
from limelight.streams.highlight_records import decode_highlight, encode_highlight
from limelight.streams.records import (
    FrameHeaders,
    MalformedRecord,
    RoomEnd,
    Watermark,
    header_map,
)
from limelight.streams.score_consumer import closed_at
from limelight.streams.score_records import decode_score, encode_score
from limelight.streams.settings import AssemblerSettings, DetectorSettings
from limelight.streams.source_messages import SourceMessage
from limelight.streams.topics import MODALITY_TOPICS
from limelight.streams.window_records import decode_window, encode_feature

STARTED_MS = 1_700_000_000_000
MAX_BYTES = 20_000
MAX_EXAMPLES = 80
MAX_PRODUCED_BYTES = 1_000_000  # what a producer takes: kafka.max_message_bytes
SETTINGS = AssemblerSettings(
    window_length=3, idle_segments=4, max_comments_a_segment=4, max_comments_a_user=2
)
# Past everything below but what claims the last days of the year 2199, which stays open.
FINAL_MS = (7_258_032_000_000, 7_258_032_001_000)

# What becomes of entries, and the label that says of which topic.
COUNTERS = {
    "events": "modality",
    "windowed": "modality",
    "late": "modality",
    "dead_letters": "topic",
    "repeated": "topic",
}

RawHeaders = list[tuple[str, bytes | None]]

numbers = st.one_of(
    st.sampled_from([-1, 0, 2**31, 2**53, 2**63, 2**64, 10**30, -(10**30), 1e308, 1e-320, 0.5]),
    st.integers(),
    st.floats(),
    st.integers(STARTED_MS - 100_000, STARTED_MS + 100_000),
)
# Lone surrogates included: json writes them, and no UTF-8 can.
texts = st.one_of(
    st.text(max_size=6),
    st.text(st.characters(codec=None), max_size=4),
    st.sampled_from(["", "\x00", "x" * 300, "x" * 1_001, "x" * 10_001, "NaN", "弹幕"]),
)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
depths = st.sampled_from([100, 254, 255, 500, 1_023, 1_025, 5_000])
raw_values = st.one_of(
    st.none(),
    st.binary(max_size=40),
    depths.map(lambda depth: b"[" * depth + b"]" * depth),
    depths.map(lambda depth: b'{"room_id":' * depth + b"1" + b"}" * depth),
    depths.map(lambda depth: b"[{}," + b"[" * depth + b"]" * depth + b"]"),
    st.sampled_from([b"", b"null", b"NaN", b"1e999", b"-0", b'"\xff"', b"[]", b"{}", b"[[]]"]),
    st.just(b'{"text":"' + b"x" * MAX_BYTES + b'"}'),
    st.just(b"[" + b"1," * 1_000 + b"1]"),
    st.just(b"[" + b"1," * MAX_BYTES + b"1]"),
)
kinds = st.sampled_from([b"watermark", b"room-end", b"party", b"", b"\xff", None])
raw_headers = st.lists(
    st.tuples(
        st.sampled_from(["kind", "event_time_ms", "room_id", "room_started_ms"]) | st.text(),
        st.one_of(
            kinds,
            st.binary(max_size=20),
            st.integers(0, 10**14).map(lambda number: str(number).encode()),
            st.sampled_from([b"room", b"-1", "²".encode(), b"1" * 5_000]),
        ),
    ),
    max_size=4,
)


@st.composite
def entries(draw: st.DrawFn, topic: str, number: int) -> dict[str, Any]:
    """A record's fields, valid or with any of them replaced, left out or made up."""
    at_ms = STARTED_MS + draw(st.integers(-60_000, 120_000))
    fields: dict[str, Any] = {"room_id": draw(st.sampled_from(["a", "b"])), "streamer_id": "s"}
    if draw(st.booleans()):
        fields["room_started_ms"] = STARTED_MS
    if topic == "comments":
        user = draw(st.sampled_from(["", "u", "v"]))
        fields |= {"event_time_ms": at_ms, "text": f"{number}", "user": user}
    elif topic == "asr":
        fields |= {"start_ms": at_ms, "end_ms": at_ms, "text": f"{number}"}
    else:
        feature = encode_feature(np.full(2, number, np.float16))
        fields |= {"event_time_ms": at_ms, "encoder_id": "e", "encoder_revision": "r"}
        fields |= {"feature": feature, "frame_offset": number}
    if draw(st.booleans()):
        name = draw(st.sampled_from([*fields, "unheard_of"]))
        if draw(st.booleans()):
            fields[name] = draw(values)
        else:
            fields.pop(name, None)
    return fields


def spelled(value: Any) -> bytes:
    return json.dumps(value).encode()


@st.composite
def messages(draw: st.DrawFn, number: int) -> tuple[bytes | None, RawHeaders]:
    """A message for any of the modality topics, meant for it or not."""
    kind = draw(st.sampled_from(["one", "one", "list", "raw", "cut", "mark", "end", "headers"]))
    topic = draw(st.sampled_from(MODALITY_TOPICS))
    at_ms = STARTED_MS + draw(st.integers(-60_000, 120_000))
    if kind == "mark":
        return b"", list(Watermark(at_ms).encode())
    if kind == "end":
        started_ms = draw(st.sampled_from([None, STARTED_MS]))
        return b"", list(RoomEnd("a", at_ms, started_ms).encode())
    if kind == "raw":
        return draw(raw_values), []
    if kind == "list":
        entry = st.one_of(entries(topic, number), values)
        return spelled(draw(st.lists(entry, max_size=3))), []
    value = spelled(draw(entries(topic, number)))
    if kind == "cut":
        place = draw(st.integers(0, len(value)))
        value = value[:place] + draw(st.binary(max_size=2)) + value[place + 1 :]
    return value, draw(raw_headers) if kind == "headers" else []


@st.composite
def logs(draw: st.DrawFn) -> list[tuple[str, bytes | None, RawHeaders]]:
    """Messages of the three topics as one worker reads them; some are sent again."""
    log: list[tuple[str, bytes | None, RawHeaders]] = []
    for number in range(draw(st.integers(0, 20))):
        if log and draw(st.integers(0, 6)) == 0:
            log.append(draw(st.sampled_from(log)))
        else:
            topic = draw(st.sampled_from(MODALITY_TOPICS))
            log.append((topic, *draw(messages(number))))
    ends = [
        (topic, b"", Watermark(at_ms).encode()) for at_ms in FINAL_MS for topic in MODALITY_TOPICS
    ]
    return log + [(topic, value, list(headers)) for topic, value, headers in ends]


@dataclass
class Books:
    """What the counters say between two looks at them."""

    before: dict[tuple[str, str], float] = field(default_factory=dict)

    def read(self, topic: str) -> dict[str, int]:
        """The rise of each counter since the last reading."""
        rises = {}
        for name, label in COUNTERS.items():
            found = REGISTRY.get_sample_value(f"limelight_{name}_total", {label: topic}) or 0.0
            rises[name] = int(found - self.before.get((name, topic), 0.0))
            self.before[name, topic] = found
        return rises


def check_letter(value: bytes, topic: str, partition: int, offsets: range) -> None:
    letter = orjson.loads(value)
    assert letter["topic"] == topic
    assert letter["partition"] == partition
    assert letter["offset"] in offsets
    assert letter["reason"].strip()
    assert letter["id"] == str(Origin(topic, partition, letter["offset"], letter["element"]))


@settings(max_examples=MAX_EXAMPLES, deadline=None)
@given(logs())
def test_of_any_log_every_entry_is_in_a_window_late_dead_or_a_repetition(log) -> None:
    assembly = PartitionAssembly(3, SETTINGS, max_message_bytes=MAX_BYTES, wall_ms=lambda: 42)
    accounts, books, offsets = Accounts(), Books(), Counter[str]()
    acked: Counter[tuple[str, int]] = Counter()
    for topic in MODALITY_TOPICS:
        books.read(topic)
    emissions: list[Emission] = []
    for topic, value, raw in log:
        offset = offsets[topic]
        offsets[topic] += 1
        record = SimpleNamespace(partition=3, offset=offset, value=value, headers=raw)
        accounts.see(topic, record)
        ack = lambda topic=topic, offset=offset: acked.update([(topic, offset)])  # noqa: E731
        message = SourceMessage(topic, 3, offset, value, header_map(raw), ack)
        emissions += assembly.process(message)
    for number, emission in enumerate(emissions):
        emission.settle()
        assert len(emission.value) < MAX_PRODUCED_BYTES
        if emission.topic is not None:
            record = SimpleNamespace(
                partition=3, offset=number, value=emission.value, headers=emission.headers
            )
            accounts.see(emission.topic, record)
        if emission.topic == "windows":
            decode_window(emission.value, max_bytes=MAX_PRODUCED_BYTES)
        elif emission.topic is not None:
            topic = orjson.loads(emission.value)["topic"]
            check_letter(emission.value, topic, 3, range(offsets[topic]))
    lines = accounts.lines()
    for topic in MODALITY_TOPICS:
        still_open = assembly.open_entries[topic]
        rises = books.read(topic)
        events = rises.pop("events")
        assert events == sum(rises.values()) + still_open, topic
        assert lines[topic].missing == still_open, topic
    assert set(acked.values()) <= {1}
    if not assembly.open_entries.total():
        # Nothing is held for ever but the two newest marks of each topic.
        held = {(topic, at) for topic, end in offsets.items() for at in range(end)} - set(acked)
        assert all(at >= offsets[topic] - 2 for topic, at in held)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@cache
def tiny_encoder() -> Any:
    return load_frame_encoder("tiny", device="cpu")


@cache
def tiny_scorer() -> Scorer:
    return load_scorer(EngineSettings(cache_slots=4, device="cpu"), tiny_encoder())


@cache
def picture(kind: str) -> bytes:
    data = io.BytesIO()
    Image.linear_gradient("L").resize((24, 16)).convert("RGB").save(data, kind)
    return data.getvalue()


@st.composite
def frames(draw: st.DrawFn) -> tuple[bytes | None, RawHeaders]:
    whole = picture(draw(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF"])))
    at = draw(st.integers(0, len(whole)))
    value = draw(
        st.one_of(
            st.just(whole),
            st.none(),
            st.binary(max_size=60),
            st.just(whole[:at]),
            st.binary(min_size=1, max_size=4).map(lambda part: whole[:at] + part + whole[at + 1 :]),
        )
    )
    good = FrameHeaders("room", "s", STARTED_MS, STARTED_MS).encode()
    marked = Watermark(STARTED_MS).encode()
    ended = RoomEnd("room", STARTED_MS, None).encode()
    headers = draw(st.sampled_from([good, good, good, marked, ended]) | raw_headers)
    return value, list(headers)


@settings(max_examples=80, deadline=None)
@given(st.lists(frames(), max_size=3))
def test_any_frames_give_one_output_each_and_count_as_read(batch) -> None:
    books = Books()
    books.read("frames")
    received = [
        FrameMessage(3, offset, value, header_map(raw)) for offset, (value, raw) in enumerate(batch)
    ]
    outputs = encode_frames(received, tiny_encoder(), EngineSettings())
    assert len(outputs) == len(batch)
    features = dead = 0
    for offset, output in enumerate(outputs):
        if output.topic == "dlq":
            dead += 1
            check_letter(output.value, "frames", 3, range(offset, offset + 1))
        elif output.value:
            features += 1
    rises = books.read("frames")
    assert (rises["events"], rises["dead_letters"]) == (features + dead, dead)


@cache
def a_window() -> dict[str, Any]:
    assembly = PartitionAssembly(0, SETTINGS, max_message_bytes=MAX_BYTES, wall_ms=lambda: 42)
    found = []
    feature = encode_feature(np.full(48, 0.5, np.float16))
    for offset in range(2):
        fields = {"room_id": "room", "room_started_ms": STARTED_MS, "text": "wow"}
        fields["event_time_ms"] = STARTED_MS + offset * 30_000
        more = {"encoder_id": "e", "encoder_revision": "r", "feature": feature, "frame_offset": 0}
        for topic in ("comments", "frame-features"):
            value = orjson.dumps(fields | more)
            assembly.process(SourceMessage(topic, 0, offset, value, {}, lambda: None))
    for topic in MODALITY_TOPICS:
        headers = header_map(Watermark(STARTED_MS + 70_000).encode())
        found += assembly.process(SourceMessage(topic, 0, 9, b"", headers, lambda: None))
    window: dict[str, Any] = orjson.loads(found[-1].value)
    return window


@st.composite
def broken(draw: st.DrawFn, whole: dict[str, Any]) -> bytes:
    """JSON of `whole` with up to three of its parts, however deep, replaced by anything."""
    changed = json.loads(json.dumps(whole))
    for _ in range(draw(st.integers(0, 3))):
        inner = changed
        while True:
            place = draw(
                st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner)))
            )
            if inner[place] and isinstance(inner[place], dict | list) and draw(st.booleans()):
                inner = inner[place]
            else:
                break
        inner[place] = draw(values)
    return spelled(changed)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_windows_give_a_score_or_a_reason_each(data) -> None:
    batch = data.draw(st.lists(broken(a_window()) | raw_values, max_size=3))
    readable = []
    for number, value in enumerate(batch):
        try:
            window = decode_window(value or b"", max_bytes=MAX_BYTES)
        except MalformedRecord as error:
            assert str(error)
        else:
            # Two windows of one place are one; the agent reads a place once in a batch.
            readable.append(replace(window, room_id=f"{number}{window.room_id}", final=True))
    results = list(tiny_scorer().score(readable))
    assert len(results) == len(readable)
    for result in results:
        if isinstance(result, Rejected):
            assert result.reason
        else:
            encode_score(result, {"closed_at_ms": 1, "scored_at_ms": 2})


@given(raw_headers | st.binary().map(lambda text: [("closed_at_ms", text)]))
def test_any_closing_time_in_a_header_is_one_that_a_score_can_carry(raw) -> None:
    assert 0 <= closed_at(header_map(raw), 7) < 7_258_118_400_000


@pytest.mark.parametrize("text", ["²", "1" * 5_000, "9" * 13, "-1", "1.5", ""])
def test_a_closing_time_that_is_none_is_now(text: str) -> None:
    assert closed_at({"closed_at_ms": text}, 7) == 7
    assert closed_at({"closed_at_ms": "5"}, 7) == 5


def a_score() -> dict[str, Any]:
    return {
        "room_id": "room",
        "streamer_id": "s",
        "room_started_ms": STARTED_MS,
        "segment_index": 6,
        "start_ms": STARTED_MS,
        "end_ms": STARTED_MS + 30_000,
        "ctr": 0.5,
        "energy": 0.9,
        "decided_by": "energy",
        "decision": 0.9,
        "model_version": "energy",
        "reasons": {
            "modality_shares": {"comments": 1.0},
            "strongest_comments": ["wow"],
            "key_frame_ms": STARTED_MS,
            "comment_count": 7,
        },
        "final": False,
        "timings": {"closed_at_ms": 1, "scored_at_ms": 2},
    }


def detect(value: bytes | None) -> list[bytes] | None:
    """What the agent sends for a score in a quiet room; None for one that is refused."""
    try:
        score, timings = decode_score(value, max_bytes=MAX_PRODUCED_BYTES)
    except MalformedRecord as error:
        assert str(error)
        return None
    quiet = RoomTrend(STARTED_MS, last_index=5, seen=6, mean=0.5, variance=1e-4, previous=0.5)
    trend = quiet if not quiet.repeats(score) else RoomTrend()
    events = HighlightDetector(DetectorSettings()).update(trend, score)
    assert len(orjson.dumps(trend.to_json())) < MAX_PRODUCED_BYTES
    return [encode_highlight(event, timings) for event in events]


@settings(max_examples=200, deadline=None)
@given(broken(a_score()) | raw_values)
def test_any_score_is_refused_or_gives_events_that_can_be_sent_and_read(value) -> None:
    for event in detect(value) or []:
        decode_highlight(event, max_bytes=MAX_PRODUCED_BYTES)


@pytest.mark.parametrize("what", ["comments", "shares"])
def test_a_score_whose_highlight_would_be_too_large_to_send_is_refused(what: str) -> None:
    score = a_score()
    if what == "comments":
        score["reasons"]["strongest_comments"] = ["\x01" * 10_000] * 15
    else:
        score["reasons"]["modality_shares"] = {f"{k:09}": 1.0 for k in range(60_000)}
    value = orjson.dumps(score)
    assert len(value) <= MAX_PRODUCED_BYTES
    assert detect(value) is None


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_highlight_is_refused_or_has_what_the_pusher_needs(data) -> None:
    (event,) = detect(orjson.dumps(a_score())) or []
    value = data.draw(broken(orjson.loads(event)) | raw_values)
    try:
        read = decode_highlight(value, max_bytes=MAX_BYTES)
    except MalformedRecord as error:
        assert str(error)
        return
    # A lane's name, an HTTP header, and a time to subtract: what the pusher does with it.
    assert hash(read["data"]["room_id"]) is not None
    read["id"].encode("ascii")
    assert (read["data"]["timings"].get("closed_at_ms") or 0) / 1000 >= -1e30
