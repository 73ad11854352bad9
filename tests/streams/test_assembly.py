"""The assembler's core: what closes when, what is late, what survives a crash."""

import base64
import random
from collections import deque

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limelight.streams.assembly import Emission, PartitionAssembly
from limelight.streams.offset_ledger import OffsetLedger
from limelight.streams.records import RoomEnd, Watermark, header_map
from limelight.streams.room_assembly import TableSlot
from limelight.streams.settings import AssemblerSettings
from limelight.streams.source_messages import SourceMessage
from limelight.streams.topics import MODALITY_TOPICS
from limelight.streams.watermark import no_ack
from limelight.streams.window_records import decode_window, encode_feature

STARTED_MS = 1_700_000_000_000
SETTINGS = AssemblerSettings(window_length=3, allowed_lateness_ms=2_000, idle_segments=4)


def make_assembly(settings: AssemblerSettings = SETTINGS, **more) -> PartitionAssembly:
    return PartitionAssembly(0, settings, max_message_bytes=100_000, wall_ms=lambda: 42, **more)


def feed(assembly: PartitionAssembly, *messages: SourceMessage) -> list[Emission]:
    emissions = [e for message in messages for e in assembly.process(message)]
    for emission in emissions:
        emission.settle()
    return emissions


def windows_of(emissions: list[Emission]) -> list[dict]:
    return [orjson.loads(e.value) for e in emissions if e.topic == "windows"]


def marks(make_mark, offset: int, mark_ms: int) -> list[SourceMessage]:
    return [make_mark(topic, offset, mark_ms) for topic in MODALITY_TOPICS]


def test_a_segment_closes_when_every_modalitys_mark_has_passed(make_message, make_mark) -> None:
    assembly = make_assembly()
    feed(assembly, make_message("comments", 0, 10_000, text="hello"))
    assert not feed(assembly, make_mark("comments", 1, 32_000), make_mark("asr", 0, 40_000))
    assert not feed(assembly, make_mark("frame-features", 0, 31_999))
    (window,) = windows_of(feed(assembly, make_mark("frame-features", 1, 32_000)))
    (segment,) = window["segments"]
    assert segment["comments"] == ["hello"]
    assert segment["missing"] == ["frames", "asr"]
    assert segment["start_ms"] == STARTED_MS
    assert window["streamer_id"] == "s"


def test_a_window_holds_the_last_segments_oldest_first(make_message, make_mark) -> None:
    assembly = make_assembly()
    for k in range(5):
        feed(assembly, make_message("comments", k, 30_000 * k, text=str(k)))
    windows = windows_of(feed(assembly, *marks(make_mark, 9, 152_000)))
    texts = [[s["comments"][0] for s in window["segments"]] for window in windows]
    assert texts == [["0"], ["0", "1"], ["0", "1", "2"], ["1", "2", "3"], ["2", "3", "4"]]


def test_an_empty_segment_between_two_is_masked_not_skipped(make_message, make_mark) -> None:
    assembly = make_assembly()
    feed(assembly, make_message("comments", 0, 0), make_message("comments", 1, 60_000))
    windows = windows_of(feed(assembly, *marks(make_mark, 9, 92_000)))
    assert [s["comment_count"] for s in windows[-1]["segments"]] == [1, 0, 1]
    assert windows[1]["segments"][-1]["missing"] == ["frames", "asr", "comments"]


