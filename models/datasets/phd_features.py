"""One video's features for PHD, read from a safetensors file without loading all of it.

A history takes a few rows out of each of twenty videos: only these are read.
"""

from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from limelight.models.datasets.malformed import Place

Floats = NDArray[np.float32]


class VideoFeatures:
    """A video's feature file, open in a `with` block and read by rows.

    Raises:
        MalformedDataset: on entering, if the file is no safetensors, or its times do not rise.
    """

    def __init__(self, path: Path) -> None:
        self._place = Place(path)
        self.times_s: NDArray[np.float64] = np.zeros(0)

    def __enter__(self) -> "VideoFeatures":
        try:
            self._file = cast(Any, safe_open(self._place.path, framework="numpy"))
            self._names = set(self._file.keys())
        except (SafetensorError, OSError) as error:
            raise self._place.malformed(f"no safetensors file ({error})", "one") from error
        for name in ("frame_features", "times_s"):
            if name not in self._names:
                raise self._place.malformed(f"no {name}", "frame_features and times_s")
        times_s = self._file.get_tensor("times_s").astype(np.float64)
        rises = times_s.ndim == 1 and len(times_s) and (np.diff(times_s) > 0).all()
        if not rises or not np.isfinite(times_s).all():
            found = f"times_s of shape {times_s.shape} that do not rise, or are not finite"
            raise self._place.malformed(found, "one or more finite times, each later")
        self.times_s = times_s
        return self

    def __exit__(self, *error: object) -> None:
        self._file.__exit__(*error)

    def rows(self, name: str, start: int, end: int) -> Floats:
        """(end - start, size) float32; of size 0 where the file has no `name`.

        Raises:
            MalformedDataset: another shape than a row for each time, or numbers that are not
                finite.
        """
        if name not in self._names:
            return np.zeros((end - start, 0), np.float32)
        values = self._file.get_slice(name)
        shape = tuple(values.get_shape())
        if len(shape) != 2 or shape[0] != len(self.times_s) or not shape[1]:
            expected = f"({len(self.times_s)}, any) as there are times_s"
            raise self._place.malformed(f"{name} of shape {shape}", expected)
        rows: Floats = np.asarray(values[start:end], np.float32)
        if not np.isfinite(rows).all():
            raise self._place.malformed(f"{name} with NaN or infinity", "finite numbers")
        return rows
