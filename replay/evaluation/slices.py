"""The parts of an evaluation that are looked at apart: which segments are in each."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from limelight.replay.evaluation.rooms import JudgedRoom

_SIZES = (100, 1_000, 10_000)
_SIZE_NAMES = ("under 100", "100 to 999", "1,000 to 9,999", "10,000 and more")
_MODALITIES = {
    (True, True): "none",
    (False, True): "picture",
    (True, False): "text",
    (False, False): "both",
}
_HOUR_MS = 3_600_000
# Times before this are no dates: a room whose times nobody knows starts at 0.
_FIRST_DATE_MS = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp() * 1000)


def slices(kind: str, rooms: Sequence[JudgedRoom]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """The values of a kind that occur, in order, and (n,) which of all rooms' segments have it.

    What nobody knows, a room's category or its date, is in no part. A kind with one value has no
    parts: that would be the whole again.
    """
    values = [_VALUES[kind](room) for room in rooms]
    flat = np.concatenate(values)
    found = [value for value in np.unique(flat) if value]
    if len(found) + ("" in flat) < 2:
        return
    for value in sorted(found, key=_order):
        yield str(value), flat == value


def _categories(room: JudgedRoom) -> NDArray[np.str_]:
    return np.full(len(room), room.category)


def _sizes(room: JudgedRoom) -> NDArray[np.str_]:
    """By the mean impressions of the segments that have any."""
    counted = room.viewers[room.viewers > 0]
    if not counted.size:
        return np.full(len(room), "")
    return np.full(len(room), _SIZE_NAMES[int(np.digitize(counted.mean(), _SIZES))])


def _missing(room: JudgedRoom) -> NDArray[np.str_]:
    return np.array([_MODALITIES[picture, text] for picture, text in room.present.tolist()])


def _hours(room: JudgedRoom) -> NDArray[np.str_]:
    return np.array(
        [
            f"{start_ms // _HOUR_MS % 24:02d} UTC" if start_ms >= _FIRST_DATE_MS else ""
            for start_ms in room.start_ms.tolist()
        ]
    )


def _order(value: str) -> tuple[int, str]:
    return (_SIZE_NAMES.index(value) if value in _SIZE_NAMES else 0, value)


_VALUES: dict[str, Callable[[JudgedRoom], NDArray[np.str_]]] = {
    "category": _categories,
    "size": _sizes,
    "missing modality": _missing,
    "hour": _hours,
}