def test_features_are_averaged_and_speech_is_joined_in_event_order(make_mark) -> None:
    assembly = make_assembly()

    def record(topic: str, offset: int, fields: dict) -> SourceMessage:
        common = {"room_id": "room", "room_started_ms": STARTED_MS}
        return SourceMessage(topic, 0, offset, orjson.dumps(common | fields), {}, no_ack)

    def feature(offset: int, at_ms: int, value: list[float]) -> SourceMessage:
        return record(
            "frame-features",
            offset,
            {
                "event_time_ms": STARTED_MS + at_ms,
                "encoder_id": "tiny",
                "encoder_revision": "r",
                "feature": encode_feature(np.array(value, dtype=np.float16)),
                "frame_offset": offset,
            },
        )

    def speech(offset: int, at_ms: int, text: str) -> SourceMessage:
        start_ms = STARTED_MS + at_ms
        return record("asr", offset, {"start_ms": start_ms, "end_ms": start_ms, "text": text})

    feed(
        assembly,
        feature(7, 25_000, [3.0, 8.0]),
        feature(8, 5_000, [1.0, 4.0]),
        speech(0, 20_000, "second"),
        speech(1, 10_000, "first"),
    )
    (window,) = windows_of(feed(assembly, *marks(make_mark, 9, 32_000)))
    (segment,) = window["segments"]
    found = np.frombuffer(base64.b64decode(segment["feature"]), dtype="<f2")
    assert found.tolist() == [2.0, 6.0]
    assert segment["frame_times_ms"] == [STARTED_MS + 5_000, STARTED_MS + 25_000]
    assert segment["speech"] == "first second"
    decoded = decode_window(orjson.dumps(window), max_bytes=10_000)
    assert (decoded.encoder_id, decoded.encoder_revision) == ("tiny", "r")


def test_one_users_comments_weigh_less_and_less(make_message, make_mark) -> None:
    assembly = make_assembly()
    feed(
        assembly,
        *(make_message("comments", k, k, user="loud") for k in range(3)),
        make_message("comments", 3, 9, user="other"),
        make_message("comments", 4, 10),
    )
    (window,) = windows_of(feed(assembly, *marks(make_mark, 9, 32_000)))
    (segment,) = window["segments"]
    assert segment["comment_weight"] == pytest.approx(1 + 1 / 2 + 1 / 3 + 1 + 1, abs=1e-4)
    assert (segment["comment_count"], segment["user_count"]) == (5, 3)


def test_an_event_behind_its_own_mark_is_late_even_while_others_lag(make_message, make_mark):
    assembly = make_assembly()
    feed(assembly, make_mark("comments", 0, 32_000))
    (late,) = feed(assembly, make_message("comments", 1, 29_999))
    assert late.topic == "late"
    letter = orjson.loads(late.value)
    assert (letter["topic"], letter["offset"]) == ("comments", 1)
    assert letter["record"]["text"] == "text"
    assert windows_of(feed(assembly, *marks(make_mark, 9, 200_000))) == []


def test_an_event_within_the_allowed_lateness_is_in_time(make_message, make_mark) -> None:
    assembly = make_assembly()
    feed(assembly, make_mark("comments", 0, 31_999), make_message("comments", 1, 29_999))
    (window,) = windows_of(feed(assembly, *marks(make_mark, 9, 32_000)))
    assert window["segments"][0]["comment_count"] == 1


def test_what_a_producer_sends_again_in_another_order_changes_nothing(make_mark) -> None:
    def read(order: list[int]) -> bytes:
        assembly = make_assembly()
        feed(assembly, *marks(make_mark, 0, 0))
        common = {"room_id": "room", "room_started_ms": STARTED_MS}
        comments = [
            common | {"event_time_ms": STARTED_MS + 5, "text": text, "comment_id": f"{place}"}
            for place, text in enumerate(["first", "second"])
        ] + [common | {"event_time_ms": STARTED_MS + 5, "text": "third", "user": "u"}]
        for offset, which in enumerate(order, 1):
            value = orjson.dumps(comments[which])
            feed(assembly, SourceMessage("comments", 0, offset, value, {}, no_ack))
            line = {"start_ms": STARTED_MS + which, "end_ms": STARTED_MS + 9, "text": "said"}
            value = orjson.dumps(common | line)
            feed(assembly, SourceMessage("asr", 0, offset, value, {}, no_ack))
            picture = {
                "event_time_ms": STARTED_MS + which,
                "encoder_id": "e",
                "encoder_revision": "r",
                "feature": encode_feature(np.full(2, which, np.float16)),
                "frame_offset": offset,
            }
            value = orjson.dumps(common | picture)
            feed(assembly, SourceMessage("frame-features", 0, offset, value, {}, no_ack))
        (window,) = [
            e for e in feed(assembly, *marks(make_mark, 99, 32_000)) if e.topic == "windows"
        ]
        return window.value

    once = read([0, 1, 2])
    (segment,) = orjson.loads(once)["segments"]
    assert segment["comments"] == ["third", "first", "second"]
    assert segment["entries"] == {"frame-features": 3, "asr": 3, "comments": 3}
    assert read([2, 0, 2, 1, 0, 0, 1]) == once


