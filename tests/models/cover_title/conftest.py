"""Small videos whose popularity hangs together with how bright their covers are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from limelight.models.cover_title.config import CoverTitleConfig, tiny
from limelight.models.cover_title.inputs import make_tokenizer
from limelight.models.cover_title.model import CoverTitle
from limelight.models.cover_title.ranker import CoverTitleRanker
from limelight.models.cover_title.settings import CoverTitleSettings
from limelight.models.cover_title.videos import TitledVideos

WORDS = ("你好", "舞蹈", "game", "今晚", "!", "hello")


def make_videos(count: int = 40, seed: int = 0, *, covers: bool = True) -> TitledVideos:
    rng = np.random.default_rng(seed)
    brightness = rng.uniform(20, 235, count)
    pictures = rng.normal(brightness[:, None, None, None], 15, (count, 40, 70, 3))
    views = 100 * np.exp(brightness / 50)
    return TitledVideos(
        [f"{seed}-{n}" for n in range(count)],
        ["".join(rng.choice(WORDS, 3)) for _ in range(count)],
        pictures.clip(0, 255).astype(np.uint8) if covers else None,
        {"views": views, "likes": views * rng.uniform(0.01, 0.1, count)},
    )


def make_settings(out: Path, **changes: Any) -> CoverTitleSettings:
    fields = {
        "data": {"train": Path("unused.tsv")},
        "out": out,
        "preset": "tiny",
        "network": {"dropout": 0.0},
        "label": {"thresholds": "equal-count"},
        "batch_size": 8,
        "epochs": 2,
        "learning_rate": 1e-3,
        "precision": "float32",
    }
    return CoverTitleSettings.model_validate({**fields, **changes})


def make_ranker(vision: str = "vit", language: str = "bert", **changes: Any) -> CoverTitleRanker:
    """With random weights, also where training would begin with zeros."""
    tokenizer = make_tokenizer("")
    fields = {**tiny(vision, language), **changes}
    fields["title_encoder"] = {**fields["title_encoder"], "vocab_size": len(tokenizer)}
    torch.manual_seed(3)
    model = CoverTitle(CoverTitleConfig(**fields))
    for name, parameter in model.named_parameters():
        if name.startswith("no_"):
            torch.nn.init.normal_(parameter)
    return CoverTitleRanker(model, tokenizer)


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., CoverTitleSettings]:
    return lambda **changes: make_settings(**{"out": tmp_path / "run", **changes})


@pytest.fixture
def videos() -> Callable[..., TitledVideos]:
    return make_videos


@pytest.fixture
def ranker() -> Callable[..., CoverTitleRanker]:
    return make_ranker
