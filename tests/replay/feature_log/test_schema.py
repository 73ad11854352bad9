"""Files of other versions: read by a chain of upgrades, or refused by name."""

from pathlib import Path

import orjson
import pytest

from limelight.replay.feature_log import schema
from limelight.replay.feature_log.arrow import pa, pq
from limelight.replay.feature_log.errors import MalformedLog
from limelight.replay.feature_log.files import LogFiles
from limelight.replay.store import Store
from tests.replay.feature_log.logs import ALWAYS, write
from tests.replay.feature_log.records import engagement_record


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write(str(tmp_path), [engagement_record("room", 1, 0, clicks=7.0)])
    (found,) = tmp_path.glob("engagement/*/*/*.parquet")
    return found


def rewrite(file: Path, version: object, change=lambda table: table) -> None:
    table = pq.read_table(file, partitioning=None)
    about = orjson.loads(table.schema.metadata[b"limelight"]) | {"schema_version": version}
    changed = change(table).replace_schema_metadata({b"limelight": orjson.dumps(about)})
    pq.write_table(changed, file)


def rows(root: Path) -> list[dict[str, object]]:
    files = LogFiles(Store(root))
    return [row for table in files.rows("engagement", *ALWAYS) for row in table.to_pylist()]


def old_names(table):
    """A version 0 as it might have been: other names, and without `paid`."""
    names = [{"clicks": "taps"}.get(name, name) for name in table.column_names]
    return table.rename_columns(names).drop_columns(["paid"])


def test_an_older_version_is_read_through_its_upgrade(file: Path, tmp_path: Path, monkeypatch):
    expected = rows(tmp_path)

    def upgrade(dataset: str, table):
        assert dataset == "engagement"
        names = [{"taps": "clicks"}.get(name, name) for name in table.column_names]
        field = schema.SCHEMAS[dataset].field("paid")
        return table.rename_columns(names).append_column(field, pa.array([[]], field.type))

    monkeypatch.setattr(schema, "UPGRADES", {0: upgrade})
    rewrite(file, 0, old_names)
    assert rows(tmp_path) == expected
    assert expected[0]["clicks"] == 7.0


@pytest.mark.parametrize(
    ("version", "problem"),
    [(0, "version 0, expected 1 to 1"), (2, "version 2, expected"), ("x", "version x, expected")],
)
def test_a_version_without_a_reader_is_refused(file: Path, tmp_path: Path, version, problem):
    rewrite(file, version)
    with pytest.raises(MalformedLog, match=rf"{file.name}: found schema {problem}"):
        rows(tmp_path)


def test_columns_that_do_not_fit_the_version_are_refused(file: Path, tmp_path: Path) -> None:
    rewrite(file, 1, old_names)
    with pytest.raises(MalformedLog, match=rf"{file.name}: found columns .*, expected .*clicks"):
        rows(tmp_path)


def test_a_parquet_file_of_somebody_else_is_refused(file: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), file)
    with pytest.raises(MalformedLog, match="found no description of itself"):
        rows(tmp_path)


def test_other_readers_see_plain_parquet_with_hive_partitions(file: Path, tmp_path: Path) -> None:
    table = pq.read_table(tmp_path / "engagement")
    assert table["clicks"].to_pylist() == [7.0]
    assert str(table["date"][0]) == "2023-11-14"
    assert table["hour"][0].as_py() == 22