def test_a_flood_is_counted_and_not_kept(make_mark) -> None:
    settings = AssemblerSettings(max_comments_a_segment=30, max_comments_a_user=4)
    assembly = make_assembly(settings)
    feed(assembly, *marks(make_mark, 0, 0))
    comments = [
        {
            "room_id": "room",
            "room_started_ms": STARTED_MS,
            "event_time_ms": STARTED_MS + k,
            "text": f"{k}",
            "user": "flooder" if k % 2 else f"user {k}",
        }
        for k in range(100)
    ]
    value = orjson.dumps(comments)
    feed(assembly, SourceMessage("comments", 0, 1, value, {}, no_ack))
    feed(assembly, SourceMessage("comments", 0, 1, value, {}, no_ack))  # read again: no change
    assert assembly.open_entries["comments"] == 100
    (room,) = assembly.rooms.values()
    (opened,) = room.open.values()
    assert len(opened.comments) == 30
    feed(assembly, *marks(make_mark, 2, 0))
    (window,) = windows_of(feed(assembly, *marks(make_mark, 9, 32_000)))
    segment = window["segments"][0]
    assert segment["comment_count"] == segment["entries"]["comments"] == 100
    assert segment["user_count"] == 27
    # 26 users with one each, and the flooder, whose 50 weigh no more than 1 + 1/2 + ... + 1/50.
    assert segment["comment_weight"] == pytest.approx(
        26 + sum(1 / k for k in range(1, 51)), abs=1e-3
    )
    assert sum(int(text) % 2 for text in segment["comments"]) == 4


def test_one_wrong_clock_makes_nothing_late(make_message, make_mark) -> None:
    assembly = make_assembly()
    feed(assembly, *marks(make_mark, 0, 0))
    feed(assembly, make_mark("comments", 1, 86_400_000))
    feed(assembly, make_message("comments", 2, 1_000))
    (letter,) = feed(assembly, make_mark("comments", 3, 2_000))
    assert letter.topic == "dlq"
    assert "expected the next mark to confirm it" in orjson.loads(letter.value)["reason"]
    (window,) = windows_of(feed(assembly, *marks(make_mark, 4, 32_000)))
    assert window["segments"][0]["comment_count"] == 1


def test_a_repeated_message_changes_nothing(make_message, make_mark) -> None:
    acked: list[int] = []
    assembly = make_assembly()
    for _ in range(2):
        feed(assembly, make_message("comments", 5, 100, ack=lambda: acked.append(5)))
    (window,) = windows_of(feed(assembly, *marks(make_mark, 9, 32_000)))
    assert window["segments"][0]["comment_count"] == 1
    assert acked == [5, 5]


def test_a_message_is_acknowledged_when_its_window_is_delivered(make_message, make_mark) -> None:
    acked: list[str] = []
    assembly = make_assembly()
    message = make_message("comments", 0, 100, ack=lambda: acked.append("comment"))
    assert assembly.process(message) == []
    emissions = [e for mark in marks(make_mark, 9, 32_000) for e in assembly.process(mark)]
    assert acked == []
    emissions[0].settle()
    assert acked == ["comment"]


