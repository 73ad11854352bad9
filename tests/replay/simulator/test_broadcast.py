"""A broadcast says what the same room's recording says when it is played."""

from pathlib import Path

import pytest

from limelight.replay.bundled_model import bundled_world
from limelight.replay.recording import load_recording
from limelight.replay.script import script
from limelight.replay.simulator.broadcast import SimulatedRoom, broadcast
from limelight.replay.simulator.recordings import SimulatedRecording, write_recording
from limelight.streams.records import header_map

OPTIONS = {
    "base_ms": 1_700_000_000_000,
    "partitions": 4,
    "mark_interval_ms": 10_000,
    "closing_delay_ms": 2_000,
    "user_key": b"0123456789abcdef",
}


@pytest.mark.parametrize("number", [7, 8])
def test_everything_but_the_pictures_is_that_of_the_recording(tmp_path: Path, number: int) -> None:
    world = bundled_world(0)
    write_recording(world, SimulatedRecording(number, 4), tmp_path / "room")
    recording = load_recording(tmp_path / "room")
    recorded = list(script([recording], segment_ms=30_000, **OPTIONS))
    room = SimulatedRoom(world, number, 4)
    sent = list(broadcast([room], **OPTIONS))

    def told(messages: list, room_id: str) -> list:
        return [
            (each.at_ms, each.topic, each.value.replace(room_id.encode(), b"ID"))
            for each in messages
            if each.topic != "frames" and each.key is not None and each.value
        ]

    assert told(sent, room.room_id) == told(recorded, recording.room_id)
    assert len(told(sent, room.room_id)) > 20
    # Marks of all partitions and topics, up to one that closes the last segment.
    for messages in (sent, recorded):
        marks = [each for each in messages if header_map(each.headers).get("kind") == "watermark"]
        assert max(int(header_map(each.headers)["event_time_ms"]) for each in marks) >= (
            OPTIONS["base_ms"] + 4 * 30_000 + 2_000
        )


def test_messages_come_in_order_and_each_segment_has_its_picture() -> None:
    rooms = [SimulatedRoom(bundled_world(0), number, 5) for number in (1, 2, 3)]
    sent = list(broadcast(rooms, **OPTIONS))
    times = [each.at_ms for each in sent]
    assert times == sorted(times)
    pictures = [each for each in sent if each.topic == "frames" and each.key is not None]
    assert len(pictures) == 15
    assert {each.key.decode() for each in pictures} == {room.room_id for room in rooms}
    ends = [each for each in sent if header_map(each.headers).get("kind") == "end"]
    assert len(ends) in (0, 3)
