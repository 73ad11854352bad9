"""`python tests/bench/popularity_throughput.py`: forecasts a second by MTAF on the CPU, one thread.

Random weights and random videos of the paper's feature sizes; the numbers do not change the work.
"""

import statistics
import time

import numpy as np
import torch

from limelight.models.datasets.popularity_videos import PopularityVideos
from limelight.models.popularity.attributes import fit_attributes
from limelight.models.popularity.config import MODALITIES, PopularityConfig, paper, tiny
from limelight.models.popularity.forecaster import Forecaster
from limelight.models.popularity.model import MTAF

VIDEOS, DAYS, ROUNDS = 1024, 5, 7
WEIGHTS = {"favorite": 1.0}


def some_videos(n: int) -> PopularityVideos:
    random = np.random.default_rng(0)
    return PopularityVideos(
        video_ids=tuple(map(str, range(n))),
        text=random.normal(size=(n, 768)).astype(np.float32),
        audio=random.normal(size=(n, 1280)).astype(np.float32),
        vision=random.normal(size=(n, 2048)).astype(np.float32),
        present=np.ones((n, 3), np.bool_),
        numbers=random.integers(0, 10_000, (n, 12)).astype(np.float64),
        categories=random.integers(0, 5, (n, 18)),
        trend=random.integers(0, 10_000, (n, DAYS, 3)).astype(np.float64),
        trend_present=np.ones((n, DAYS), np.bool_),
        targets=np.ones((n, 1)),
        number_names=tuple(f"number {each}" for each in range(12)),
        category_names=tuple(f"category {each}" for each in range(18)),
        vocabularies=(("a", "b", "c", "d"),) * 18,
        trend_names=("favorite", "comment", "share"),
        target_names=("favorite",),
    )


def main() -> None:
    torch.set_num_threads(1)
    many, one = some_videos(VIDEOS), some_videos(1)
    attributes = fit_attributes(many, WEIGHTS, 1)
    for name, preset in (("paper", paper()), ("tiny", tiny())):
        sizes = [len(each) + 1 for each in attributes.vocabularies]
        config = PopularityConfig(
            num_numbers=12, category_sizes=sizes, **preset, modalities=MODALITIES
        )
        forecaster = Forecaster(MTAF(config), attributes)
        for label, videos in ((f"{VIDEOS} at once", many), ("one at a time", one)):
            forecaster.forecast(videos)
            seconds = []
            for _ in range(ROUNDS):
                started = time.perf_counter()
                forecaster.forecast(videos)
                seconds.append(time.perf_counter() - started)
            median, best = statistics.median(seconds), min(seconds)
            print(
                f"{name}, {label}: {len(videos) / median:,.0f} videos/s (median),"
                f" {len(videos) / best:,.0f} at best, {1e3 * median:.2f} ms a call"
            )


if __name__ == "__main__":
    main()