def test_of_a_list_the_good_comments_count_and_the_bad_go_to_dlq(make_message, make_mark) -> None:
    assembly = make_assembly()
    good = {"room_id": "room", "room_started_ms": STARTED_MS, "event_time_ms": STARTED_MS}
    value = [
        good | {"text": "fine"},
        good | {"text": "negative", "event_time_ms": -5},
        {"text": "whose?"},
        good | {"text": "x" * 1_001},
        "not a record",
    ]
    emissions = feed(assembly, make_message("comments", 3, 0, value=value))
    letters = [orjson.loads(e.value) for e in emissions]
    assert [e.topic for e in emissions] == ["dlq"] * 4
    assert [letter["element"] for letter in letters] == [1, 2, 3, 4]
    assert letters[0]["reason"].startswith("event_time_ms: found -5, expected")
    assert "room_id" in letters[1]["reason"]
    assert letters[2]["reason"] == "text: found 1001 characters, expected at most 1000"
    assert orjson.loads(base64.b64decode(letters[1]["value_base64"])) == {"text": "whose?"}
    (window,) = windows_of(feed(assembly, *marks(make_mark, 9, 32_000)))
    assert window["segments"][0]["comments"] == ["fine"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{not json", "value: found b'{not json', expected JSON"),
        (b"", "value: found nothing, expected JSON"),
        (b"[" + b"1" * 100_001, "value: found 100002 bytes, expected at most 100000"),
        (b"7", "value: found 7, expected:"),
    ],
)
def test_what_cannot_be_read_goes_to_dlq_with_its_place(value: bytes, reason: str) -> None:
    acked: list[int] = []
    message = SourceMessage("asr", 0, 17, value, {}, lambda: acked.append(17))
    (letter,) = feed(make_assembly(), message)
    fields = orjson.loads(letter.value)
    assert letter.topic == "dlq"
    assert fields["reason"].startswith(reason)
    assert (fields["topic"], fields["partition"], fields["offset"]) == ("asr", 0, 17)
    assert acked == [17]


@pytest.mark.parametrize(
    "headers",
    [{"kind": "watermark"}, {"kind": "watermark", "event_time_ms": "-1"}, {"kind": "party"}],
)
def test_a_broken_mark_goes_to_dlq(headers: dict[str, str]) -> None:
    (letter,) = feed(make_assembly(), SourceMessage("asr", 0, 0, b"", headers, no_ack))
    assert letter.topic == "dlq"
    assert "expected" in orjson.loads(letter.value)["reason"]


def test_a_broken_feature_leaves_no_room_behind(make_mark) -> None:
    fields = {
        "room_id": "room",
        "event_time_ms": STARTED_MS,
        "encoder_id": "tiny",
        "encoder_revision": "r",
        "feature": encode_feature(np.array([np.nan], dtype=np.float16)),
        "frame_offset": 0,
    }
    assembly = make_assembly()
    message = SourceMessage("frame-features", 0, 0, orjson.dumps(fields), {}, no_ack)
    (letter,) = feed(assembly, message)
    assert "NaN" in orjson.loads(letter.value)["reason"]
    assert assembly.rooms == {}


def test_an_event_far_ahead_of_its_mark_is_rejected(make_message, make_mark) -> None:
    assembly = make_assembly()
    feed(assembly, make_mark("comments", 0, 0))
    (letter,) = feed(assembly, make_message("comments", 1, 3_600_001))
    assert letter.topic == "dlq"
    assert "3600001 ms ahead" in orjson.loads(letter.value)["reason"]


def room_end(offset: int, at_ms: int) -> SourceMessage:
    end = RoomEnd("room", STARTED_MS + at_ms, STARTED_MS)
    return SourceMessage("comments", 0, offset, b"", header_map(end.encode()), no_ack)


