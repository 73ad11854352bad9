"""Popularity's tables from files to Markdown, in small."""

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from limelight.models.datasets.popularity_videos import load_popularity_videos
from limelight.models.datasets.youtube_trending import COLUMNS
from limelight.replay.tables.popularity import comparison, importance_figure
from limelight.replay.tables.popularity_data import write_popularity_data
from limelight.replay.tables.popularity_runs import LAST_DAY, MEAN, MTAF, Method, RunOptions

WEIGHTS = {"favorite": 0.2, "comment": 0.3}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("popularity")
    random = np.random.default_rng(0)
    rows = []
    for video in range(40):
        views = np.cumsum(random.integers(100, 9_000, 4))
        for day, count in enumerate(views, start=13):
            about = [f"video{video:06}", f"Title {video}", f"channel {video % 5}", "24", "[none]"]
            rows.append([*about, count, count // 10, 1, count // 50, f"{day}.09"])
    rows.append(["#NAME?", "gone", "c", "1", "[none]", 1, 1, 1, 1, "13.09"])
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    assert write_popularity_data(folder / "table.csv", folder / "videos.safetensors") == 40
    return folder / "videos.safetensors"


def test_titles_are_encoded_and_differ(data: Path) -> None:
    videos = load_popularity_videos(data)
    assert videos.present[:, 0].all()
    assert len(np.unique(videos.text, axis=0)) == 40


def test_a_table_compares_methods_and_keeps_their_runs(data: Path, tmp_path: Path) -> None:
    videos = load_popularity_videos(data)
    methods = (
        Method(MEAN, ()),
        Method(LAST_DAY, ("S",)),
        Method("LR", ("N", "T"), paper=(1.0, 2.0, 0.5, 0.5, 0.5)),
        Method(MTAF, ("N", "S"), {}),
    )
    options = RunOptions(tmp_path, WEIGHTS, {"epochs": 1})
    lines = comparison(methods, data, videos, 2, options)
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + len(methods)
    stored = sorted((tmp_path / "videos").glob("*.json"))
    assert len(stored) == 2 * len(methods)
    figures = json.loads((tmp_path / "videos" / "last-day-known-S-0.json").read_text())
    assert figures["videos"] == 12
    # A run that is stored is not made again.
    first, second = (json.loads(each.read_text()) for each in stored[:2])
    stored[0].write_text(json.dumps({**first, "mae": 777.0}))
    again = comparison(methods, data, videos, 2, options)
    (found,) = [line for line in again if line.startswith("| LR |")]
    assert f"{(777 + second['mae']) / 2:.3f} ± " in found


def test_the_figure_shows_each_share_and_escapes_names() -> None:
    kinds = {
        "XGBoost gain": {"a<b": 0.75, "c": 0.25},
        "LightGBM gain": {"a<b": 0.0, "c": 0.0},
    }
    root = ElementTree.fromstring(importance_figure(kinds))
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a<b", "75.0 %", "25.0 %", "XGBoost gain"} <= set(texts)
    widths = [
        float(each.get("width", "0")) for each in root.iter("{http://www.w3.org/2000/svg}rect")
    ]
    assert widths[1] == pytest.approx(3 * widths[2], rel=0.01)
