"""Impressions of KuaiRand-Pure, split by day, with what was known before each one.

KuaiRand's table holds outcomes beside inputs: play time, watch ratio, `finish`, `long_*`, `like`,
`is_positive` and the stay times are what followed the impression. Only the columns named here are
read from the file. Left out as well: the counts of `item_features`, which may reach past the
impression; `hourmin` and `freshness_days`, which go by the time of logging, up to an hour later.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from limelight.models.baselines.id_features import UNKNOWN, log_buckets, numbered
from limelight.models.baselines.network_training import Rows

LOG_FILE: Final = "val.parquet"
LABEL: Final = "is_click"
ID_COLUMNS: Final = ("user_id", "video_id", "author_id", "tag", "tab")
READ_COLUMNS: Final = (*ID_COLUMNS, "duration_ms", "time_ms", "date", LABEL)
FEATURE_NAMES: Final = (*ID_COLUMNS, "duration", "hour")

_HOUR_MS: Final = 3_600_000


class MalformedLog(Exception):
    """A table of impressions is not what KuaiRand's is."""


@dataclass(frozen=True, slots=True)
class DaySplit:
    """Impressions as rows of ids (n, 7), columns as `FEATURE_NAMES`, and clicks 0 or 1.

    Validation is the last day but one, test the last; ids are numbered by the days before, and
    `vocabulary_sizes` gives how many each column knows, the unknown one included.
    """

    vocabulary_sizes: Mapping[str, int]
    train: Rows
    validation: Rows
    test: Rows


def read_day_split(folder: Path, *, most_rows: int | None = None) -> DaySplit:
    """The impressions of a folder of KuaiRand-Pure, each once.

    3 % of the impressions are logged twice, some of them on two days: the first row of a user,
    video and time is kept.

    Args:
        folder: where `val.parquet` lies.
        most_rows: keep so many impressions, spread evenly; None keeps all.

    Raises:
        MalformedLog: no such file, not Parquet, a column missing or of another type, fewer than
            three days, a label other than 0 and 1.
        ImportError: pyarrow is not installed.
    """
    return _split(read_impressions(folder, most_rows=most_rows), folder / LOG_FILE)


def read_impressions(folder: Path, *, most_rows: int | None = None) -> dict[str, NDArray[Any]]:
    """The columns of `READ_COLUMNS` by name, (n,) each, of impressions that stand there once.

    Args and errors as in `read_day_split`.
    """
    columns = _read_columns(folder / LOG_FILE)
    impression = np.stack([columns[name] for name in ("user_id", "video_id", "time_ms")], axis=1)
    kept = np.sort(np.unique(impression, axis=0, return_index=True)[1])
    if most_rows is not None:
        kept = kept[:: -(-len(kept) // most_rows)]
    return {name: column[kept] for name, column in columns.items()}


def _read_columns(file: Path) -> dict[str, NDArray[Any]]:
    # Imported here: nothing else of the project reads Parquet.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        missing = set(READ_COLUMNS) - set(pq.read_schema(file).names)
        if missing:
            raise MalformedLog(f"{file}: found no column {min(missing)}, expected {READ_COLUMNS}")
        table = pq.read_table(file, columns=list(READ_COLUMNS))
    except (OSError, pa.ArrowException) as error:
        raise MalformedLog(f"{file}: found {error}, expected a Parquet file") from error
    for name in READ_COLUMNS:
        found = table[name].type
        is_expected = pa.types.is_string(found) if name == "tag" else pa.types.is_integer(found)
        if not is_expected or table[name].null_count:
            expected = "strings" if name == "tag" else "integers"
            raise MalformedLog(
                f"{file}: {name}: found {found} with {table[name].null_count} nulls,"
                f" expected {expected} without nulls"
            )
    return {name: table[name].to_numpy() for name in READ_COLUMNS}


def _split(columns: Mapping[str, NDArray[Any]], file: Path) -> DaySplit:
    days = np.unique(columns["date"])
    if len(days) < 3:
        raise MalformedLog(f"{file}: found {len(days)} days, expected 3 or more")
    odd = ~np.isin(columns[LABEL], (0, 1))
    if odd.any():
        raise MalformedLog(f"{file}: {LABEL}: found {columns[LABEL][odd][0]}, expected 0 or 1")
    is_train = columns["date"] < days[-2]
    ids, sizes = _ids(columns, is_train)
    clicks = columns[LABEL].astype(np.float32)
    validation, test = (columns["date"] == day for day in days[-2:])
    return DaySplit(
        sizes,
        *(Rows(ids[part], clicks[part]) for part in (is_train, validation, test)),
    )


def _ids(
    columns: Mapping[str, NDArray[Any]], is_train: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], dict[str, int]]:
    keys = {name: columns[name] for name in ID_COLUMNS} | {
        "duration": log_buckets(columns["duration_ms"] / 1000),
        # Of the day in UTC: as ids, Beijing's hours are the same under other names.
        "hour": columns["time_ms"] // _HOUR_MS % 24,
    }
    ids = np.empty((len(is_train), len(FEATURE_NAMES)), np.int64)
    sizes: dict[str, int] = {}
    for column, name in enumerate(FEATURE_NAMES):
        known = numbered(keys[name][is_train].tolist())
        ids[:, column] = [known.get(key, UNKNOWN) for key in keys[name].tolist()]
        sizes[name] = 1 + len(known)
    return ids, sizes