def test_a_room_that_ends_sends_a_final_window_and_no_more(make_message, make_mark) -> None:
    assembly = make_assembly()
    feed(assembly, make_message("comments", 0, 0), room_end(1, 59_000))
    windows = windows_of(feed(assembly, *marks(make_mark, 9, 500_000)))
    assert [window["final"] for window in windows] == [False, True]


def test_an_idle_room_expires_and_a_later_comment_begins_anew(make_message, make_mark) -> None:
    assembly = make_assembly()
    feed(assembly, make_message("comments", 0, 0), make_message("comments", 1, 600_000))
    windows = windows_of(feed(assembly, *marks(make_mark, 9, 632_000)))
    assert [window["final"] for window in windows] == [False] * 4 + [True, False]
    assert len(windows[-1]["segments"]) == 1


def test_a_finished_room_is_forgotten_and_its_table_entries_deleted(make_message, make_mark):
    assembly = make_assembly()
    feed(assembly, make_message("comments", 0, 0), room_end(1, 30_000))
    feed(assembly, *marks(make_mark, 9, 100_000))
    assert len(assembly.rooms) == 1
    emissions = feed(assembly, *marks(make_mark, 10, 30_000 + 2_000 + SETTINGS.max_ahead_ms))
    assert assembly.rooms == {}
    (forgotten,) = emissions
    assert len(forgotten.table) == SETTINGS.window_length
    assert set(forgotten.table.values()) == {None}


def test_what_is_read_again_while_its_window_is_on_its_way_waits_for_it(make_message, make_mark):
    acked: list[str] = []
    assembly = make_assembly()

    def read(reading: str) -> None:
        assembly.process(make_mark("comments", 0, 0))
        ack = lambda: acked.append(reading)  # noqa: E731
        assembly.process(make_message("comments", 1, 5_000, ack=ack))

    read("first")
    emissions = [e for mark in marks(make_mark, 9, 40_000) for e in assembly.process(mark)]
    read("second")
    assert acked == []
    for window in emissions:
        window.settle()
    assert acked == ["first", "second"]
    read("third")
    assert acked == ["first", "second", "third"]


class Platform:
    """Logs of the three topics, and a worker that can crash.

    Offsets are committed now and then by the very ledger that the Faust consumer commits by.
    """

    def __init__(self, logs: dict[str, list[tuple[bytes, dict[str, str]]]]) -> None:
        self.logs = logs
        self.table: dict[bytes, bytes] = {}
        self.committed = dict.fromkeys(logs, 0)
        self.sent: dict[str, bytes] = {}
        self.late: set[str] = set()

    def run_worker(self, rng: random.Random, steps: int | None) -> None:
        """Process `steps` messages (all for None), settling deliveries now and then, then crash."""
        assembly = make_assembly(committed=self.committed.__getitem__)
        assembly.restore(self.table.items())
        position = dict(self.committed)
        acked: dict[str, set[int]] = {topic: set() for topic in self.logs}
        ledgers = {topic: OffsetLedger() for topic in self.logs}
        in_flight: deque[Emission] = deque()
        while steps is None or steps > 0:
            ready = [topic for topic in self.logs if position[topic] < len(self.logs[topic])]
            if not ready:
                break
            topic = rng.choice(ready)
            if rng.random() < 0.1:
                # Faust seeks back to what is committed, without telling anybody.
                position[topic] = self.committed[topic]
            offset = position[topic]
            ledgers[topic].read(offset)
            position[topic] += 1
            value, headers = self.logs[topic][offset]
            ack = lambda topic=topic, offset=offset: acked[topic].add(offset)  # noqa: E731
            in_flight += assembly.process(SourceMessage(topic, 0, offset, value, headers, ack))
            while in_flight and rng.random() < 0.5:
                self.deliver(in_flight.popleft())
            if rng.random() < 0.3:
                for name, ledger in ledgers.items():
                    self.committed[name] = ledger.committable(acked[name]) or self.committed[name]
            steps = None if steps is None else steps - 1
        if steps is None:
            while in_flight:
                self.deliver(in_flight.popleft())

    def deliver(self, emission: Emission) -> None:
        if emission.topic == "windows":
            window = orjson.loads(emission.value)["id"]
            assert self.sent.setdefault(window, emission.value) == emission.value
        elif emission.topic == "late":
            self.late.add(orjson.loads(emission.value)["id"])
        for key, value in emission.table.items():
            if value is None:
                self.table.pop(key, None)
            else:
                self.table[key] = value
        emission.settle()


