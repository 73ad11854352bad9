"""Record batches as aiokafka writes them, with header names that it would never write."""

import struct
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_UNCOMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from hypothesis import given
from hypothesis import strategies as st

from limelight.streams.forgiving_records import ForgivingRecords

NAME = "a name to write over"
# Of a batch: where its checksum stands, and where that begins which it is of.
CRC_AT, CRC_OF = 17, 21


def batch(*headers: list[tuple[str, bytes]], name: bytes | None = None, codec: int = 0) -> bytes:
    """A record for each of the headers; NAME in them is replaced by `name`, of the same length."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1_000_000)
    for offset, each in enumerate(headers):
        builder.append(offset, 1_700_000_000_000, b"key", b"value %d" % offset, each)
    data = bytearray(builder.build())
    if name is not None:
        data = data.replace(NAME.encode(), name)
        data[CRC_AT:CRC_OF] = struct.pack(">I", calc_crc32c(data[CRC_OF:]))
    return bytes(data)


def read(data: bytes, records: type[Any] = ForgivingRecords) -> list[Any]:
    """What a consumer gets of it, checksums checked."""
    partition = TopicPartition("comments", 0)
    same = lambda value: value  # noqa: E731
    return list(
        PartitionRecords(partition, records(data), [], 0, same, same, True, READ_UNCOMMITTED)
    )


def test_a_header_name_that_is_no_utf8_is_read_and_nothing_around_it_is_lost() -> None:
    bad = b"\xff\xfe" + b"x" * (len(NAME) - 2)
    headers: list[list[tuple[str, bytes]]] = [
        [("kind", b"watermark")],
        [("first", b"1"), (NAME, b"\xff"), ("last", b"2")],
        [],
    ]
    data = batch(*headers, name=bad)
    with pytest.raises((UnicodeDecodeError, CorruptRecordException)):
        read(data, MemoryRecords)
    found = read(data)
    assert [(record.offset, record.value) for record in found] == [
        (0, b"value 0"),
        (1, b"value 1"),
        (2, b"value 2"),
    ]
    assert found[1].headers == (
        ("first", b"1"),
        ("\ufffd\ufffd" + "x" * (len(NAME) - 2), b"\xff"),
        ("last", b"2"),
    )
    assert found[0].headers == (("kind", b"watermark"),)


@given(
    st.lists(
        st.lists(st.tuples(st.text(max_size=9), st.binary(max_size=9)), max_size=3), max_size=4
    ).filter(bool),
    st.sampled_from([0, 1]),
)
def test_other_records_are_read_as_before(headers, codec) -> None:
    data = batch(*headers, codec=codec)
    assert read(data) == read(data, MemoryRecords)


@given(st.binary(min_size=len(NAME), max_size=len(NAME)))
def test_any_bytes_can_be_a_header_name(name: bytes) -> None:
    (record,) = read(batch([(NAME, b"v")], name=name))
    assert record.headers == ((name.decode("utf-8", "replace"), b"v"),)


def test_a_record_that_is_broken_otherwise_is_still_refused() -> None:
    data = bytearray(batch([], []))
    data[CRC_OF + 40] ^= 0x55  # the first record's length
    data[CRC_AT:CRC_OF] = struct.pack(">I", calc_crc32c(data[CRC_OF:]))
    with pytest.raises(CorruptRecordException):
        read(bytes(data))
