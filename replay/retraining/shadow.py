"""What champion and challenger said of the same live segments, and what viewers did then."""

from collections import defaultdict

import numpy as np

from limelight.models.datasets.labelled_room import COUNT_NAMES
from limelight.replay.evaluation.rooms import JudgedRoom
from limelight.replay.feature_log.reading import FeatureLog, LoggedRoom

_COLUMNS = (
    "room_id",
    "room_started_ms",
    "segment_index",
    "start_ms",
    "model_version",
    "ctr",
    "shadow_model_version",
    "shadow_ctr",
)
Key = tuple[str, int | None]


def shadowed_rooms(
    log: FeatureLog, champion: str, candidate: str, start_ms: int, end_ms: int
) -> list[JudgedRoom]:
    """The labelled rooms of the segments that both scored, each run of them by itself.

    Raises:
        MalformedLog: a file cannot be read.
    """
    said = _said(log, champion, candidate, start_ms, end_ms)
    if not said:
        return []
    times = [start for segments in said.values() for start, _, _ in segments.values()]
    judged = []
    for room in log.rooms(min(times), max(times) + 1):
        segments = said.get((room.room_id, room.room_started_ms))
        if segments and not np.isnan(room.ctr).all():
            judged += _runs(room, segments, champion, candidate)
    return judged


def _said(
    log: FeatureLog, champion: str, candidate: str, start_ms: int, end_ms: int
) -> dict[Key, dict[int, tuple[int, float, float]]]:
    """Start, champion's and candidate's CTR by room and segment index; the first of repeated."""
    said: defaultdict[Key, dict[int, tuple[int, float, float]]] = defaultdict(dict)
    for table in log.files.rows("scores", start_ms, end_ms, _COLUMNS):
        for row in table.to_pylist():
            if row["model_version"] != champion or row["shadow_model_version"] != candidate:
                continue
            said[row["room_id"], row["room_started_ms"]].setdefault(
                row["segment_index"], (row["start_ms"], row["ctr"], row["shadow_ctr"])
            )
    return dict(said)


def _runs(
    room: LoggedRoom,
    said: dict[int, tuple[int, float, float]],
    champion: str,
    candidate: str,
) -> list[JudgedRoom]:
    indices = [int(each) for each in room.segment_indices]
    known = np.array([index in said for index in indices])
    # Where known changes, a run begins or ends.
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]])))
    found = []
    for first, end in edges.reshape(-1, 2).tolist():
        part = slice(first, end)
        ctrs = np.array([said[index][1:] for index in indices[part]], np.float32)
        has_label = ~np.isnan(room.ctr[part])
        counts = {
            name: np.where(has_label, room.counts[part, COUNT_NAMES.index(name)], 0)
            for name in ("clicks", "impressions")
        }
        found.append(
            JudgedRoom(
                room_id=room.room_id,
                streamer_id=room.streamer_id,
                segment_ms=room.segment_ms,
                start_ms=room.start_ms[part],
                measured=room.ctr[part],
                clicks=counts["clicks"].astype(np.float32),
                viewers=counts["impressions"].astype(np.float32),
                present=room.present[part],
                predictions={champion: ctrs[:, 0], candidate: ctrs[:, 1]},
            )
        )
    return found