@st.composite
def platform_logs(draw) -> dict[str, list[tuple[bytes, dict[str, str]]]]:
    """Three logs with out-of-order events, late ones, pauses, and a final mark that closes all."""
    logs = {}
    for topic in MODALITY_TOPICS:
        log, mark_ms = [], 0
        for _ in range(draw(st.integers(0, 25))):
            if topic == "comments" and draw(st.integers(0, 12)) == 0:
                at_ms = STARTED_MS + max(1, mark_ms + draw(st.integers(-60_000, 60_000)))
                room = draw(st.sampled_from(["a", "b"]))
                log.append((b"", header_map(RoomEnd(room, at_ms, STARTED_MS).encode())))
            elif draw(st.integers(0, 20)) == 0:
                wrong_ms = STARTED_MS + mark_ms + 4_000_000
                log.append((b"", header_map(Watermark(wrong_ms).encode())))
            elif draw(st.booleans()):
                mark_ms += draw(st.sampled_from([1_000, 15_000, 40_000]))
                log.append((b"", header_map(Watermark(STARTED_MS + mark_ms).encode())))
            else:
                at_ms = STARTED_MS + max(0, mark_ms + draw(st.integers(-60_000, 60_000)))
                room = draw(st.sampled_from(["a", "b"]))
                fields = {"room_id": room, "room_started_ms": STARTED_MS}
                if topic == "comments":
                    fields |= {"event_time_ms": at_ms, "text": f"{len(log)}"}
                elif topic == "asr":
                    fields |= {"start_ms": at_ms, "end_ms": at_ms, "text": f"{len(log)}"}
                else:
                    feature = np.full(2, len(log), dtype=np.float16)
                    fields |= {
                        "event_time_ms": at_ms,
                        "encoder_id": "tiny",
                        "encoder_revision": "r",
                        "feature": encode_feature(feature),
                        "frame_offset": len(log),
                    }
                log.append((orjson.dumps(fields), {}))
        for end_ms in (3_000_000, 3_001_000):
            log.append((b"", header_map(Watermark(STARTED_MS + end_ms).encode())))
        logs[topic] = log
    return logs


@settings(max_examples=150, deadline=None)
@given(platform_logs(), st.integers(0, 2**32))
def test_windows_do_not_depend_on_how_the_topics_interleave(logs, seed) -> None:
    first, second = Platform(logs), Platform(logs)
    first.run_worker(random.Random(seed), None)
    second.run_worker(random.Random(seed + 1), None)
    assert first.sent == second.sent
    assert first.late == second.late


@settings(max_examples=250, deadline=None)
@given(
    platform_logs(),
    st.lists(st.integers(1, 40), min_size=1, max_size=4),
    st.integers(0, 2**32),
)
def test_after_crashes_no_window_is_missing_and_none_is_different(logs, crashes, seed) -> None:
    rng = random.Random(seed)
    undisturbed, disturbed = Platform(logs), Platform(logs)
    undisturbed.run_worker(random.Random(0), None)
    for steps in crashes:
        disturbed.run_worker(rng, steps)
    disturbed.run_worker(rng, None)
    assert disturbed.sent == undisturbed.sent
    assert disturbed.late == undisturbed.late


