"""What popularity is forecast from: many videos' features, attributes, early days and outcomes.

Shape letters: n videos, P numeric attributes, C categorical ones, D days of the early trend, V
counts of each day, K counts of the outcome.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

CONTENTS = ("text", "audio", "vision")
UNKNOWN = 0
_SCHEMA = "limelight-popularity-1"
_ARRAYS = (*CONTENTS, "present", "numbers", "categories", "trend", "trend_present", "targets")
_NAMES = (
    "video_ids",
    "number_names",
    "category_names",
    "vocabularies",
    "trend_names",
    "target_names",
)

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class PopularityVideos:
    """n videos; what a whole set lacks has a size of 0.

    Args:
        video_ids: n ids; rows of one id are of one video.
        text, audio, vision: (n, size) features of any sizes.
        present: (n, 3) bool, columns as `CONTENTS`; what a masked feature holds is never looked at.
        numbers: (n, P) numeric attributes, raw, 0 or more; NaN where unknown.
        categories: (n, C) integers: 0 unknown, k the value `vocabularies[column][k - 1]`.
        trend: (n, D, V) counts of the first days, in order.
        trend_present: (n, D) bool; what a masked day holds is never looked at.
        targets: (n, K) counts that were reached in the end; K is 0 where nobody knows them yet.
        number_names, category_names, trend_names, target_names: of the columns.

    Raises:
        ValueError: shapes that do not fit, codes outside of their vocabulary, or something that is
            not finite or negative where it must not be.
    """

    video_ids: tuple[str, ...]
    text: Floats
    audio: Floats
    vision: Floats
    present: NDArray[np.bool_]
    numbers: Floats
    categories: NDArray[np.int64]
    trend: Floats
    trend_present: NDArray[np.bool_]
    targets: Floats
    number_names: tuple[str, ...]
    category_names: tuple[str, ...]
    vocabularies: tuple[tuple[str, ...], ...]
    trend_names: tuple[str, ...]
    target_names: tuple[str, ...]

    def __post_init__(self) -> None:
        n, days = len(self.video_ids), self.trend_present.shape[-1]
        if n == 0:
            raise ValueError("videos: found none, expected at least one")
        for name, shape in (
            ("text", (n, None)),
            ("audio", (n, None)),
            ("vision", (n, None)),
            ("present", (n, len(CONTENTS))),
            ("numbers", (n, len(self.number_names))),
            ("categories", (n, len(self.category_names))),
            ("trend", (n, days, len(self.trend_names))),
            ("trend_present", (n, days)),
            ("targets", (n, len(self.target_names))),
        ):
            found = getattr(self, name).shape
            if len(found) != len(shape) or any(
                wanted not in (None, size) for size, wanted in zip(found, shape, strict=True)
            ):
                expected = tuple("any" if size is None else size for size in shape)
                raise ValueError(f"{name}: found {found}, expected {expected}")
        for name in ("present", "trend_present"):
            if getattr(self, name).dtype != np.bool_:
                raise ValueError(f"{name}: found {getattr(self, name).dtype}, expected bool")
        self._check_values()

    def __len__(self) -> int:
        return len(self.video_ids)

    def take(self, rows: NDArray[Any]) -> "PopularityVideos":
        """The videos at these places, in this order (or where a mask is True).

        Raises:
            ValueError: none of them.
        """
        changed = {name: getattr(self, name)[rows] for name in _ARRAYS}
        same = {each.name: getattr(self, each.name) for each in fields(self)}
        video_ids = tuple(np.array(self.video_ids, object)[rows].tolist())
        return PopularityVideos(**{**same, **changed, "video_ids": video_ids})

    def _check_values(self) -> None:
        for column, name in enumerate(CONTENTS):
            features, present = getattr(self, name), self.present[:, column]
            if present.any() and not features.shape[1]:
                raise ValueError(f"{name}: found no numbers, expected some where it is present")
            self._refuse(name, present & ~np.isfinite(features).all(axis=1), "finite numbers")
        known = ~np.isnan(self.numbers)
        wrong = (known & ~(np.isfinite(self.numbers) & (self.numbers >= 0))).any(axis=1)
        self._refuse("numbers", wrong, "numbers of 0 or more, NaN where unknown")
        if len(self.vocabularies) != len(self.category_names):
            raise ValueError(
                f"vocabularies: found {len(self.vocabularies)}, expected"
                f" {len(self.category_names)} as in category_names"
            )
        if self.categories.dtype.kind not in "iu":
            raise ValueError(f"categories: found {self.categories.dtype}, expected integers")
        sizes = np.array([len(each) for each in self.vocabularies], np.int64)
        wrong = ((self.categories < UNKNOWN) | (self.categories > sizes)).any(axis=1)
        self._refuse("categories", wrong, f"codes from 0 to {sizes.tolist()}")
        is_count = (np.isfinite(self.trend) & (self.trend >= 0)).all(axis=2)
        wrong = (self.trend_present & ~is_count).any(axis=1)
        self._refuse("trend", wrong, "counts of 0 or more, or a masked day")
        wrong = ~(np.isfinite(self.targets) & (self.targets >= 0)).all(axis=1)
        self._refuse("targets", wrong, "counts of 0 or more")

    def _refuse(self, name: str, wrong: NDArray[np.bool_] | np.bool_, expected: str) -> None:
        if wrong.any():
            row = int(np.argmax(wrong))
            found = np.asarray(getattr(self, name)[row]).ravel()[:6].tolist()
            video = self.video_ids[row]
            raise ValueError(f"video {video}: {name}: found {found}, expected {expected}")


def one_video(
    *,
    video_id: str = "",
    text: Sequence[float] | Floats | None = None,
    audio: Sequence[float] | Floats | None = None,
    vision: Sequence[float] | Floats | None = None,
    numbers: Mapping[str, float | None] | None = None,
    categories: Mapping[str, str | None] | None = None,
    trend: Sequence[Mapping[str, float]] = (),
) -> PopularityVideos:
    """One video of plain values, to forecast; whatever is not known may be left out.

    Args:
        text, audio, vision: its feature, None where there is none.
        numbers, categories: by the attribute's name.
        trend: the counts of its first days by name, every day with the same names.

    Raises:
        ValueError: as `PopularityVideos`, or days with other names than the first.
    """
    given = dict(numbers or {})
    values = {name: value for name, value in (categories or {}).items() if value is not None}
    names = tuple(trend[0]) if trend else ()
    for day, counts in enumerate(trend):
        if counts.keys() != set(names):
            raise ValueError(f"trend, day {day}: found {sorted(counts)}, expected {sorted(names)}")
    found = [np.nan if each is None else each for each in given.values()]
    return PopularityVideos(
        (video_id,),
        text=_one_row(text),
        audio=_one_row(audio),
        vision=_one_row(vision),
        present=np.array([[each is not None for each in (text, audio, vision)]]),
        numbers=np.array([found], np.float64).reshape(1, len(given)),
        categories=np.ones((1, len(values)), np.int64),
        trend=np.array([[[day[name] for name in names] for day in trend]], np.float64).reshape(
            1, len(trend), len(names)
        ),
        trend_present=np.ones((1, len(trend)), np.bool_),
        targets=np.zeros((1, 0)),
        number_names=tuple(given),
        category_names=tuple(values),
        vocabularies=tuple((value,) for value in values.values()),
        trend_names=names,
        target_names=(),
    )


def _one_row(feature: Sequence[float] | Floats | None) -> Floats:
    """(1, size), of size 0 where there is none."""
    return np.asarray([] if feature is None else feature, np.float32)[None]


def save_popularity_videos(path: Path, videos: PopularityVideos, note: str = "") -> None:
    """Write the videos as safetensors, names as JSON in its metadata; whole or not at all."""
    arrays = {name: np.ascontiguousarray(getattr(videos, name)) for name in _ARRAYS}
    names = {name: getattr(videos, name) for name in _NAMES}
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    save_file(arrays, unfinished, {"schema": _SCHEMA, "names": json.dumps(names), "note": note})
    unfinished.replace(path)


def load_popularity_videos(path: Path) -> PopularityVideos:
    """The videos of a file that `save_popularity_videos` wrote.

    Raises:
        ValueError: another kind of file, or videos that `PopularityVideos` refuses.
        OSError: the file cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: found no file, expected videos (.safetensors)")
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            held = set(file.keys())
            if metadata.get("schema") != _SCHEMA or not set(_ARRAYS) <= held:
                found = metadata.get("schema", "no schema")
                raise ValueError(
                    f"{path}: found {found} with {sorted(held)}, expected {_SCHEMA} with"
                    f" {sorted(_ARRAYS)}"
                )
            arrays = {name: file.get_tensor(name) for name in _ARRAYS}
    except SafetensorError as error:
        raise ValueError(f"{path}: found {error}, expected a safetensors file") from error
    try:
        return PopularityVideos(**arrays, **_checked_names(metadata.get("names", "")))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _checked_names(text: str) -> dict[str, Any]:
    try:
        names = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"names: found {text[:40]!r}, expected JSON") from error
    if not isinstance(names, dict) or names.keys() != set(_NAMES):
        raise ValueError(f"names: found {text[:40]!r}, expected an object with {list(_NAMES)}")
    lists = [names[name] for name in _NAMES if name != "vocabularies"]
    vocabularies = names["vocabularies"]
    if not isinstance(vocabularies, list):
        raise ValueError("names: vocabularies: found no list, expected a list of lists")
    for each in (*lists, *vocabularies):
        if not isinstance(each, list) or not all(isinstance(value, str) for value in each):
            raise ValueError(f"names: found {str(each)[:40]!r}, expected lists of texts")
    changed = {name: tuple(names[name]) for name in _NAMES if name != "vocabularies"}
    return {**changed, "vocabularies": tuple(tuple(each) for each in vocabularies)}


def encoded_categories(
    columns: Sequence[Sequence[str]],
) -> tuple[NDArray[np.int64], tuple[tuple[str, ...], ...]]:
    """(n, C) codes of C columns of n values each, and the sorted vocabularies; "" is unknown."""
    codes, vocabularies = [], []
    for column in columns:
        vocabulary = tuple(sorted(set(column) - {""}))
        places = {value: code for code, value in enumerate(vocabulary, start=1)}
        codes.append([places.get(value, UNKNOWN) for value in column])
        vocabularies.append(vocabulary)
    n = len(columns[0]) if columns else 0
    return np.array(codes, np.int64).reshape(len(columns), n).T, tuple(vocabularies)
