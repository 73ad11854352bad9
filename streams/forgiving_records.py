"""Reading Kafka records whose header names are no UTF-8.

Kafka takes any bytes for a header's name. aiokafka decodes them strictly, while it goes through a
batch: one such record, from anybody who may write to a topic, would end every consumer that comes
to it, and the next one as well. Here such a name is read with replacement characters. It is then a
header that nobody knows, and the record goes the way of any other.

There is no setting or hook for it, so aiokafka's own class is replaced. A batch without such a
record is still read by its compiled reader.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy

# The first record format that has headers.
_FORMAT_WITH_HEADERS = 2


def forgive_header_names() -> None:
    """Let every aiokafka consumer of this process read such records."""
    fetcher.MemoryRecords = ForgivingRecords


class ForgivingRecords(_MemoryRecordsPy):  # type: ignore[misc]
    """The batches of a fetch."""

    def next_batch(self) -> Any:
        data = self._next_slice
        batch = super().next_batch()
        if batch is None or batch.magic < _FORMAT_WITH_HEADERS:
            return batch
        return _Batch(batch, data)


class _Batch:
    """A batch that is read again in Python from the first record that aiokafka refuses."""

    def __init__(self, batch: Any, data: memoryview) -> None:
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        read = 0
        try:
            for record in self._batch:
                read += 1
                yield record
        except (UnicodeDecodeError, CorruptRecordException):
            # What is broken in another way is refused again.
            yield from islice(_PythonBatch(self._data), read, None)


class _PythonBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    def __iter__(self) -> Any:
        batch = super().__iter__()
        batch._buffer = _ForgivingBytes(batch._buffer)
        return batch


class _ForgivingBytes(bytearray):
    """Bytes whose slices decode whatever they hold."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _ForgivingBytes(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, "replace")
