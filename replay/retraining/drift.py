"""Has what the platform shows, says and clicks changed since the champion learned?

Two sets of rooms are compared by the population stability index over deciles of the older one,

    PSI = sum((q_i - p_i) * ln(q_i / p_i))

as scorecards are watched: below 0.1 nothing has changed, above 0.25 it has. What a champion learned
from is kept with it as deciles alone, a few KB.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from limelight.models.datasets.labelled_room import COUNT_NAMES, LabelledRoom

DISTRIBUTION = "distribution.json"
BINS = 10
DRIFTED = 0.25
# A bin that one of the sets never meets would make the index infinite.
_LEAST_SHARE = 1e-4
_LARGEST = ", largest"
_FEATURES = ("frame_features", "text_features")

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Deciles:
    """The inner edges of at most ten bins, and the share of the values in each."""

    edges: list[float]
    shares: list[float]


@dataclass(frozen=True, slots=True)
class Drift:
    """PSI by name. Of features it is over all numbers of one: the mean, and the largest.

    The largest of so many is above the limit by chance alone, so it never counts as drifted.
    """

    psi: dict[str, float]
    missing: tuple[str, ...] = ()

    @property
    def drifted(self) -> list[str]:
        """What has changed, the most first."""
        found = [
            name for name, psi in self.psi.items() if psi >= DRIFTED and not name.endswith(_LARGEST)
        ]
        return sorted(found, key=lambda name: -self.psi[name])

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"drifted": self.drifted}


Distribution = dict[str, list[Deciles]]


def distribution(rooms: Sequence[LabelledRoom], predicted: Sequence[Floats]) -> Distribution:
    """What rooms are like: features, counts, CTR, and the CTR that a model says of them."""
    found = {
        name: [_deciles(column) for column in values.T]
        for name, values in _values(rooms, predicted).items()
    }
    return {name: each for name, each in found.items() if each}


def encoded_distribution(found: Mapping[str, Sequence[Deciles]]) -> bytes:
    return orjson.dumps({name: [asdict(each) for each in some] for name, some in found.items()})


def decoded_distribution(data: bytes) -> Distribution:
    """
    Raises:
        ValueError: not what `encoded_distribution` gives.
    """
    try:
        return {
            str(name): [Deciles(list(each["edges"]), list(each["shares"])) for each in some]
            for name, some in orjson.loads(data).items()
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"distribution: found {error!r}, expected edges and shares") from error


def drift(
    before: Mapping[str, Sequence[Deciles]],
    rooms: Sequence[LabelledRoom],
    predicted: Sequence[Floats],
) -> Drift:
    """How far rooms are from those of a distribution.

    Args:
        predicted: (S,) CTRs of each room, said by the model that the distribution is of.
    """
    psi: dict[str, float] = {}
    values = _values(rooms, predicted)
    missing = []
    for name, deciles in before.items():
        columns = values.get(name)
        if columns is None or columns.shape[1] != len(deciles) or not len(columns):
            missing.append(name)
            continue
        found = [_psi(each, column) for each, column in zip(deciles, columns.T, strict=True)]
        if len(found) == 1:
            psi[name] = found[0]
        else:
            psi[f"{name}, mean"] = float(np.mean(found))
            psi[f"{name}{_LARGEST}"] = float(np.max(found))
    return Drift(psi, tuple(missing))


def _values(rooms: Sequence[LabelledRoom], predicted: Sequence[Floats]) -> dict[str, Floats]:
    """Each thing that is watched as (n, columns), NaN and what is missing left out."""
    present = np.concatenate([room.present for room in rooms])
    found: dict[str, Floats] = {}
    for column, name in enumerate(_FEATURES):
        features = np.concatenate([getattr(room, name) for room in rooms]).astype(np.float64)
        found[name] = features[present[:, column]]
        found[name.replace("features", "missing")] = 1.0 - present[:, column : column + 1]
    ctr = np.concatenate([room.ctr for room in rooms]).astype(np.float64)
    found["measured CTR"] = ctr[~np.isnan(ctr), None]
    found["predicted CTR"] = np.concatenate(list(predicted))[:, None]
    counts = np.concatenate([room.counts for room in rooms]).astype(np.float64)
    viewers = np.maximum(counts[:, COUNT_NAMES.index("impressions")], 1)
    found["viewers"] = viewers[:, None]
    comments = counts[:, COUNT_NAMES.index("comments")]
    found["comments a viewer"] = (comments / viewers)[:, None]
    return found


def _deciles(values: Floats) -> Deciles:
    if not len(values):
        return Deciles([], [1.0])
    edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
    return Deciles(edges.tolist(), _shares(edges, values).tolist())


def _shares(edges: Floats, values: Floats) -> Floats:
    counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
    shares: Floats = counts / max(1, len(values))
    return shares


def _psi(before: Deciles, values: Floats) -> float:
    p = np.maximum(np.array(before.shares), _LEAST_SHARE)
    q = np.maximum(_shares(np.array(before.edges), values), _LEAST_SHARE)
    return float(((q - p) * np.log(q / p)).sum())
