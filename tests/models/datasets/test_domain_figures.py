import pytest

from limelight.models.datasets.domain_figures import over_domains


def test_every_domain_counts_once_however_many_videos_it_has() -> None:
    figures = over_domains([("dog", 0.0), ("surfing", 1.0), ("dog", 0.5), ("dog", 0.1)])
    assert figures.by_domain == {"dog": pytest.approx(0.2), "surfing": 1.0}
    assert figures.num_videos == {"dog": 3, "surfing": 1}
    assert figures.mean_average_precision == pytest.approx(0.6)


def test_the_mean_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="found no videos"):
        over_domains([])
