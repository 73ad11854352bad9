"""Where the time of `Scorer.score` goes, by a clock around each of its parts."""

from collections.abc import Callable
from functools import wraps
from time import perf_counter
from types import TracebackType
from typing import Any

from limelight.engine import scorer
from limelight.engine.bench.timing import wait_for_device
from limelight.engine.incremental import IncrementalDecoder
from limelight.engine.networks import Networks
from limelight.engine.room_encodings import RoomEncodings
from limelight.engine.room_network import RoomNetwork
from limelight.engine.text_encoder import TextEncoder

# What a part calls of the others is not counted as its own.
_PARTS: tuple[tuple[Any, str, str], ...] = (
    (scorer, "check_window", "check"),
    (RoomEncodings, "store", "store"),
    (TextEncoder, "encode", "encode texts"),
    (RoomEncodings, "newest_input", "gather"),
    (Networks, "logits", "perceive"),
    (IncrementalDecoder, "decode_step", "decode"),
    (RoomNetwork, "modality_shares", "explain"),
    (scorer, "energies", "energies"),
    (scorer, "comment_lags", "comment lags"),
)
REST = "the rest: order, slots, scores"


class Stages:
    """As a context, as often as wanted: everything that is scored inside is timed by part.

    It puts a clock around functions of modules and classes, so only one may be open at a time. On a
    GPU each part waits for the device, which they otherwise do not.
    """

    def __init__(self) -> None:
        self._seconds = dict.fromkeys((name for _, _, name in _PARTS), 0.0)
        self._inner: list[float] = []
        self._originals: list[tuple[Any, str, Any]] = []

    def seconds(self, total: float) -> dict[str, float]:
        """Of each part, and what is left of the total."""
        return {**self._seconds, REST: total - sum(self._seconds.values())}

    def __enter__(self) -> "Stages":
        for owner, attribute, name in _PARTS:
            original = getattr(owner, attribute)
            self._originals.append((owner, attribute, original))
            setattr(owner, attribute, self._timed(original, name))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._originals:
            setattr(*self._originals.pop())

    def _timed(self, original: Callable[..., Any], name: str) -> Callable[..., Any]:
        @wraps(original)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._inner.append(0.0)
            start = perf_counter()
            try:
                result = original(*args, **kwargs)
                wait_for_device()
                return result
            finally:
                spent = perf_counter() - start
                self._seconds[name] += spent - self._inner.pop()
                if self._inner:
                    self._inner[-1] += spent

        return timed
