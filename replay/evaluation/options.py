"""How an evaluation is made: everything that its numbers depend on besides rooms and models."""

from dataclasses import dataclass, field

from limelight.streams.settings import DetectorSettings

# The kinds of `SliceResult`, in the order of reports.
SLICES = ("category", "size", "missing modality", "hour")


@dataclass(frozen=True, slots=True)
class EvaluationOptions:
    """
    Args:
        resamples: how often rooms are drawn anew, and how often models are swapped.
        confidence: share of the resamples that an interval holds.
        seed: of all draws.
        window_length: segments of a window, for tau.
        top_share: share of a room's measured segments whose CTR counts as best.
        tolerance: segments by which a highlight may miss an interval and still match it.
        reliability_bins: of as many impressions each, as far as equal predictions allow.
        detector: what the live detector would run with.
        energies: models whose numbers are comment energies; the detector has a floor of their own.
        slices: which kinds to look at apart; empty for none.
        threads: for the kernels.

    Raises:
        ValueError: a number out of its range, or an unknown kind of slice.
    """

    resamples: int = 1_000
    confidence: float = 0.95
    seed: int = 0
    window_length: int = 20
    top_share: float = 0.2
    tolerance: int = 1
    reliability_bins: int = 10
    detector: DetectorSettings = field(default_factory=DetectorSettings)
    energies: frozenset[str] = frozenset({"energy"})
    slices: tuple[str, ...] = SLICES
    threads: int = 1

    def __post_init__(self) -> None:
        for name, least in (
            ("resamples", 1),
            ("window_length", 2),
            ("tolerance", 0),
            ("reliability_bins", 1),
            ("threads", 1),
        ):
            if getattr(self, name) < least:
                found = getattr(self, name)
                raise ValueError(f"{name}: found {found}, expected {least} or more")
        for name in ("confidence", "top_share"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name}: found {getattr(self, name)}, expected between 0 and 1")
        if unknown := set(self.slices) - set(SLICES):
            raise ValueError(f"slices: found {sorted(unknown)}, expected some of {list(SLICES)}")
