"""What viewers did in each segment: the join of engagement with the segments of a room."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limelight.models.datasets.labelled_room import COUNT_NAMES

# Engagement further ahead of what came before it is believed only when the next is as far.
MAX_JUMP_MS = 3_600_000
COLUMNS = ("room_id", "room_started_ms", "start_ms", "end_ms", *COUNT_NAMES)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(slots=True)
class LabelReport:
    """What became of segments and engagement; each segment counts in one of the first six.

    Args:
        labelled: segments with a CTR.
        too_few_viewers: fewer impressions than the minimum.
        too_early: engagement has not come as far as the segment's end and the label delay.
        no_engagement: none overlaps the segment, or none has both impressions and clicks.
        impossible: more clicks than impressions.
        other_encoder: segments left out because their picture is of another encoder.
        repeated: segments that came again, after a crash of the assembler; the first counts.
        engagement, corrected, unknown: records of engagement, those of them that a later one of the
            same room and interval replaced, and those that fit no logged segment.
    """

    labelled: int = 0
    too_few_viewers: int = 0
    too_early: int = 0
    no_engagement: int = 0
    impossible: int = 0
    other_encoder: int = 0
    repeated: int = 0
    engagement: int = 0
    corrected: int = 0
    unknown: int = 0

    @property
    def segments(self) -> int:
        return (
            self.labelled
            + self.too_few_viewers
            + self.too_early
            + self.no_engagement
            + self.impossible
            + self.other_encoder
        )


@dataclass(frozen=True, slots=True)
class _Records:
    """The engagement of one room's life, or of all its lives: (R,), (R,), (R, 8)."""

    start_ms: Ints
    end_ms: Ints
    counts: Floats


class Engagement:
    """A partition's engagement, late corrections applied.

    Args:
        table: rows in the order of their offsets, columns `COLUMNS`.
        start_ms, end_ms: records that lie wholly in here should fit a segment.
    """

    def __init__(self, table: Any, report: LabelReport, start_ms: int, end_ms: int) -> None:
        rows = {name: table[name].to_pylist() for name in COLUMNS[:4]}
        newest: dict[tuple[Any, ...], int] = {
            key: at for at, key in enumerate(zip(*rows.values(), strict=True))
        }
        report.corrected += len(table) - len(newest)
        report.engagement += len(table)
        self.seen_until_ms = seen_until(rows["end_ms"])
        # Null where a record has no such count.
        counts = np.stack(
            [table[name].to_numpy().astype(np.float64) for name in COUNT_NAMES], axis=1
        ).reshape(len(table), len(COUNT_NAMES))
        at_of: defaultdict[tuple[str, int | None], list[int]] = defaultdict(list)
        for (room_id, started_ms, *_), at in newest.items():
            at_of[room_id, started_ms].append(at)
        starts, ends = (np.array(rows[name], np.int64) for name in ("start_ms", "end_ms"))
        self._records: Mapping[tuple[str, int | None], _Records] = {
            key: _Records(starts[at], ends[at], counts[at]) for key, at in at_of.items()
        }
        self._unknown = {
            key: (records.start_ms >= start_ms) & (records.end_ms <= end_ms)
            for key, records in self._records.items()
        }

    def counts(
        self, room_id: str, room_started_ms: int | None, starts: Ints, ends: Ints
    ) -> tuple[Floats, Floats]:
        """What a room's S segments have: all counts (S, 8), and impressions and clicks (S, 2).

        A record counts for the segments that it overlaps, by how much of it they have. The second
        leaves out records that lack one of the two, and is NaN where none is left. A record without
        a start of the room belongs to whichever life of the room it overlaps.
        """
        totals = np.zeros((len(starts), len(COUNT_NAMES)))
        pairs = np.zeros((len(starts), 2))
        has_pair = np.zeros(len(starts), np.bool_)
        for key in dict.fromkeys(((room_id, room_started_ms), (room_id, None))):
            if (records := self._records.get(key)) is None:
                continue
            first = np.searchsorted(ends, records.start_ms, "right")
            behind = np.searchsorted(starts, records.end_ms, "left")
            self._unknown[key] &= first >= behind
            for step in range(int((behind - first).max(initial=0))):
                chosen = np.flatnonzero(first + step < behind)
                at = first[chosen] + step
                from_ms = np.maximum(records.start_ms[chosen], starts[at])
                to_ms = np.minimum(records.end_ms[chosen], ends[at])
                length_ms = records.end_ms[chosen] - records.start_ms[chosen]
                shares = (records.counts[chosen].T * ((to_ms - from_ms) / length_ms)).T
                np.add.at(totals, at, np.nan_to_num(shares))
                whole = ~np.isnan(shares[:, :2]).any(axis=1)
                np.add.at(pairs, at[whole], shares[whole, :2])
                has_pair[at[whole]] = True
        pairs[~has_pair] = np.nan
        return totals, pairs

    def unknown(self) -> int:
        """How many records fitted no segment that was asked about."""
        return sum(int(each.sum()) for each in self._unknown.values())


def seen_until(ends_ms: Sequence[int]) -> int | None:
    """How far engagement has come, by the ends of records in the order they came; None for none.

    One record with a wrong clock does not count:

        10:00 10:01 23:00 10:02 -> 10:02      10:00 23:00 23:01 -> 23:01
    """
    latest: int | None = None
    doubted: int | None = None
    for end_ms in ends_ms:
        if latest is not None and end_ms > latest + MAX_JUMP_MS:
            is_confirmed = doubted is not None and abs(end_ms - doubted) <= MAX_JUMP_MS
            latest, doubted = (end_ms, None) if is_confirmed else (latest, end_ms)
        else:
            latest, doubted = end_ms if latest is None else max(latest, end_ms), None
    return latest


def label(
    pairs: Floats,
    ends: Ints,
    seen_until_ms: int | None,
    *,
    min_viewers: int,
    label_delay_ms: int,
    report: LabelReport,
) -> NDArray[np.float32]:
    """The CTR of each segment, NaN where it has none.

    Args:
        pairs: (S, 2), impressions and clicks.
        ends: (S,), where each segment ends, in ms.
    """
    viewers, clicks = pairs.T
    early = ends + label_delay_ms > (-1 if seen_until_ms is None else seen_until_ms)
    missing = ~early & np.isnan(viewers)
    # Shares of counts may miss a whole number by a rounding.
    few = ~early & ~missing & (viewers < min_viewers - 1e-6)
    impossible = ~early & ~missing & ~few & (clicks > viewers + 1e-6)
    known = ~(early | missing | few | impossible)
    report.too_early += int(early.sum())
    report.no_engagement += int(missing.sum())
    report.too_few_viewers += int(few.sum())
    report.impossible += int(impossible.sum())
    report.labelled += int(known.sum())
    ctr = np.full(len(ends), np.nan, np.float32)
    ctr[known] = np.minimum(clicks[known] / viewers[known], 1)
    return ctr