def test_a_feature_too_large_for_the_records_that_follow_is_rejected() -> None:
    fields = {"room_id": "r", "event_time_ms": 1, "frame_offset": 0}
    for name, size in (("encoder_id", 201), ("encoder_revision", 201), ("feature", 11_000)):
        texts = {"encoder_id": "e", "encoder_revision": "r", "feature": "AAAA", name: "A" * size}
        value = orjson.dumps(fields | texts)
        (found,) = feed(make_assembly(), SourceMessage("frame-features", 0, 0, value, {}, no_ack))
        assert found.topic == "dlq"
        assert name in orjson.loads(found.value)["reason"]


def test_one_room_too_many_goes_to_dlq_and_the_others_go_on(make_message, make_mark) -> None:
    assembly = make_assembly(SETTINGS.model_copy(update={"max_rooms_a_partition": 2}))
    feed(assembly, make_message("comments", 0, 0, room_id="a"))
    feed(assembly, make_message("comments", 1, 0, room_id="b"))
    stranger = make_message("comments", 2, 0, room_id="c")
    ending = RoomEnd("d", STARTED_MS + 9_000, STARTED_MS)
    end = SourceMessage("comments", 0, 3, b"", header_map(ending.encode()), no_ack)
    for message in (stranger, end):
        (letter,) = feed(assembly, message)
        assert letter.topic == "dlq"
        assert "at most 2 rooms" in orjson.loads(letter.value)["reason"]
    assert feed(assembly, make_message("asr", 0, 0, room_id="a")) == []
    windows = windows_of(feed(assembly, *marks(make_mark, 9, 32_000)))
    assert [window["room_id"] for window in windows] == ["a", "b"]
    # When all that is remembered of them has gone there is room for others.
    feed(assembly, *marks(make_mark, 10, 3_600_000), *marks(make_mark, 11, 7_200_000))
    assert assembly.rooms == {}
    assert feed(assembly, make_message("comments", 12, 7_200_000, room_id="c")) == []


def test_what_is_late_is_late_in_one_room_too_many(make_message, make_mark) -> None:
    assembly = make_assembly(SETTINGS.model_copy(update={"max_rooms_a_partition": 1}))
    feed(assembly, make_message("comments", 0, 0), make_mark("comments", 1, 32_000))
    (letter,) = feed(assembly, make_message("comments", 2, 0, room_id="other"))
    assert letter.topic == "late"


