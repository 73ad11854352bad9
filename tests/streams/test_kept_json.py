"""JSON that is kept: the same text, and no more memory than the text has."""

import tracemalloc

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limelight.streams.kept_json import kept_json


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), st.none() | st.floats() | st.text()))
def test_it_is_the_json_that_orjson_writes(value) -> None:
    assert kept_json(value) == orjson.dumps(value)


@pytest.mark.parametrize("length", [1, 500, 3_000, 60_000])
def test_it_takes_the_memory_of_its_text(length: int) -> None:
    kept_json("warm up")
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = kept_json("x" * length)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(kept) <= after - before < len(kept) + 500
