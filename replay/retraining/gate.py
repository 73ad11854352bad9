"""May the candidate replace the champion? What is asked of it, and what was found."""

from dataclasses import asdict, dataclass
from typing import Any

from limelight.replay.evaluation.result import Difference, EvaluationResult, SliceResult
from limelight.streams.settings import RetrainingSettings


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is asked: what, and what was found; `passed` if that is enough."""

    name: str
    found: str
    expected: str
    passed: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """Passed if every check has."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def reason(self) -> str:
        """One line: what failed, or everything that was asked."""
        told = [check for check in self.checks if not check.passed] or list(self.checks)
        return "; ".join(
            f"{check.name}: found {check.found}, expected {check.expected}" for check in told
        )

    def as_json(self) -> dict[str, Any]:
        checks = [asdict(check) for check in self.checks]
        return {"passed": self.passed, "reason": self.reason, "checks": checks}


def nothing_seen(settings: RetrainingSettings) -> Verdict:
    """No live window was scored by both, or none has a label."""
    return Verdict((_windows(0, settings.min_shadow_windows),))


def offline_gate(
    result: EvaluationResult, champion: str, candidate: str, settings: RetrainingSettings
) -> Verdict:
    """On rooms that neither has learned from, the later ones.

    Better by a margin, and with confidence not worse; calibrated; no slice worse by more than a
    bound and with confidence worse.
    """
    difference = _difference(result.whole, candidate, champion)
    tau = difference.measures["tau"]
    checks = [
        _windows(result.windows, settings.min_windows),
        Check(
            "tau above the champion's",
            f"{tau.value:+.4f}",
            f"at least {settings.margin:+g}",
            tau.value >= settings.margin,
        ),
        Check(
            f"lower end of its {result.confidence:.0%} interval",
            f"{tau.low:+.4f}",
            "at least 0",
            tau.low >= 0,
        ),
        _calibration(result, candidate, settings),
    ]
    for each in result.slices:
        if each.rooms < settings.min_slice_rooms:
            continue
        change = _difference(each, candidate, champion).measures["tau"]
        bound = -settings.slice_bound
        # Small slices scatter: a fall counts where chance alone does not explain it.
        if change.value < bound and change.high < 0:
            name = f"tau above the champion's where {each.kind} is {each.value}"
            checks.append(Check(name, f"{change.value:+.4f}", f"at least {bound:+g}", False))
    return Verdict(tuple(checks))


def shadow_gate(
    result: EvaluationResult, champion: str, candidate: str, settings: RetrainingSettings
) -> Verdict:
    """On live rooms, scored by both side by side: what the offline figures promised holds."""
    tau = _difference(result.whole, candidate, champion).measures["tau"]
    bound = -settings.shadow_bound
    return Verdict(
        (
            _windows(result.windows, settings.min_shadow_windows),
            Check(
                "tau above the champion's on live rooms",
                f"{tau.value:+.4f}",
                f"at least {bound:+g}",
                tau.value >= bound,
            ),
            Check(
                f"upper end of its {result.confidence:.0%} interval",
                f"{tau.high:+.4f}",
                "at least 0",
                tau.high >= 0,
            ),
            _calibration(result, candidate, settings),
        )
    )


def _windows(found: int, least: int) -> Check:
    return Check("windows", str(found), f"at least {least}", found >= least)


def _calibration(result: EvaluationResult, candidate: str, settings: RetrainingSettings) -> Check:
    ratio = result.whole.models[candidate].measures["ratio_of_means"].value
    low, high = settings.calibration_low, settings.calibration_high
    return Check(
        "mean predicted over mean measured CTR",
        f"{ratio:.3f}",
        f"{low:g} to {high:g}",
        low <= ratio <= high,
    )


def _difference(of_slice: SliceResult, candidate: str, champion: str) -> Difference:
    return next(
        each for each in of_slice.differences if (each.of, each.minus) == (candidate, champion)
    )
