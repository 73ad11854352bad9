"""Files appear whole or not at all, locally and behind fsspec."""

from pathlib import Path

import pytest

from limelight.replay.store import Store, StoreFailed
from tests.replay.failing_store import FailingStore, PowerCut


@pytest.fixture(params=["local", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "log") if request.param == "local" else f"memory://{tmp_path}"


def test_what_is_put_is_there_and_can_be_replaced_and_deleted(root: str) -> None:
    store = Store(root)
    assert store.files() == {}
    store.put("a/b/c", b"first")
    store.put("a/b/c", b"other bytes")
    store.put("a/d", b"")
    assert store.files() == {"a/b/c": 11, "a/d": 0}
    assert store.files("a/b") == {"a/b/c": 11}
    with store.open("a/b/c") as file:
        assert file.read() == b"other bytes"
    store.delete("a/b/c")
    store.delete("a/b/c")
    assert store.files() == {"a/d": 0}


@pytest.mark.parametrize("fail_at", [0, 1])
def test_a_full_disk_leaves_nothing_and_is_said(tmp_path: Path, fail_at: int) -> None:
    store = FailingStore(str(tmp_path), fail_at)
    with pytest.raises(StoreFailed, match=r"a/b: found it cannot be written .*No space left"):
        store.put("a/b", b"0123456789")
    assert store.files() == {}
    store.put("a/b", b"0123456789")
    assert store.files() == {"a/b": 10}


@pytest.mark.parametrize("fail_at", range(4))
def test_a_power_cut_never_leaves_half_a_file_under_its_name(tmp_path: Path, fail_at: int) -> None:
    store = FailingStore(str(tmp_path), fail_at, "cut")
    with pytest.raises(PowerCut):
        store.put("a", b"0123456789")
    there = store.files()
    assert there.get("a") == (10 if fail_at == 3 else None)
    assert all(name == "a" or name.endswith(".part") for name in there)


def test_a_file_that_cannot_be_deleted_is_named(tmp_path: Path) -> None:
    store = FailingStore(str(tmp_path), 2)
    store.put("a", b"0")
    with pytest.raises(StoreFailed, match="a: found it cannot be deleted"):
        store.delete("a")


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a folder or an fsspec URL"):
        Store("nowhere://bucket")
