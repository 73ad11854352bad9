"""The join of engagement and segments, against a plain loop over milliseconds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limelight.models.datasets.labelled_room import COUNT_NAMES
from limelight.replay.feature_log.arrow import pa
from limelight.replay.feature_log.labels import (
    COLUMNS,
    MAX_JUMP_MS,
    Engagement,
    LabelReport,
    label,
    seen_until,
)
from limelight.replay.feature_log.schema import SCHEMAS

ALWAYS = (-(2**62), 2**62)


def table_of(*rows: dict[str, object]):
    schema = pa.schema([SCHEMAS["engagement"].field(name) for name in COLUMNS])
    empty = dict.fromkeys(COLUMNS)
    return pa.Table.from_pylist([empty | {"room_id": "r"} | row for row in rows], schema=schema)


def interval(start: int, end: int, viewers: float | None, clicks: float | None, **more: object):
    return {"start_ms": start, "end_ms": end, "impressions": viewers, "clicks": clicks} | more


records = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 25), st.integers(0, 99), st.integers(0, 9)),
    max_size=8,
)


@given(records)
def test_a_record_counts_for_what_it_overlaps_by_how_much(drawn: list) -> None:
    rows = {(start, start + length): (views, clicks) for start, length, views, clicks in drawn}
    table = table_of(*(interval(*key, *map(float, counts)) for key, counts in rows.items()))
    starts = np.array([10, 20, 30, 50])
    engagement = Engagement(table, report := LabelReport(), *ALWAYS)
    totals, pairs = engagement.counts("r", None, starts, starts + 10)
    for at, segment in enumerate(starts.tolist()):
        expected = np.zeros(2)
        overlapped = False
        for (start, end), counts in rows.items():
            inside = sum(segment <= each < segment + 10 for each in range(start, end))
            overlapped |= inside > 0
            expected += np.array(counts) * inside / (end - start)
        assert totals[at, :2] == pytest.approx(expected)
        assert pairs[at] == pytest.approx(expected if overlapped else [math.nan] * 2, nan_ok=True)
    covered = {each for segment in starts.tolist() for each in range(segment, segment + 10)}
    assert engagement.unknown() == sum(not covered & set(range(*key)) for key in rows)
    assert report.engagement == len(rows)


def test_a_later_record_of_the_same_room_and_interval_replaces_the_earlier() -> None:
    table = table_of(
        interval(0, 10, 100, 1),
        interval(10, 20, 100, 2),
        interval(0, 10, 100, 5, room_id="another"),
        interval(0, 10, 200, 9),
        interval(0, 10, 100, 7, room_started_ms=3),
    )
    engagement = Engagement(table, report := LabelReport(), *ALWAYS)
    _, pairs = engagement.counts("r", None, np.array([0, 10]), np.array([10, 20]))
    assert pairs.tolist() == [[200, 9], [100, 2]]
    assert (report.engagement, report.corrected) == (5, 1)


def test_a_record_with_a_start_of_the_room_counts_for_that_life_alone() -> None:
    table = table_of(interval(0, 10, 100, 1), interval(0, 10, 50, 2, room_started_ms=3))
    starts, ends = np.array([0]), np.array([10])
    for started_ms, expected in ((3, [150, 3]), (4, [100, 1]), (None, [100, 1])):
        engagement = Engagement(table, LabelReport(), *ALWAYS)
        assert engagement.counts("r", started_ms, starts, ends)[1].tolist() == [expected]
        assert engagement.unknown() == (0 if started_ms == 3 else 1)


def test_a_record_without_clicks_counts_but_makes_no_label() -> None:
    table = table_of(interval(0, 10, 100, None, likes=4.0), interval(10, 20, 10, 1))
    engagement = Engagement(table, LabelReport(), *ALWAYS)
    totals, pairs = engagement.counts("r", None, np.array([0, 10]), np.array([10, 20]))
    assert totals[0, COUNT_NAMES.index("likes")] == 4
    assert totals[0, 0] == 100
    assert np.isnan(pairs[0]).all()
    assert pairs[1].tolist() == [10, 1]


def test_only_records_wholly_inside_the_time_are_missed() -> None:
    table = table_of(interval(0, 10, 1, 1), interval(5, 15, 1, 1), interval(10, 20, 1, 1))
    assert Engagement(table, LabelReport(), 5, 20).unknown() == 2


HOUR = MAX_JUMP_MS


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([], None),
        ([5], 5),
        ([5, 9, 7], 9),
        ([5, 13 * HOUR, 9], 9),
        ([5, 13 * HOUR], 5),
        ([5, 13 * HOUR, 13 * HOUR + 60], 13 * HOUR + 60),
        ([5, 13 * HOUR, 6, 13 * HOUR, 7], 7),
        ([5, 13 * HOUR, 30 * HOUR, 8], 8),
        ([5, 5 + HOUR, 5 + 2 * HOUR], 5 + 2 * HOUR),
    ],
)
def test_one_wrong_clock_does_not_say_how_far_engagement_has_come(ends, expected) -> None:
    assert seen_until(ends) == expected


def test_every_segment_is_labelled_or_counted_with_its_reason() -> None:
    pairs = np.array([[30, 3], [29, 3], [40, 41], [math.nan] * 2, [100, 50], [100, 50]])
    ends = np.array([10, 20, 30, 40, 50, 60])
    report = LabelReport()
    ctr = label(pairs, ends, 55, min_viewers=30, label_delay_ms=5, report=report)
    assert ctr == pytest.approx([0.1, *[math.nan] * 3, 0.5, math.nan], nan_ok=True)
    assert ctr.dtype == np.float32
    assert report == LabelReport(
        labelled=2, too_few_viewers=1, impossible=1, no_engagement=1, too_early=1
    )
    assert report.segments == 6


def test_without_any_engagement_it_is_too_early_for_all() -> None:
    report = LabelReport()
    label(np.ones((3, 2)), np.arange(3), None, min_viewers=1, label_delay_ms=0, report=report)
    assert report == LabelReport(too_early=3)
