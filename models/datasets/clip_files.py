"""Labelled clips on disk: one safetensors file, words in its metadata."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from limelight.models.datasets.labelled_clip import LabelledClips

_SCHEMA = "limelight-clips-1"
_WORDS = ("clip_ids", "streamer_ids", "titles", "tags", "categories", "subcategories")
_ARRAYS = tuple(each.name for each in fields(LabelledClips) if each.name not in _WORDS)


def save_clips(path: Path, clips: LabelledClips, note: str = "") -> None:
    """Write the clips; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    arrays = {name: np.ascontiguousarray(getattr(clips, name)) for name in _ARRAYS}
    words = {name: getattr(clips, name) for name in _WORDS}
    metadata = {"schema": _SCHEMA, "words": json.dumps(words, ensure_ascii=False), "note": note}
    save_file(arrays, unfinished, metadata)
    unfinished.replace(path)


def load_clips(path: Path) -> LabelledClips:
    """The clips of a file that `save_clips` wrote.

    Raises:
        ValueError: another kind of file, a part missing, or columns that `LabelledClips` refuses.
        OSError: the file cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: found no file, expected labelled clips (.safetensors)")
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            found = metadata.get("schema", "no schema")
            missing = [name for name in _ARRAYS if name not in set(file.keys())]
            if found != _SCHEMA or missing:
                told = f" without {', '.join(missing)}" if missing else ""
                raise ValueError(f"{path}: found {found}{told}, expected a whole {_SCHEMA}")
            arrays = {name: file.get_tensor(name) for name in _ARRAYS}
    except SafetensorError as error:
        raise ValueError(f"{path}: found {error}, expected a safetensors file") from error
    try:
        return LabelledClips(**_words(metadata.get("words", "")), **arrays)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error


def is_clip_file(path: Path) -> bool:
    """Whether the file says that it holds labelled clips."""
    if path.suffix != ".safetensors" or not path.is_file():
        return False
    try:
        with safe_open(path, "numpy") as file:
            return (file.metadata() or {}).get("schema") == _SCHEMA
    except SafetensorError:
        return False


def _words(text: str) -> dict[str, Any]:
    try:
        words = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"words: found {text[:40]!r}, expected JSON") from error
    if not isinstance(words, dict) or sorted(words) != sorted(_WORDS):
        raise ValueError(f"words: found {text[:40]!r}, expected {', '.join(_WORDS)}")
    for name, column in words.items():
        kind = list if name == "tags" else str
        if not isinstance(column, list) or not all(isinstance(each, kind) for each in column):
            raise ValueError(f"words.{name}: found {str(column)[:40]!r}, expected a list of words")
    if not all(isinstance(tag, str) for some in words["tags"] for tag in some):
        raise ValueError("words.tags: found some that are no words, expected lists of words")
    return words
