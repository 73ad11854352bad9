"""Videos as columns: what is seen and written of each, its classes and tags; and their file.

One safetensors file: features as arrays, words as JSON in its metadata.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from limelight.models.datasets.clip_files import is_clip_file, load_clips
from limelight.models.datasets.labelled_clip import LabelledClips

UNKNOWN_CLASS = ""
_SCHEMA = "limelight-videos-1"
_WORDS = ("video_ids", "primary", "secondary", "tags")
_ARRAYS = ("image_features", "text_features", "image_present", "text_present")

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class LabelledVideos:
    """n videos. Features are of any encoders, the same for all; float16 or float32.

    Args:
        video_ids: n ids.
        image_features: (n, F) of the covers; F is 0 where nobody has any.
        text_features: (n, T) of the titles; T is 0 where nobody has any.
        image_present, text_present: (n,) bool; features of what is absent are never looked at.
        primary: n names of coarse classes each, none included.
        secondary: n names of finer classes each.
        tags: n, each of any number.

    Raises:
        ValueError: a column of another length or shape, or features that are not finite where they
            are present.
    """

    video_ids: list[str]
    image_features: Floats
    text_features: Floats
    image_present: NDArray[np.bool_]
    text_present: NDArray[np.bool_]
    primary: list[list[str]]
    secondary: list[list[str]]
    tags: list[list[str]]

    def __post_init__(self) -> None:
        count = len(self.video_ids)
        for name in ("primary", "secondary", "tags", *_ARRAYS):
            length = len(getattr(self, name))
            if length != count:
                raise ValueError(f"{name}: found {length} videos, expected {count}")
        for name in ("image", "text"):
            features, present = getattr(self, f"{name}_features"), getattr(self, f"{name}_present")
            if features.ndim != 2:
                raise ValueError(
                    f"{name}_features: found {features.shape}, expected ({count}, any)"
                )
            if present.shape != (count,) or present.dtype != np.bool_:
                found = f"{present.shape} {present.dtype}"
                raise ValueError(f"{name}_present: found {found}, expected ({count},) bool")
            broken = present & ~np.isfinite(features).all(axis=1)
            if broken.any():
                raise ValueError(
                    f"{name}_features: found NaN or infinity in video {int(broken.argmax())},"
                    " expected finite numbers, or that it is absent"
                )

    def __len__(self) -> int:
        return len(self.video_ids)

    def select(self, rows: Sequence[int] | NDArray[np.integer[Any]]) -> "LabelledVideos":
        """The videos of some rows, in that order."""
        places = [int(row) for row in rows]
        columns: dict[str, Any] = {name: getattr(self, name)[places] for name in _ARRAYS}
        for name in _WORDS:
            column = getattr(self, name)
            columns[name] = [column[at] for at in places]
        return LabelledVideos(**columns)


def from_clips(clips: LabelledClips) -> LabelledVideos:
    """Clips as videos: the cover is the image, the title the text; categories are the classes."""
    return LabelledVideos(
        video_ids=clips.clip_ids,
        image_features=clips.cover_features,
        text_features=clips.title_features,
        image_present=np.ones(len(clips), np.bool_),
        text_present=np.array([bool(title.strip()) for title in clips.titles], np.bool_),
        primary=[[name] if name else [] for name in clips.categories],
        secondary=[[name] if name else [] for name in clips.subcategories],
        tags=clips.tags,
    )


def save_videos(path: Path, videos: LabelledVideos, note: str = "") -> None:
    """Write the videos; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    arrays = {name: np.ascontiguousarray(getattr(videos, name)) for name in _ARRAYS}
    words = {name: getattr(videos, name) for name in _WORDS}
    metadata = {"schema": _SCHEMA, "words": json.dumps(words, ensure_ascii=False), "note": note}
    save_file(arrays, unfinished, metadata)
    unfinished.replace(path)


def load_videos(path: Path) -> LabelledVideos:
    """The videos of a file that `save_videos` wrote, or of one of labelled clips.

    Raises:
        ValueError: another kind of file, a part missing, or columns that `LabelledVideos` refuses.
        OSError: the file cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: found no file, expected labelled videos (.safetensors)")
    if is_clip_file(path):
        return from_clips(load_clips(path))
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            found, names = metadata.get("schema", "no schema"), set(file.keys())
            missing = [name for name in _ARRAYS if name not in names]
            if found != _SCHEMA or missing:
                told = f" without {', '.join(missing)}" if missing else ""
                raise ValueError(f"{path}: found {found}{told}, expected a whole {_SCHEMA}")
            arrays = {name: file.get_tensor(name) for name in _ARRAYS}
    except SafetensorError as error:
        raise ValueError(f"{path}: found {error}, expected a safetensors file") from error
    try:
        return LabelledVideos(**_words(metadata.get("words", "")), **arrays)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _words(text: str) -> dict[str, Any]:
    try:
        words = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"words: found {text[:40]!r}, expected JSON") from error
    if not isinstance(words, dict) or sorted(words) != sorted(_WORDS):
        raise ValueError(f"words: found {text[:40]!r}, expected {', '.join(_WORDS)}")
    if not isinstance(words["video_ids"], list):
        raise ValueError("words.video_ids: expected a list")
    words["video_ids"] = [str(each) for each in words["video_ids"]]
    for name in _WORDS[1:]:
        column = words[name]
        is_lists = isinstance(column, list) and all(
            isinstance(some, list) and all(isinstance(each, str) for each in some)
            for some in column
        )
        if not is_lists:
            raise ValueError(f"words.{name}: found {str(column)[:40]!r}, expected lists of words")
    return words
