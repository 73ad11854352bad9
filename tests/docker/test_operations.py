"""docs/operations.md against the program: settings, metrics, topics and the examples."""

import json
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Counter, Gauge, Histogram
from pydantic import SecretStr

from limelight.streams import metrics
from limelight.streams.highlight_records import decode_highlight
from limelight.streams.records import Comment, Engagement, FrameHeaders, Speech, parse_record
from limelight.streams.settings import Settings
from limelight.streams.topics import Topics, partition_of

TEXT = (Path(__file__).parents[2] / "docs/operations.md").read_text()


def defaults() -> dict[str, Any]:
    """Every variable and its default."""
    found: dict[str, Any] = {}
    for section, field in Settings.model_fields.items():
        default = field.default
        if is_dataclass(default):
            names = [entry.name for entry in fields(default)]
        else:
            names = list(getattr(type(default), "model_fields", ()))
        for name in names:
            found[f"LIMELIGHT_{section}_{name}".upper()] = getattr(default, name)
        if not names:
            found[f"LIMELIGHT_{section}".upper()] = default
    return found


def as_written(default: object) -> str:
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        return f"{default:g}"
    return str(default) or "(empty)"


def rows(first_column: str) -> dict[str, list[str]]:
    """The table rows whose first cell, in backticks, fits: {name: the other cells}."""
    pattern = re.compile(rf"^\| `({first_column})` \| (.*) \|$", re.MULTILINE)
    return {name: rest.split(" | ") for name, rest in pattern.findall(TEXT)}


def examples(heading: str) -> list[Any]:
    """The JSON of a section, up to the next heading."""
    section = TEXT.split(f"\n{heading}\n")[1]
    section = re.split(r"\n##+ ", section)[0]
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", section, re.DOTALL)]


def test_the_tables_list_every_setting_with_its_default() -> None:
    listed = {name: cells[0] for name, cells in rows(r"LIMELIGHT_\w+").items()}
    assert listed.pop("LIMELIGHT_CONFIG") == "(empty)"
    assert listed == {name: as_written(default) for name, default in defaults().items()}


def test_the_text_names_no_setting_that_does_not_exist() -> None:
    named = set(re.findall(r"LIMELIGHT_[A-Z_]*[A-Z]", TEXT)) - {
        "LIMELIGHT_CONFIG",
        "LIMELIGHT_KAFKA",
    }
    assert named == set(defaults())


def test_the_table_lists_every_metric_with_its_type() -> None:
    served = {}
    for metric in vars(metrics).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            (family,) = metric.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            served[name] = family.type
    assert served
    assert {name: cells[0] for name, cells in rows(r"limelight_\w+").items()} == served


def test_the_table_lists_every_topic() -> None:
    topics = Topics()
    section = TEXT.split("\n### Topics\n")[1].split("\n### ")[0]
    listed = set(re.findall(r"^\| `([\w-]+)` \|", section, re.MULTILINE))
    assert listed == {*topics.all_keyed_by_room, topics.models}


@pytest.mark.parametrize(
    ("heading", "model"),
    [("### `asr`", Speech), ("### `comments`", Comment), ("### `engagement`", Engagement)],
)
def test_the_examples_can_be_read(heading: str, model: type[Any]) -> None:
    found = examples(heading)
    assert found
    for value in found:
        for entry in value if isinstance(value, list) else [value]:
            record = parse_record(model, entry)
            unknown = set(entry) - set(model.model_fields)
            assert not unknown
            assert record.room_id == "room-42"


def test_the_example_of_a_highlight_is_one() -> None:
    (event,) = examples("## What comes out")
    read = decode_highlight(json.dumps(event).encode(), max_bytes=100_000)
    assert read["data"]["highlight_id"] == event["subject"]


def test_the_headers_of_a_picture_are_those_that_are_read() -> None:
    section = TEXT.split("\n### `frames`\n")[1].split("\n### ")[0]
    given = dict(re.findall(r"^\| `(\w+)` \| `(.*)` \|$", section, re.MULTILINE))
    assert list(given) == [field.name for field in fields(FrameHeaders)]
    assert given["event_time_ms"].isdigit()


def test_the_partitions_to_check_a_producer_by_are_right() -> None:
    stated = re.search(
        r"with 64 partitions\s+`room-42` goes to partition (\d+), with 16 to partition (\d+)", TEXT
    )
    assert stated is not None
    assert [int(number) for number in stated.groups()] == [
        partition_of("room-42", 64),
        partition_of("room-42", 16),
    ]
