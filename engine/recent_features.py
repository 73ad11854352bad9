"""Features of what was encoded lately, so that the same picture or text is encoded once.

A paused stream, a standing picture or a room that says the same thing again is common; a digest of
the content finds it again in any room.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


class RecentFeatures:
    """At most `capacity` features by digest; the least recently used goes first."""

    def __init__(self, capacity: int) -> None:
        if capacity < 0:
            raise ValueError(f"capacity: found {capacity}, expected 0 or more")
        self.encoded = 0
        self.reused = 0
        self._capacity = capacity
        self._features: OrderedDict[bytes, NDArray[np.generic]] = OrderedDict()

    def encode(
        self,
        items: Sequence[T],
        digests: Sequence[bytes],
        encode: Callable[[list[T]], NDArray[np.generic]],
    ) -> list[NDArray[np.generic]]:
        """A feature for each item, in order; `encode` is asked once for those that are new."""
        missing: dict[bytes, T] = {}
        for item, digest in zip(items, digests, strict=True):
            if digest not in self._features:
                missing.setdefault(digest, item)
        fresh: dict[bytes, NDArray[np.generic]] = {}
        if missing:
            fresh = dict(zip(missing, encode(list(missing.values())), strict=True))
        self.encoded += len(missing)
        self.reused += len(items) - len(missing)
        found = []
        for digest in digests:
            feature = fresh[digest] if digest in fresh else self._features[digest]
            self._features[digest] = feature
            self._features.move_to_end(digest)
            found.append(feature)
        while len(self._features) > self._capacity:
            self._features.popitem(last=False)
        return found
