"""Rooms come back from disk as they were, and no broken file is taken for rooms."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from limelight.models.datasets import room_files
from limelight.models.datasets.labelled_room import LabelledRoom
from limelight.models.datasets.room_files import load_rooms, save_rooms

ARRAYS = ("frame_features", "text_features", "present", "ctr", "counts")


def rooms_of(
    lengths: list[int], width: type = np.float16, frame_size: int = 4
) -> list[LabelledRoom]:
    random = np.random.default_rng(0)
    rooms = []
    for number, length in enumerate(lengths):
        ctr = random.random(length).astype(np.float32)
        ctr[::3] = np.nan
        rooms.append(
            LabelledRoom(
                room_id=f"room-{number}",
                streamer_id=f"主播 {number} \ud83d",
                frame_features=random.normal(size=(length, frame_size)).astype(width),
                text_features=random.normal(size=(length, 3)).astype(np.float32),
                present=random.random((length, 2)) < 0.5,
                ctr=ctr,
                counts=random.integers(0, 9, (length, 8)).astype(np.float32),
            )
        )
    return rooms


def assert_same(found: list[LabelledRoom], expected: list[LabelledRoom]) -> None:
    assert [(r.room_id, r.streamer_id) for r in found] == [
        (r.room_id, r.streamer_id) for r in expected
    ]
    for ours, theirs in zip(found, expected, strict=True):
        for name in ARRAYS:
            assert getattr(ours, name).dtype == getattr(theirs, name).dtype
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=5),
    width=st.sampled_from([np.float16, np.float32]),
)
def test_rooms_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], width: type
) -> None:
    path = tmp_path_factory.mktemp("rooms") / "new folder" / "rooms.safetensors"
    expected = rooms_of(lengths, width)
    save_rooms(path, expected, note="simulated")
    assert_same(load_rooms(path), expected)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_features_that_are_not_contiguous_come_back_too(tmp_path: Path) -> None:
    (room,) = rooms_of([5])
    turned = LabelledRoom(
        room.room_id,
        room.streamer_id,
        np.asfortranarray(room.frame_features),
        *(getattr(room, name) for name in ARRAYS[1:]),
    )
    save_rooms(tmp_path / "rooms.safetensors", [turned])
    assert_same(load_rooms(tmp_path / "rooms.safetensors"), [room])


def test_a_crash_while_writing_leaves_the_former_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rooms.safetensors"

    def crash(arrays: object, target: Path, metadata: object) -> None:
        target.write_bytes(b"half of it")
        raise OSError("disk full")

    monkeypatch.setattr(room_files, "save_file", crash)
    with pytest.raises(OSError, match="disk full"):
        save_rooms(path, rooms_of([3]))
    assert not path.exists()
    monkeypatch.undo()
    save_rooms(path, rooms_of([3]))
    monkeypatch.setattr(room_files, "save_file", crash)
    with pytest.raises(OSError, match="disk full"):
        save_rooms(path, rooms_of([9]))
    assert_same(load_rooms(path), rooms_of([3]))


def test_no_rooms_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rooms: found none, expected at least one"):
        save_rooms(tmp_path / "rooms.safetensors", [])


def test_rooms_of_different_features_are_not_written(tmp_path: Path) -> None:
    rooms = rooms_of([3]) + rooms_of([3], frame_size=5)
    with pytest.raises(ValueError, match=r"frame_features: found sizes \[\(4,\), \(5,\)\]"):
        save_rooms(tmp_path / "rooms.safetensors", rooms)
    assert not list(tmp_path.iterdir())


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"rooms\.safetensors: found no file"):
        load_rooms(tmp_path / "rooms.safetensors")


def test_another_kind_of_safetensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"weight": np.ones(3)}, path)
    with pytest.raises(
        ValueError, match=r"found no schema with \['weight'\], expected limelight-r"
    ):
        load_rooms(path)


def rewritten(path: Path, metadata: dict[str, str | None] | None = None, **arrays: object) -> Path:
    """The file of three rooms of 2, 3 and 4 segments, with some of its parts replaced."""
    save_rooms(path, rooms_of([2, 3, 4]))
    ids = json.dumps([[room.room_id, room.streamer_id] for room in rooms_of([2, 3, 4])])
    fields = {"schema": "limelight-rooms-1", "ids": ids} | (metadata or {})
    parts = {**load_file(path), **arrays}
    kept = {name: part for name, part in parts.items() if part is not None}
    save_file(kept, path, {name: text for name, text in fields.items() if text is not None})
    return path


def test_a_file_that_was_written_again_unchanged_is_read(tmp_path: Path) -> None:
    assert_same(load_rooms(rewritten(tmp_path / "rooms.safetensors")), rooms_of([2, 3, 4]))


@pytest.mark.parametrize(
    ("arrays", "metadata", "text"),
    [
        ({}, {"schema": "limelight-rooms-2"}, "found limelight-rooms-2 with"),
        ({"present": None}, {}, r"found limelight-rooms-1 with \['counts', 'ctr', 'frame_f"),
        ({"lengths": np.array([2, 3])}, {}, "ids: found .*, expected 2 pairs"),
        (
            {"lengths": np.array([2, 3, 3])},
            {},
            r"frame_features: found \(9,\) segments, expected 8",
        ),
        ({"lengths": np.array([12, -5, 2])}, {}, "lengths: found"),
        ({"lengths": np.array([2.0, 3.0, 4.0])}, {}, "lengths: found"),
        ({"lengths": np.array([[2, 3, 4]])}, {}, "lengths: found"),
        ({"ctr": np.zeros(8, np.float32)}, {}, r"ctr: found \(8,\) segments, expected 9"),
        ({"ctr": np.array(0.5, np.float32)}, {}, r"ctr: found \(\) segments, expected 9"),
        (
            {"counts": np.zeros((10, 8), np.float32)},
            {},
            r"counts: found \(10,\) segments, expected 9",
        ),
        (
            {"frame_features": np.zeros((8, 4), np.float16)},
            {},
            r"frame_features: found \(8,\) segments, expected 9",
        ),
        ({}, {"ids": "[]"}, r"ids: found .\[\]., expected 3 pairs"),
        ({}, {"ids": None}, "ids: found"),
        ({}, {"ids": "[1"}, "ids: found"),
        ({}, {"ids": '["ab", "cd", "ef"]'}, "ids: found"),
        ({}, {"ids": '[["a", 1], ["b", 2], ["c", 3]]'}, "ids: found"),
    ],
)
def test_parts_that_do_not_agree_are_refused_by_file(
    tmp_path: Path, arrays: dict[str, object], metadata: dict[str, str | None], text: str
) -> None:
    path = rewritten(tmp_path / "rooms.safetensors", metadata, **arrays)
    with pytest.raises(ValueError, match=rf"rooms\.safetensors: {text}"):
        load_rooms(path)


def test_what_a_room_refuses_is_refused_from_a_file_too(tmp_path: Path) -> None:
    path = rewritten(tmp_path / "rooms.safetensors", ctr=np.full(9, 1.5, np.float32))
    with pytest.raises(ValueError, match=r"room-0: ctr: found 1\.5, expected 0 to 1"):
        load_rooms(path)


@pytest.mark.parametrize("kept", [0, 5, 200, -1])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "rooms.safetensors"
    save_rooms(path, rooms_of([20]))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"rooms\.safetensors: found .*, expected a safetensors"):
        load_rooms(path)
