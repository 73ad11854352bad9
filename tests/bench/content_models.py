"""Predictions a second of the models of what viewers get, on one thread.

Random weights and random inputs of the presets' sizes: the numbers do not change the work.
"""

import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch

from limelight.models.ad_ctr.config import FRAMES, AdCTRConfig
from limelight.models.ad_ctr.config import paper as ad_paper
from limelight.models.ad_ctr.config import tiny as ad_tiny
from limelight.models.ad_ctr.model import AdCTR
from limelight.models.ad_ctr.predictor import AdPredictor
from limelight.models.cover_title.config import CoverTitleConfig, paper
from limelight.models.cover_title.model import CoverTitle
from limelight.models.cover_title.ranker import CoverTitleRanker, load_cover_title
from limelight.models.datasets.labelled_clip import OPENING_PATCHES
from limelight.models.datasets.popularity_videos import PopularityVideos
from limelight.models.popularity.attributes import fit_attributes
from limelight.models.popularity.config import MODALITIES, PopularityConfig
from limelight.models.popularity.config import paper as popularity_paper
from limelight.models.popularity.config import tiny as popularity_tiny
from limelight.models.popularity.forecaster import Forecaster
from limelight.models.popularity.model import MTAF
from limelight.models.topics.assigner import load_topics
from limelight.replay.enrichment.clip_models import BUNDLED
from tests.bench.result import Result

MANY, ROUNDS = 1_024, 7
CATEGORIES = [f"category {number}" for number in range(19)]
# 30 s of sound.
PATCHES = {"ctr": 31, "play_rate": OPENING_PATCHES}
COVERS, TITLES = 8, 12


def run() -> Result:
    torch.set_num_threads(1)
    rows = [*_ad_ctr(), *_cover_title(), *_topics(), *_popularity()]
    return Result(
        title="Models of what viewers get",
        columns=("model", "at once", "minimum ms", "median ms", "a second (median)"),
        rows=tuple(rows),
        note=(
            "`python -m tests.bench content_models`: one CPU thread; random inputs of the presets'"
            " sizes, features given where a model reads features; `bundled` are the enricher's own."
            " Pruned weights are zeros in full matrices, so a self-organizing network takes as long"
            f" as before. Covers and titles: all pairs of {COVERS} covers and {TITLES} titles, as a"
            " highlight has them. Not measured on a GPU."
        ),
    )


def _timed(name: str, count: int, ask: Callable[[], object]) -> tuple[str | float, ...]:
    ask()
    seconds = []
    for _ in range(ROUNDS):
        started_s = time.perf_counter()
        ask()
        seconds.append(time.perf_counter() - started_s)
    middle = median(seconds)
    cells = (f"{1e3 * min(seconds):,.1f}", f"{1e3 * middle:,.1f}", f"{count / middle:,.0f}")
    return name, count, *cells


def _ad_ctr() -> list[tuple[str | float, ...]]:
    random, rows = np.random.default_rng(0), []
    for preset, sizes in (("paper", ad_paper()), ("tiny", ad_tiny())):
        for target, patches in PATCHES.items():
            config = AdCTRConfig(**sizes, target=target, categories=CATEGORIES)
            predictor = AdPredictor(AdCTR(config))
            for count in (MANY, 1):
                frames = random.normal(size=(count, FRAMES[target], config.visual_size))
                sounds = random.normal(size=(count, patches, config.audio_size))
                lengths, names = np.full(count, patches), (CATEGORIES * count)[:count]
                given = (frames.astype(np.float32), sounds.astype(np.float32), lengths, names)
                name = f"ad_ctr {preset}, {target}"
                rows.append(_timed(name, count, lambda g=given, p=predictor: p.predict(*g)))
    return rows


def _cover_title() -> list[tuple[str | float, ...]]:
    random = np.random.default_rng(0)
    ranker = load_cover_title(BUNDLED / "cover_title")
    pictures = [random.integers(0, 256, (180, 320, 3), np.uint8) for _ in range(COVERS)]
    titles = [f"第{number}个标题，太有意思了" for number in range(TITLES)]
    covers = [picture for picture in pictures for _ in titles]
    texts = [title for _ in pictures for title in titles]
    large = CoverTitleRanker(CoverTitle(CoverTitleConfig(**paper())), ranker.tokenizer)
    return [
        _timed(f"cover_title {name}", len(texts), lambda r=each: r.scores(covers, texts))
        for name, each in (("bundled", ranker), ("paper", large))
    ]


def _topics() -> list[tuple[str | float, ...]]:
    random, rows = np.random.default_rng(0), []
    topics = load_topics(BUNDLED / "topics")
    for count in (MANY, 1):
        images = random.normal(size=(count, topics.image_feature_size)).astype(np.float32)
        texts = random.normal(size=(count, topics.text_feature_size)).astype(np.float32)
        tags = [["舞蹈", "音乐"]] * count
        given = (images, texts, tags)
        rows.append(_timed("topics bundled", count, lambda g=given: topics.assign(*g)))
    return rows


def _popularity() -> list[tuple[str | float, ...]]:
    rows = []
    attributes = fit_attributes(_videos(MANY), {"favorite": 1.0}, 1)
    sizes = [len(each) + 1 for each in attributes.vocabularies]
    for preset, fields in (("paper", popularity_paper()), ("tiny", popularity_tiny())):
        config = PopularityConfig(
            num_numbers=12, category_sizes=sizes, **fields, modalities=MODALITIES
        )
        forecaster = Forecaster(MTAF(config), attributes)
        for count in (MANY, 1):
            videos = _videos(count)
            rows.append(
                _timed(f"popularity {preset}", count, lambda v=videos, f=forecaster: f.forecast(v))
            )
    return rows


def _videos(count: int) -> PopularityVideos:
    random = np.random.default_rng(0)
    return PopularityVideos(
        video_ids=tuple(map(str, range(count))),
        text=random.normal(size=(count, 768)).astype(np.float32),
        audio=random.normal(size=(count, 1_280)).astype(np.float32),
        vision=random.normal(size=(count, 2_048)).astype(np.float32),
        present=np.ones((count, 3), np.bool_),
        numbers=random.integers(0, 10_000, (count, 12)).astype(np.float64),
        categories=random.integers(0, 5, (count, 18)),
        trend=random.integers(0, 10_000, (count, 5, 3)).astype(np.float64),
        trend_present=np.ones((count, 5), np.bool_),
        targets=np.ones((count, 1)),
        number_names=tuple(f"number {each}" for each in range(12)),
        category_names=tuple(f"category {each}" for each in range(18)),
        vocabularies=(("a", "b", "c", "d"),) * 18,
        trend_names=("favorite", "comment", "share"),
        target_names=("favorite",),
    )
