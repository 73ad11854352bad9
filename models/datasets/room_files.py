"""Labelled rooms on disk: one safetensors file, all rooms' segments after each other."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from limelight.models.datasets.labelled_room import LabelledRoom

_ARRAYS = ("frame_features", "text_features", "present", "ctr", "counts")
_SCHEMA = "limelight-rooms-1"


def save_rooms(path: Path, rooms: Sequence[LabelledRoom], note: str = "") -> None:
    """Write the rooms; the file appears whole or not at all.

    Raises:
        ValueError: no rooms, or rooms whose features differ in size.
    """
    if not rooms:
        raise ValueError("rooms: found none, expected at least one")
    arrays: dict[str, NDArray[Any]] = {}
    for name in _ARRAYS:
        parts = [getattr(room, name) for room in rooms]
        sizes = {part.shape[1:] for part in parts}
        if len(sizes) > 1:
            raise ValueError(f"{name}: found sizes {sorted(sizes)}, expected one size")
        arrays[name] = np.ascontiguousarray(np.concatenate(parts))
    arrays["lengths"] = np.array([len(room) for room in rooms], np.int64)
    ids = [[room.room_id, room.streamer_id] for room in rooms]
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    save_file(arrays, unfinished, {"schema": _SCHEMA, "ids": json.dumps(ids), "note": note})
    unfinished.replace(path)


def load_rooms(path: Path) -> list[LabelledRoom]:
    """The rooms of a file that `save_rooms` wrote.

    Raises:
        ValueError: another kind of file, a part missing, or rooms that `LabelledRoom` refuses.
        OSError: the file cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: found no file, expected labelled rooms (.safetensors)")
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            names = set(file.keys())
            if metadata.get("schema") != _SCHEMA or not {*_ARRAYS, "lengths"} <= names:
                found = metadata.get("schema", "no schema")
                raise ValueError(
                    f"{path}: found {found} with {sorted(names)}, expected {_SCHEMA}"
                    f" with {sorted([*_ARRAYS, 'lengths'])}"
                )
            arrays = {name: file.get_tensor(name) for name in (*_ARRAYS, "lengths")}
    except SafetensorError as error:
        raise ValueError(f"{path}: found {error}, expected a safetensors file") from error
    lengths = arrays.pop("lengths")
    if lengths.ndim != 1 or lengths.dtype != np.int64 or not (lengths > 0).all():
        raise ValueError(f"{path}: lengths: found {lengths}, expected whole numbers above 0")
    ids = _checked_ids(path, metadata.get("ids", ""), len(lengths))
    for name, array in arrays.items():
        if array.shape[:1] != (lengths.sum(),):
            raise ValueError(
                f"{path}: {name}: found {array.shape[:1]} segments, expected {lengths.sum()}"
                " as in lengths"
            )
    ends = np.cumsum(lengths)
    return [
        LabelledRoom(room_id, streamer_id, **{n: a[end - size : end] for n, a in arrays.items()})
        for (room_id, streamer_id), size, end in zip(ids, lengths, ends, strict=True)
    ]


def _checked_ids(path: Path, text: str, rooms: int) -> list[list[str]]:
    try:
        ids = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: ids: found {text[:40]!r}, expected JSON") from error
    is_pairs = isinstance(ids, list) and all(
        isinstance(pair, list) and [type(each) for each in pair] == [str, str] for pair in ids
    )
    if not is_pairs or len(ids) != rooms:
        raise ValueError(
            f"{path}: ids: found {text[:40]!r}, expected {rooms} pairs of room and streamer"
        )
    return cast(list[list[str]], ids)