def test_comments_can_be_counted_to_an_earlier_picture(make_message, make_mark) -> None:
    settings = AssemblerSettings(comment_offset_ms=10_000, allowed_lateness_ms=2_000)
    assembly = make_assembly(settings)
    feed(assembly, *marks(make_mark, 0, 0))
    feed(assembly, make_message("comments", 1, 35_000), make_message("comments", 2, 45_000))
    feed(assembly, make_message("asr", 1, 35_000))
    # By its time it belongs to the second segment, by what its writer saw to the first.
    assert feed(assembly, *marks(make_mark, 3, 41_000)) == []
    (window,) = windows_of(feed(assembly, make_mark("comments", 4, 42_000)))
    first = window["segments"][0]
    assert (first["comment_count"], first["speech"]) == (1, "")
    assert sum(first["comment_bins"]) == 1 and first["comment_bins"][25 // 2] == 1
    (letter,) = feed(assembly, make_message("comments", 5, 39_999))
    assert letter.topic == "late"


def test_a_segment_says_how_much_its_pictures_changed(make_mark) -> None:
    assembly = make_assembly()
    feed(assembly, *marks(make_mark, 0, 0))
    vectors = ([1, 0, 0], [0, 2, 0], [0, 3, 4], [0, 0, 0])
    for offset, vector in enumerate(vectors):
        fields = {
            "room_id": "room",
            "room_started_ms": STARTED_MS,
            "event_time_ms": STARTED_MS + offset,
            "encoder_id": "e",
            "encoder_revision": "r",
            "feature": encode_feature(np.array(vector, np.float16)),
            "frame_offset": offset,
        }
        value = orjson.dumps(fields)
        feed(assembly, SourceMessage("frame-features", 0, 1 + offset, value, {}, no_ack))
    (window,) = windows_of(feed(assembly, *marks(make_mark, 9, 32_000)))
    # The cosines are 0 and 3 / 5; to a vector of zeros nothing is said to change.
    assert window["segments"][0]["picture_changes"] == [1.0, 0.4, 0.0]


def test_a_room_that_starts_again_under_its_id_does_not_see_its_former_life(make_mark) -> None:
    def comment(offset: int, started_ms: int, at_ms: int) -> SourceMessage:
        fields = {"room_id": "room", "room_started_ms": started_ms, "event_time_ms": at_ms}
        return SourceMessage(
            "comments", 0, offset, orjson.dumps(fields | {"text": "t"}), {}, no_ack
        )

    assembly = make_assembly()
    feed(assembly, *marks(make_mark, 0, 0))
    again_ms = STARTED_MS + 70_000  # while the former life's third segment is still open
    feed(assembly, comment(1, STARTED_MS, STARTED_MS + 1), comment(2, again_ms, again_ms + 1))
    ended = RoomEnd("room", STARTED_MS + 61_000, STARTED_MS)
    feed(assembly, SourceMessage("comments", 0, 3, b"", header_map(ended.encode()), no_ack))
    found = windows_of(feed(assembly, *marks(make_mark, 4, 135_000)))
    lives = {
        started_ms: [window for window in found if window["room_started_ms"] == started_ms]
        for started_ms in (STARTED_MS, again_ms)
    }
    assert [window["final"] for window in lives[STARTED_MS]] == [False, False, True]
    assert [len(window["segments"]) for window in lives[again_ms]] == [1, 2]
    assert len({window["id"] for window in found}) == len(found)


def test_a_room_that_was_idle_for_hours_is_freed_and_begins_anew(make_message, make_mark) -> None:
    assembly = make_assembly()
    feed(assembly, *marks(make_mark, 0, 0))
    feed(assembly, make_message("comments", 1, 1_000))
    hours_ms = 5 * 3_600_000
    found = []
    for offset, mark_ms in enumerate(range(600_000, hours_ms + 1, 600_000), 2):
        found += windows_of(feed(assembly, *marks(make_mark, offset, mark_ms)))
    assert [window["final"] for window in found] == [False] * SETTINGS.idle_segments + [True]
    assert assembly.rooms == {}
    feed(assembly, make_message("comments", 99, hours_ms + 1_000))
    (window,) = windows_of(feed(assembly, *marks(make_mark, 100, hours_ms + 33_000)))
    assert len(window["segments"]) == 1


def test_time_that_goes_backward_is_late_and_moves_nothing(make_message, make_mark) -> None:
    assembly = make_assembly()
    feed(assembly, *marks(make_mark, 0, 100_000))
    feed(assembly, *marks(make_mark, 1, 40_000))
    assert assembly.watermark_ms == STARTED_MS + 100_000
    (letter,) = feed(assembly, make_message("comments", 2, 41_000))
    assert letter.topic == "late"
    assert orjson.loads(letter.value)["watermark_ms"] == STARTED_MS + 100_000


@given(st.text(max_size=40), st.text(max_size=40))
def test_a_table_slot_is_read_as_it_was_written_whatever_the_room_is_called(room_id, text) -> None:
    fields = {"room_id": room_id + ',"segment":', "streamer_id": '"' + text, "index": 3}
    segment = orjson.dumps({"speech": text + ',"segment":'})
    slot = TableSlot(TableSlot.of(fields, segment).value)
    assert (slot.fields, slot.segment) == (fields, segment)
    assert orjson.loads(slot.value) == fields | {"segment": orjson.loads(segment)}
