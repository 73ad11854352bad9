"""The columns of the three datasets, and how files of older versions are read.

Times are milliseconds since 1970 in UTC. `partition` and `offset` are the record's place in Kafka;
they make every row unique, however often its record was read.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from limelight.models.datasets.labelled_room import COUNT_NAMES
from limelight.replay.feature_log.arrow import pa, pq
from limelight.replay.feature_log.errors import MalformedLog

SCHEMA_VERSION = 1
_KEY = b"limelight"

_PLACE = [("partition", pa.int32()), ("offset", pa.int64())]
_ROOM = [
    ("room_id", pa.string()),
    ("streamer_id", pa.string()),
    ("room_started_ms", pa.int64()),
]
SCHEMAS: dict[str, Any] = {
    "segments": pa.schema(
        [
            *_PLACE,
            *_ROOM,
            ("segment_index", pa.int64()),
            ("start_ms", pa.int64()),
            ("segment_ms", pa.int64()),
            ("final", pa.bool_()),
            ("closed_at_ms", pa.int64()),
            ("encoder_id", pa.string()),
            ("encoder_revision", pa.string()),
            # The bytes of a float16 vector, little endian; null without a picture.
            ("frame_feature", pa.binary()),
            ("frame_times_ms", pa.list_(pa.int64())),
            ("picture_changes", pa.list_(pa.float64())),
            ("speech", pa.string()),
            ("comments", pa.list_(pa.string())),
            ("comment_count", pa.int64()),
            ("user_count", pa.int64()),
            ("comment_weight", pa.float64()),
            ("comment_bins", pa.list_(pa.int64())),
            ("missing", pa.list_(pa.string())),
            ("entries", pa.map_(pa.string(), pa.int64())),
        ]
    ),
    "scores": pa.schema(
        [
            *_PLACE,
            *_ROOM,
            ("segment_index", pa.int64()),
            ("start_ms", pa.int64()),
            ("end_ms", pa.int64()),
            ("final", pa.bool_()),
            ("model_version", pa.string()),
            ("ctr", pa.float64()),
            ("energy", pa.float64()),
            ("decided_by", pa.string()),
            ("decision", pa.float64()),
            ("shadow_model_version", pa.string()),
            ("shadow_ctr", pa.float64()),
            ("modality_shares", pa.map_(pa.string(), pa.float64())),
            ("strongest_comments", pa.list_(pa.string())),
            ("key_frame_ms", pa.int64()),
            ("comment_count", pa.int64()),
            ("comment_lag_ms", pa.int64()),
            ("timings", pa.map_(pa.string(), pa.int64())),
        ]
    ),
    "engagement": pa.schema(
        [
            *_PLACE,
            *_ROOM,
            ("start_ms", pa.int64()),
            ("end_ms", pa.int64()),
            *((name, pa.float64()) for name in COUNT_NAMES),
            ("paid", pa.map_(pa.string(), pa.float64())),
        ]
    ),
}
# Which topic each dataset is the archive of.
TOPICS = {"segments": "windows", "scores": "scores", "engagement": "engagement"}

# What turns a table of a version into one of the next.
Upgrade = Callable[[str, Any], Any]
UPGRADES: Mapping[int, Upgrade] = {}


def parquet_bytes(dataset: str, tables: "list[Any]", description: Mapping[str, Any]) -> Any:
    """A Parquet file of the tables, one row group each, as a buffer.

    Args:
        description: what the file says of itself, beside version and dataset.
    """
    metadata = {"schema_version": SCHEMA_VERSION, "dataset": dataset, **description}
    schema = SCHEMAS[dataset].with_metadata({_KEY: orjson.dumps(metadata)})
    sink = pa.BufferOutputStream()
    # Features are noise to a compressor, and no two are the same.
    plain = {"frame_feature"}
    compression = {
        path: "none" if path in plain else "zstd" for path in _leaf_paths(SCHEMAS[dataset])
    }
    dictionaries = [path for path in compression if path not in plain]
    with pq.ParquetWriter(
        sink, schema, compression=compression, use_dictionary=dictionaries, store_schema=True
    ) as writer:
        for table in tables:
            writer.write_table(table.cast(schema), row_group_size=max(1, len(table)))
    return sink.getvalue()


def _leaf_paths(schema: Any) -> list[str]:
    paths = []
    for field in schema:
        if pa.types.is_map(field.type):
            paths += [f"{field.name}.key_value.key", f"{field.name}.key_value.value"]
        elif pa.types.is_list(field.type):
            paths.append(f"{field.name}.list.element")
        else:
            paths.append(field.name)
    return paths


def described(file: Any, place: str) -> dict[str, Any]:
    """What an opened Parquet file says of itself.

    Raises:
        MalformedLog: it is no file of a feature log, or of a version that cannot be read.
    """
    text = (file.schema_arrow.metadata or {}).get(_KEY)
    try:
        found = orjson.loads(text or b"")
        version, dataset = found["schema_version"], found["dataset"]
        pieces = found["pieces"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise MalformedLog(
            f"{place}: found no description of itself, expected a file of a feature log"
        ) from error
    if not isinstance(pieces, list) or dataset not in SCHEMAS:
        raise MalformedLog(f"{place}: found dataset {dataset!r}, expected {list(SCHEMAS)}")
    if not isinstance(version, int) or not _is_readable(version):
        oldest = min([*UPGRADES, SCHEMA_VERSION])
        raise MalformedLog(
            f"{place}: found schema version {version}, expected {oldest} to {SCHEMA_VERSION}"
        )
    return dict(found)


def _is_readable(version: int) -> bool:
    return version <= SCHEMA_VERSION and all(
        step in UPGRADES for step in range(version, SCHEMA_VERSION)
    )


def current(dataset: str, version: int, table: Any, place: str, names: Sequence[str]) -> Any:
    """A file's table, in the named columns of this version.

    Raises:
        MalformedLog: columns that do not fit.
    """
    for step in range(version, SCHEMA_VERSION):
        table = UPGRADES[step](dataset, table)
    try:
        schema = SCHEMAS[dataset]
        return table.select(names).cast(pa.schema([schema.field(name) for name in names]))
    except (KeyError, ValueError, TypeError) as error:
        raise MalformedLog(
            f"{place}: found columns {table.column_names}, expected {list(names)} of version"
            f" {SCHEMA_VERSION} ({error})"
        ) from error
