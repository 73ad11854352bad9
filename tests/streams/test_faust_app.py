"""The table of rooms: what recovery keeps of what it reads in its log."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from limelight.streams.faust_app import RoomTable, make_app, room_table
from limelight.streams.settings import KafkaSettings


@pytest.fixture
def table(tmp_path: Path) -> RoomTable:
    return room_table(make_app(KafkaSettings(), tmp_path), "rooms", 4, order=int)


def changes(*pairs: tuple[bytes, bytes | None]) -> list[SimpleNamespace]:
    return [
        SimpleNamespace(key=key, value=value, message=SimpleNamespace(value=value, partition=0))
        for key, value in pairs
    ]


async def test_recovery_keeps_the_newer_of_two_values_however_they_lie_in_the_log(table) -> None:
    table.apply_changelog_batch(changes((b"a", b"1"), (b"a", b"3"), (b"a", b"2"), (b"b", b"7")))
    assert dict(table.data) == {b"a": b"3", b"b": b"7"}
    # A worker that woke up after it had lost its partition wrote what it still had in hand.
    table.apply_changelog_batch(changes((b"a", b"2"), (b"b", b"8")))
    assert dict(table.data) == {b"a": b"3", b"b": b"8"}


async def test_what_was_deleted_stays_deleted_and_can_come_again(table) -> None:
    table.apply_changelog_batch(changes((b"a", b"5"), (b"a", None)))
    assert dict(table.data) == {}
    table.apply_changelog_batch(changes((b"a", b"1")))
    assert dict(table.data) == {b"a": b"1"}


async def test_a_plain_assignment_is_refused(table) -> None:
    with pytest.raises(TypeError, match="expected put"):
        table.partition_for_key(b"a")
