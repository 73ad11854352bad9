from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from limelight.models.baselines.id_features import UNKNOWN
from limelight.models.baselines.kuairand_log import (
    FEATURE_NAMES,
    LOG_FILE,
    READ_COLUMNS,
    MalformedLog,
    read_day_split,
)

# 25 Apr 2022, 00:00 in Beijing.
START_MS = 1_650_816_000_000
DAY_MS = 86_400_000

OUTCOMES = (
    *("is_like", "is_follow", "is_comment", "is_forward", "is_hate", "long_view", "play_time_ms"),
    *("profile_stay_time", "comment_stay_time", "is_profile_enter", "watch_ratio", "finish"),
    *("like", "long_watch", "is_positive"),
)

WriteLog = Callable[..., Path]


def impressions(rows: int = 9) -> dict[str, Any]:
    """One of `rows` impressions after another, a third of them on each of three days."""
    at = np.arange(rows)
    days = at // (rows // 3)
    return {
        "user_id": at % 4 + 100,
        "video_id": at % 3 + 200,
        "author_id": at % 2 + 300,
        "tag": [str(number % 2) for number in at],
        "tab": at % 2,
        "duration_ms": at * 1_000,
        "time_ms": START_MS + days * DAY_MS + at * 3_600_000,
        "date": 20220425 + days,
        "is_click": at % 2,
    }


@pytest.fixture
def write_log(tmp_path: Path) -> WriteLog:
    def write(**columns: Any) -> Path:
        pq.write_table(pa.table(impressions() | columns), tmp_path / LOG_FILE)
        return tmp_path

    return write


def test_the_last_day_is_the_test_and_the_one_before_the_validation(write_log: WriteLog) -> None:
    split = read_day_split(write_log())
    assert [len(part.ctr) for part in (split.train, split.validation, split.test)] == [3, 3, 3]
    assert split.train.ctr.tolist() == [0, 1, 0]
    assert split.test.ctr.tolist() == [0, 1, 0]


def test_ids_are_numbered_by_the_training_days(write_log: WriteLog) -> None:
    split = read_day_split(write_log())
    users = FEATURE_NAMES.index("user_id")
    # Users 100, 101, 102 | 103, 100, 101 | 102, 103, 100.
    assert split.train.ids[:, users].tolist() == [1, 2, 3]
    assert split.validation.ids[:, users].tolist() == [UNKNOWN, 1, 2]
    assert split.test.ids[:, users].tolist() == [3, UNKNOWN, 1]
    assert split.vocabulary_sizes["user_id"] == 4
    assert tuple(split.vocabulary_sizes) == FEATURE_NAMES


def test_the_hour_is_that_of_the_impression(write_log: WriteLog) -> None:
    times = (
        START_MS + np.repeat(np.arange(3), 3) * DAY_MS + np.tile([0, 1, 24 * 60 - 1], 3) * 60_000
    )
    hours = read_day_split(write_log(time_ms=times)).test.ids[:, FEATURE_NAMES.index("hour")]
    # Midnight and a minute past it are one hour, the minute before midnight another.
    assert hours.tolist() == [1, 1, 2]


def test_an_impression_that_is_logged_twice_counts_once(write_log: WriteLog) -> None:
    columns = impressions()
    # The first impression again, at the start of the test day's log.
    for name in ("user_id", "video_id", "time_ms"):
        columns[name][6] = columns[name][0]
    split = read_day_split(write_log(**columns))
    assert [len(part.ctr) for part in (split.train, split.validation, split.test)] == [3, 3, 2]


def test_outcomes_are_never_read(write_log: WriteLog) -> None:
    assert not set(OUTCOMES) & set(READ_COLUMNS)
    plain = read_day_split(write_log())
    with_outcomes = read_day_split(
        write_log(**{name: impressions()["is_click"] for name in OUTCOMES})
    )
    assert (plain.test.ids == with_outcomes.test.ids).all()
    assert len(FEATURE_NAMES) == plain.train.ids.shape[1]


def test_the_label_is_no_input(write_log: WriteLog) -> None:
    turned = read_day_split(write_log(is_click=1 - impressions()["is_click"]))
    plain = read_day_split(write_log())
    for part in ("train", "validation", "test"):
        assert (getattr(plain, part).ids == getattr(turned, part).ids).all()
        assert (getattr(plain, part).ctr == 1 - getattr(turned, part).ctr).all()


def test_fewer_impressions_are_spread_evenly(write_log: WriteLog) -> None:
    split = read_day_split(write_log(), most_rows=3)
    assert [len(part.ctr) for part in (split.train, split.validation, split.test)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"date": np.repeat([20220425, 20220426, 20220426], 3)},
            "found 2 days, expected 3 or more",
        ),
        ({"is_click": np.full(9, 2)}, "is_click: found 2, expected 0 or 1"),
        ({"tag": np.arange(9)}, "tag: found int64 with 0 nulls, expected strings without nulls"),
        ({"user_id": np.arange(9) / 2}, "user_id: found double with 0 nulls, expected integers"),
        ({"tab": pa.array([None, *range(8)])}, "tab: found int64 with 1 nulls, expected integers"),
    ],
)
def test_a_log_that_is_not_kuairands_is_refused(write_log: WriteLog, columns, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(MalformedLog, match=message):
        read_day_split(write_log(**columns))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    columns = impressions()
    del columns["author_id"]
    pq.write_table(pa.table(columns), tmp_path / LOG_FILE)
    with pytest.raises(MalformedLog, match="found no column author_id, expected"):
        read_day_split(tmp_path)


def test_no_file_and_no_parquet_are_said(tmp_path: Path) -> None:
    with pytest.raises(MalformedLog, match="expected a Parquet file"):
        read_day_split(tmp_path)
    (tmp_path / LOG_FILE).write_text("user_id,video_id\n")
    with pytest.raises(MalformedLog, match="expected a Parquet file"):
        read_day_split(tmp_path)


@pytest.mark.shared_data
def test_the_real_log_has_six_days_and_its_known_rate(shared_data: Path) -> None:
    split = read_day_split(shared_data / "kuairand-pure")
    parts = (split.train, split.validation, split.test)
    clicks = np.concatenate([part.ctr for part in parts])
    # 94,784 rows, 43.8 % clicked, 2,979 of them a second or third row of an impression.
    assert len(clicks) == 94_784 - 2_979
    assert clicks.mean() == pytest.approx(0.438, abs=0.01)
