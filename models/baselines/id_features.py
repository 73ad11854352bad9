"""What ContentCTR's ID baselines see of a segment: three ids and eight counts, all as ids.

The paper feeds "exposure count, ..., click count" of the segment whose CTR it regresses. Clicks
over exposures is that CTR, so the counts here are those of the segment before: the last ones known
when the prediction is made. A room's first segment has a bucket of its own for each.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from limelight.models.datasets.labelled_room import COUNT_NAMES, LabelledRoom

FEATURE_NAMES: Final = (
    "streamer_id",
    "room_id",
    "segment_index",
    *(f"previous_{name}" for name in COUNT_NAMES),
)
NUM_IDS: Final = len(FEATURE_NAMES) - len(COUNT_NAMES)

UNKNOWN: Final = 0
NO_SEGMENT_BEFORE: Final = 0
# Half octaves of 1 + count: 0, 0.4, 1, 1.8, 3, 4.7, 7, ..., with all from 2**20 - 1 up in the last.
_BUCKET_STARTS: Final = 2.0 ** (np.arange(41) / 2) - 1
NUM_BUCKETS: Final = 1 + len(_BUCKET_STARTS)

Ids = NDArray[np.int64]
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class IdVocabulary:
    """Which streamers, rooms and segment indices were learnt from; each maps to 1 and up.

    Whatever is not there is `UNKNOWN`: in most splits every room that is evaluated.
    """

    streamer_ids: Mapping[str, int]
    room_ids: Mapping[str, int]
    segment_indices: Mapping[int, int]

    @property
    def sizes(self) -> dict[str, int]:
        """How many ids each column of `FEATURE_NAMES` knows, `UNKNOWN` and buckets included."""
        known = (self.streamer_ids, self.room_ids, self.segment_indices)
        return dict(
            zip(
                FEATURE_NAMES,
                (*(1 + len(ids) for ids in known), *(NUM_BUCKETS for _ in COUNT_NAMES)),
                strict=True,
            )
        )


def learn_vocabulary(rooms: Sequence[LabelledRoom]) -> IdVocabulary:
    """The ids of segments whose CTR is measured: those a network can learn something about."""
    measured = [(room, np.flatnonzero(~np.isnan(room.ctr)).tolist()) for room in rooms]
    learnt = [room for room, indices in measured if indices]
    return IdVocabulary(
        numbered(room.streamer_id for room in learnt),
        numbered(room.room_id for room in learnt),
        numbered(sorted({index for _, indices in measured for index in indices})),
    )


def id_features(room: LabelledRoom, vocabulary: IdVocabulary) -> Ids:
    """(S, 11) ids of the segments of a room, columns as `FEATURE_NAMES`.

    Row i depends on the counts of rows before i only, and on no CTR.
    """
    segments = len(room)
    ids = np.empty((segments, len(FEATURE_NAMES)), np.int64)
    ids[:, 0] = vocabulary.streamer_ids.get(room.streamer_id, UNKNOWN)
    ids[:, 1] = vocabulary.room_ids.get(room.room_id, UNKNOWN)
    ids[:, 2] = [vocabulary.segment_indices.get(index, UNKNOWN) for index in range(segments)]
    ids[0, NUM_IDS:] = NO_SEGMENT_BEFORE
    ids[1:, NUM_IDS:] = log_buckets(room.counts[:-1])
    return ids


def log_buckets(counts: NDArray[Any]) -> Ids:
    """The half octave of 1 + each count, 1 to 41, in the shape of `counts`.

    Worked example: 0 -> 1, 1 -> 3, 2 -> 4, 3 -> 5, 10 -> 7, 100 -> 14, 1,000 -> 20.
    """
    return np.searchsorted(_BUCKET_STARTS, counts, side="right").astype(np.int64)


def numbered(keys: Iterable[Key]) -> dict[Key, int]:
    """Each key with its number from 1, in the order in which they first come."""
    return {key: number for number, key in enumerate(dict.fromkeys(keys), start=1)}
