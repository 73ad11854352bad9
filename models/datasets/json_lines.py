"""The objects of a JSON lines file, and checked look-ups in them."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limelight.models.datasets.malformed import Place, shown
from limelight.models.datasets.text_lines import text_lines

Row = Mapping[str, object]


def json_rows(path: Path) -> Iterator[tuple[Place, Row]]:
    """Yields (place, object) of every line that is not blank.

    Raises:
        MalformedDataset: a line that is too long, not UTF-8 or not a JSON object.
    """
    for line in text_lines(path):
        yield line.place, json_object(line.place, line.text)


def json_object(place: Place, text: str) -> Row:
    """The object `text` holds. NaN and Infinity are read, as Python's own json writes them.

    Raises:
        MalformedDataset: broken JSON, or something else than an object.
    """
    value = json_value(place, text)
    if not isinstance(value, dict):
        raise place.malformed(shown(value), "a JSON object")
    return value


def json_value(place: Place, text: str) -> object:
    """Whatever JSON `text` holds.

    Raises:
        MalformedDataset: broken JSON, also where it is nested too deep.
    """
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise place.malformed(f"broken JSON ({error})", "JSON") from error
    return value


def required(place: Place, row: Row, name: str) -> object:
    """What stands under `name`.

    Raises:
        MalformedDataset: nothing, or null.
    """
    value = row.get(name)
    if value is None:
        raise place.malformed(f"no {name}", f"{name} in every line")
    return value


def text_of(place: Place, row: Row, name: str) -> str:
    """The text under `name`.

    Raises:
        MalformedDataset: it is missing, empty or no text.
    """
    value = required(place, row, name)
    if not isinstance(value, str) or not value:
        raise place.malformed_value(name, value, "text")
    return value


def whole_number_of(place: Place, row: Row, name: str) -> int:
    """The whole number under `name`; 2.0 counts as 2.

    Raises:
        MalformedDataset: it is missing or no whole number.
    """
    value = required(place, row, name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise place.malformed_value(name, value, "a whole number")
    return value


def positive_number_of(place: Place, row: Row, name: str) -> float:
    """The number under `name`.

    Raises:
        MalformedDataset: it is missing, no number, not finite, or not above 0.
    """
    value = required(place, row, name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value < math.inf:  # type: ignore[operator]
        raise place.malformed_value(name, value, "a finite number above 0")
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError as error:
        raise place.malformed_value(name, value, "a finite number above 0") from error


def numbers_of(
    place: Place, row: Row, name: str, shape: tuple[int | None, ...]
) -> NDArray[np.float64]:
    """The nested lists of finite numbers under `name` as an array; None in `shape` is any size.

    Raises:
        MalformedDataset: missing, not numbers, of another shape, or not finite.
    """
    value = required(place, row, name)
    sizes = " x ".join("any" if size is None else str(size) for size in shape)
    expected = f"a list of {sizes} finite numbers"
    try:
        array: NDArray[Any] = np.asarray(value)
    except (ValueError, OverflowError, RecursionError) as error:
        raise place.malformed_value(name, value, expected) from error
    if value == [] and shape[0] in (None, 0):
        return np.zeros([size or 0 for size in shape])
    if array.dtype.kind not in "iuf":
        raise place.malformed_value(name, value, expected)
    fits = array.ndim == len(shape) and all(
        wanted in (None, found) for found, wanted in zip(array.shape, shape, strict=True)
    )
    if not fits:
        raise place.malformed(f"{name} of shape {array.shape}", expected)
    if not np.isfinite(array).all():
        raise place.malformed(f"{name} with NaN or infinity", expected)
    return array.astype(np.float64)
