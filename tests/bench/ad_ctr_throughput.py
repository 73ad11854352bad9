"""`python tests/bench/ad_ctr_throughput.py`: rates a second by the ad network, CPU, one thread.

Random weights and random features, 30 s of sound; the numbers do not change the work. Pruned
weights are zeros in full matrices, so a pruned network takes as long as an unpruned one.
"""

import statistics
import time

import numpy as np
import torch

from limelight.models.ad_ctr.config import FRAMES, AdCTRConfig, paper, tiny
from limelight.models.ad_ctr.model import AdCTR
from limelight.models.ad_ctr.predictor import AdPredictor
from limelight.models.datasets.labelled_clip import OPENING_PATCHES

CLIPS, ROUNDS = 1024, 7
PATCHES = {"ctr": 31, "play_rate": OPENING_PATCHES}
CATEGORIES = [f"category {number}" for number in range(19)]


def main() -> None:
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    for name, preset in (("paper", paper()), ("tiny", tiny())):
        for target, patches in PATCHES.items():
            config = AdCTRConfig(**preset, target=target, categories=CATEGORIES)
            predictor = AdPredictor(AdCTR(config))
            for count in (CLIPS, 1):
                frames = random.normal(size=(count, FRAMES[target], config.visual_size))
                sounds = random.normal(size=(count, patches, config.audio_size))
                given = (
                    frames.astype(np.float32),
                    sounds.astype(np.float32),
                    np.full(count, patches),
                    (CATEGORIES * count)[:count],
                )
                predictor.predict(*given)
                seconds = []
                for _ in range(ROUNDS):
                    started = time.perf_counter()
                    predictor.predict(*given)
                    seconds.append(time.perf_counter() - started)
                median, best = statistics.median(seconds), min(seconds)
                print(
                    f"{name}, {target}, {count} at once: {count / median:,.0f} clips/s (median),"
                    f" {count / best:,.0f} at best, {1e3 * median:.2f} ms a call"
                )


if __name__ == "__main__":
    main()
