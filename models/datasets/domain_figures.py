"""A figure for each domain of a benchmark, and their mean."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DomainFigures:
    """Mean average precision in [0, 1].

    Args:
        mean_average_precision: the mean over domains, each counting once; what papers print.
        by_domain: the mean over the videos of each domain, in the order they first appeared.
        num_videos: how many videos each domain has.
    """

    mean_average_precision: float
    by_domain: dict[str, float]
    num_videos: dict[str, int]


def over_domains(precisions: Iterable[tuple[str, float]]) -> DomainFigures:
    """The figures of videos, given as (domain, average precision).

    Raises:
        ValueError: there are none.
    """
    videos: dict[str, list[float]] = {}
    for domain, precision in precisions:
        videos.setdefault(domain, []).append(precision)
    if not videos:
        raise ValueError("found no videos, expected at least one")
    by_domain = {domain: sum(values) / len(values) for domain, values in videos.items()}
    return DomainFigures(
        mean_average_precision=sum(by_domain.values()) / len(by_domain),
        by_domain=by_domain,
        num_videos={domain: len(values) for domain, values in videos.items()},
    )
