"""Numbers of an evaluation for people: names, units and how many digits."""

import math

from limelight.replay.evaluation.result import Difference, Estimate

# What each measure is called in tables, its format, and a factor for that.
_SHOWN = {
    "tau": ("Kendall's tau, windows", "{:.3f}", 1),
    "room_tau": ("Kendall's tau, rooms", "{:.3f}", 1),
    "auc": ("AUC of clicks", "{:.4f}", 1),
    "log_loss": ("log loss", "{:.4f}", 1),
    "mean_ratio": ("mean of s/y", "{:.3f}", 1),
    "ratio_of_means": ("mean s / mean y", "{:.3f}", 1),
    "calibration_error": ("calibration error, points", "{:.2f}", 100),
    "map": ("mAP", "{:.3f}", 1),
    "hit_at_1": ("HIT@1", "{:.3f}", 1),
    "precision": ("highlights: precision", "{:.3f}", 1),
    "recall": ("highlights: recall", "{:.3f}", 1),
    "time_to_detect_s": ("time to detect, s", "{:.0f}", 1),
    "highlights_an_hour": ("highlights a room-hour", "{:.2f}", 1),
}
NOTHING = "–"


def title(measure: str) -> str:
    return _SHOWN[measure][0]


def number(measure: str, value: float, *, signed: bool = False) -> str:
    """The value in the measure's digits; a dash where there is none."""
    _, digits, factor = _SHOWN[measure]
    if math.isnan(value):
        return NOTHING
    text = digits.format(factor * value)
    if float(text) == 0:
        text = text.removeprefix("-")
    return f"+{text}" if signed and float(text) > 0 else text


def interval(measure: str, found: Estimate, *, signed: bool = False) -> str:
    """`low to high`, empty where there is none."""
    if math.isnan(found.low):
        return ""
    low, high = (number(measure, each, signed=signed) for each in (found.low, found.high))
    return f"{low} to {high}"


def p_value(value: float) -> str:
    if math.isnan(value):
        return NOTHING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def is_clear(difference: Difference, measure: str) -> bool:
    """Whether the interval of the difference leaves 0 out."""
    found = difference.measures[measure]
    return found.low > 0 or found.high < 0
