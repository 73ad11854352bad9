"""What an evaluation found: numbers with their intervals, ready for JSON, a report or a gate."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measure over all rooms and its bootstrap interval (95 % by default), rooms drawn anew.

    All three are NaN where nothing could be measured.
    """

    value: float
    low: float
    high: float


# What `Measures` are called, in the order of tables; `True` where more is better, None where
# neither is (1 is best for the ratios).
MEASURES: dict[str, bool | None] = {
    "tau": True,  # Kendall's tau over windows of 20 segments, eq. 15
    "room_tau": True,  # over each whole room
    "auc": True,  # of clicks against impressions without one, by predicted CTR
    "log_loss": False,  # nats an impression
    "mean_ratio": None,  # the paper's avg. s/y
    "ratio_of_means": None,  # predicted over measured, 1 is calibrated
    "calibration_error": False,  # mean distance of the reliability curve's bins from the diagonal
    "map": True,  # mean average precision of each room's best segments
    "hit_at_1": True,  # rooms whose best segment by prediction is one of the best
    "precision": True,  # of highlights, against the true intervals
    "recall": True,  # of the true intervals
    "time_to_detect_s": False,  # from an interval's start to its highlight's opening
    "highlights_an_hour": None,  # a room
}


@dataclass(frozen=True, slots=True)
class ModelResult:
    """One model on one set of rooms; `reliability` is (mean predicted, mean measured, impressions)
    of each bin of the reliability curve."""

    measures: dict[str, Estimate]
    reliability: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """Model `of` minus model `minus` on the same rooms, paired.

    `p_value` is two-sided, of no difference, by random swaps of the two models room by room.
    """

    of: str
    minus: str
    measures: dict[str, Estimate]
    p_value: dict[str, float]


@dataclass(frozen=True, slots=True)
class SliceResult:
    """The rooms, or segments, of one value of one kind: category, size, missing modality, hour."""

    kind: str
    value: str
    rooms: int
    segments: int
    models: dict[str, ModelResult]
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """`whole` is the slice of everything, `slices` its parts."""

    models: tuple[str, ...]
    whole: SliceResult
    slices: tuple[SliceResult, ...]
    windows: int
    resamples: int
    seed: int
    confidence: float
