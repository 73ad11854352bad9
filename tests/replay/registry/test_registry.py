"""Versions never change, pointers change whole, and nobody's change is lost."""

from concurrent.futures import ThreadPoolExecutor
from itertools import count, pairwise
from pathlib import Path
from threading import Barrier
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limelight.replay.registry.errors import MalformedVersion, UnknownVersion, VersionExists
from limelight.replay.registry.records import Change, Lineage
from limelight.replay.registry.registry import Registry
from limelight.replay.store import StoreFailed
from tests.replay.failing_store import FailingStore, PowerCut
from tests.replay.registry.networks import network_files

LINEAGE = Lineage(source="log", start_ms=5, end_ms=9, code="abc", parent="v0")


@pytest.fixture(params=["folder", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "registry") if request.param == "folder" else f"memory://{uuid4()}"


def register(registry: Registry, folder: Path, *names: str) -> None:
    for name in names:
        files = network_files(folder / f"network {name}", name.encode())
        registry.register(files, name, metrics={"tau": 0.5}, lineage=LINEAGE)


def test_a_version_comes_back_as_it_was_registered(root: str, tmp_path: Path) -> None:
    clock = count(1)
    registry = Registry(root, now_ms=lambda: next(clock))
    folder = network_files(tmp_path / "network")
    more = {"distribution.json": b"{}"}
    registry.register(folder, "v1", metrics={"tau": 0.5}, lineage=LINEAGE, extra=more)
    (found,) = Registry(root).versions()
    assert (found.name, found.metrics, found.lineage) == ("v1", {"tau": 0.5}, LINEAGE)
    local = registry.local_folder("v1", tmp_path / "cache")
    for name in ("config.json", "model.safetensors"):
        assert (local / name).read_bytes() == (folder / name).read_bytes()
    assert registry.file("v1", "distribution.json") == b"{}"
    assert registry.file("v1", "another.json") is None


def test_a_name_stands_for_one_network_for_ever(root: str, tmp_path: Path) -> None:
    registry = Registry(root)
    register(registry, tmp_path, "v1")
    register(registry, tmp_path, "v1")  # the same again, as after a crash
    other = network_files(tmp_path / "other", b"others")
    with pytest.raises(VersionExists, match="another network registered as v1"):
        registry.register(other, "v1", metrics={}, lineage=LINEAGE)
    with pytest.raises(ValueError, match=r"version: found '\.\./v2', expected a plain name"):
        registry.register(other, "../v2", metrics={}, lineage=LINEAGE)


@pytest.mark.parametrize("how", ["full", "cut"])
def test_a_registration_cut_short_is_no_version_and_can_be_done_again(
    tmp_path: Path, how: str
) -> None:
    folder, fail_at = network_files(tmp_path / "network"), 0
    for fail_at in count():
        root = str(tmp_path / f"registry {fail_at}")
        try:
            Registry(FailingStore(root, fail_at, how)).register(
                folder, "v1", metrics={}, lineage=LINEAGE
            )
        except (StoreFailed, PowerCut):
            registry = Registry(root)
            if registry.unfinished() or not registry.versions():
                with pytest.raises(UnknownVersion, match="found no version v1"):
                    registry.change(lambda now: now.promoted("v1", ""))
                assert registry.pointers() == Change()
            registry.register(folder, "v1", metrics={}, lineage=LINEAGE)
            registry.local_folder("v1")
            assert registry.unfinished() == []
        else:
            break
    assert fail_at >= 5  # four files and the manifest


def test_files_that_have_changed_since_are_refused(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    register(registry, tmp_path, "v1")
    weights = tmp_path / "registry/versions/v1/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(MalformedVersion, match=r"v1/model.safetensors: found 100 bytes .* 2000"):
        registry.change(lambda now: now.promoted("v1", ""))
    weights.unlink()
    with pytest.raises(MalformedVersion, match=r"model.safetensors: found no file"):
        registry.local_folder("v1")
    manifest = tmp_path / "registry/versions/v1/version.json"
    manifest.write_bytes(manifest.read_bytes()[:40])
    with pytest.raises(MalformedVersion, match=r"version.json: found .* expected JSON"):
        registry.versions()


def test_a_version_from_afar_is_kept_and_mended(tmp_path: Path) -> None:
    registry = Registry(f"memory://{uuid4()}")
    register(registry, tmp_path, "v1")
    local = registry.local_folder("v1", tmp_path / "cache")
    (local / "model.safetensors").write_bytes(b"half")
    assert registry.local_folder("v1", tmp_path / "cache") == local
    assert (local / "model.safetensors").read_bytes() == b"v1" * 1000


Step = st.one_of(
    st.tuples(st.just("promote"), st.sampled_from(["a", "b", "c"])),
    st.tuples(st.just("challenge"), st.sampled_from(["a", "b", "c"])),
    st.tuples(st.just("rollback"), st.none()),
)


@given(steps=st.lists(Step, max_size=12))
def test_rollbacks_go_back_through_the_champions(steps: list) -> None:
    now, champions = Change(), [None]
    for action, version in steps:
        try:
            if action == "promote":
                now = now.promoted(version, "")
            elif action == "challenge":
                now = now.challenged(version, "")
            else:
                now = now.rolled_back("")
        except ValueError:
            assert (version is not None and version == champions[-1]) or (
                action == "rollback" and len(champions) == 1
            )
            continue
        if action == "promote":
            champions.append(version)
        elif action == "rollback":
            champions.pop()
        assert now.champion == champions[-1]
        assert now.challenger is None or now.challenger != now.champion


def test_of_changes_at_once_none_is_lost(root: str, tmp_path: Path) -> None:
    names = [f"v{number}" for number in range(6)]
    register(Registry(root), tmp_path, *names)

    def promote(name: str) -> None:
        Registry(root).change(lambda now: now.promoted(name, "at once"))

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(promote, names))
    history = Registry(root).history()
    assert [change.number for change in history] == list(range(1, 7))
    assert {change.champion for change in history} == set(names)
    for before, after in pairwise(history):
        assert after.previous[0] == before.champion


def test_a_pointer_file_that_cannot_be_read_stops_changes(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    register(registry, tmp_path / "networks", "v1", "v2")
    registry.change(lambda now: now.promoted("v1", ""))
    (tmp_path / "changes/00000001.json").write_bytes(b'{"number": 1, "champ')
    with pytest.raises(MalformedVersion, match=r"00000001.json: found .* expected JSON"):
        registry.change(lambda now: now.promoted("v2", ""))


def test_several_fetch_a_version_into_one_cache(tmp_path: Path) -> None:
    """Engines of one machine hear of a champion at the same moment."""
    root = f"memory://{uuid4()}"
    files = network_files(tmp_path / "network", b"weights" * 300)
    Registry(root).register(files, "v1", metrics={}, lineage=LINEAGE)

    def fetch(cache: str, start: Barrier) -> bytes:
        start.wait()
        folder = Registry(root).local_folder("v1", tmp_path / cache)
        return (folder / "model.safetensors").read_bytes()

    expected = (files / "model.safetensors").read_bytes()
    with ThreadPoolExecutor(4) as pool:
        for number in range(5):
            start = Barrier(4)
            found = [pool.submit(fetch, f"cache {number}", start) for _ in range(4)]
            assert all(each.result() == expected for each in found)
