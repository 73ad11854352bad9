"""All measurements of a plan, in order."""

from collections.abc import Callable, Collection

from limelight.engine.bench import ceilings, encoders, following, serving, step
from limelight.engine.bench.ceilings import Ceilings
from limelight.engine.bench.plan import Plan
from limelight.engine.bench.report import Section

PARTS: dict[str, Callable[[Plan, Ceilings], list[Section]]] = {
    "step": step.measure,
    "networks": following.measure,
    "encoders": encoders.measure,
    "serving": serving.measure,
}


def run(
    plan: Plan, only: Collection[str] = (), *, tell: Callable[[Section], object]
) -> list[Section]:
    """The sections of all parts, or of those named; each is told as soon as it is there.

    Raises:
        ValueError: see `check_parts`.
    """
    check_parts(only)
    found, section = ceilings.measure(plan)
    sections = [section]
    tell(section)
    for name, measure in PARTS.items():
        if not only or name in only:
            for section in measure(plan, found):
                sections.append(section)
                tell(section)
    return sections


def check_parts(names: Collection[str]) -> None:
    """Passes if there are parts of these names.

    Raises:
        ValueError: else.
    """
    if unknown := set(names) - set(PARTS):
        raise ValueError(f"only: found {sorted(unknown)}, expected some of {sorted(PARTS)}")
