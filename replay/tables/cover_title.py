"""`python -m limelight.replay.tables.cover_title`: the cover and title network's tables 1 and 2.

Tiny networks from random weights. On simulated clips every weight of the cover and every
combination of sub-networks; on Bilibili's and YouTube's tables titles alone, since no covers are
there. Mean and standard deviation over seeds, which change initial weights and order, and of the
real tables which videos are held back.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from limelight.models.cover_title.config import CoverTitleConfig, paper, tiny
from limelight.models.cover_title.inputs import make_tokenizer
from limelight.models.cover_title.label import PAPER_THRESHOLDS
from limelight.models.cover_title.model import CoverTitle
from limelight.models.cover_title.ranker import CoverTitleRanker
from limelight.models.cover_title.settings import CoverTitleSettings
from limelight.models.cover_title.training import VideoTensors, judge, train_cover_title
from limelight.models.cover_title.videos import TitledVideos, load_videos
from limelight.models.datasets.split import split_by_video
from limelight.replay.tables.markdown import between_markers, row

EQUAL_COUNT = "equal-count"
# Validation accuracy of the paper's tables 1 and 2 by epoch, and the training accuracy of the last.
PAPER_WEIGHTS: dict[float, tuple[tuple[float, ...], float]] = {
    0.3: ((0.5603, 0.6037, 0.6282, 0.6199, 0.5967), 0.8564),
    0.45: ((0.5767, 0.6044, 0.6160, 0.6107, 0.6169), 0.8683),
    0.6: ((0.5715, 0.6156, 0.6112, 0.5986, 0.6161), 0.8551),
    0.75: ((0.5737, 0.5897, 0.6242, 0.6150, 0.6109), 0.8556),
    0.9: ((0.5850, 0.5782, 0.6156, 0.6075, 0.6180), 0.8505),
    1.0: ((0.5613, 0.5977, 0.5988, 0.6031, 0.5980), 0.8393),
    0.0: ((0.4659, 0.4659, 0.4659, 0.4659, 0.4659), 0.4577),
}
PAPER_NETWORKS: dict[tuple[str, str], tuple[tuple[float, ...], float]] = {
    ("vgg", "rnn"): ((0.5013, 0.5245, 0.5141, 0.5283, 0.5471), 0.5510),
    ("vgg", "bert"): ((0.5247, 0.5288, 0.5447, 0.5337, 0.5345), 0.5470),
    ("vit", "bert"): PAPER_WEIGHTS[0.75],
}
_TITLES_ALONE = {"BERT": "bert", "RNN": "rnn"}
_HEAD = ("training, best epoch", "best epoch", "last epoch")
_PAPER_HEAD = ("paper: training, epoch 5", "paper: best of 5", "paper: epoch 5")
_COVERS, _TITLES = 8, 12
_REPEATS = 3

Run = dict[str, Any]


def run(
    name: str,
    network: dict[str, Any],
    thresholds: str | Sequence[float],
    parts: tuple[TitledVideos, TitledVideos],
    seed: int,
    work: Path,
    epochs: int,
) -> Run:
    """The figures of one network, from `work` if it was trained before."""
    training, validation = parts
    out = work / f"{name}-{len(training)}-{epochs}-{seed}"
    stored = out / "run.json"
    if stored.exists():
        found: Run = json.loads(stored.read_text(encoding="utf-8"))
        return found
    settings = CoverTitleSettings.model_validate(
        {
            "data": {"train": Path()},
            "out": out,
            "preset": "tiny",
            "network": network,
            "label": {"thresholds": thresholds},
            "seed": seed,
            "batch_size": 64,
            "epochs": epochs,
            "learning_rate": 1e-3,
            "precision": "float32",
        }
    )
    trained = train_cover_title(training, validation, settings, resume=True)
    learned = judge(trained.model, VideoTensors(training, trained.model.config, trained.tokenizer))
    lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    measured = [json.loads(line) for line in lines]
    found = {
        "training": learned.ordinal_accuracy,
        "epochs": [each["ordinal_accuracy"] for each in measured if "epoch" in each],
        "best": asdict(trained.best),
    }
    stored.write_text(json.dumps(found))
    return found


def figures(runs: Sequence[Run]) -> list[str]:
    """Cells for `_HEAD`."""
    return [
        spread([each["training"] for each in runs]),
        spread([max(each["epochs"]) for each in runs]),
        spread([each["epochs"][-1] for each in runs]),
    ]


def table(names: Sequence[str], rows: Sequence[tuple[Sequence[str], list[Run], Any]]) -> list[str]:
    """Markdown: names, ours, the paper's (validation by epoch, training) where it has any."""
    head = [*names, *_HEAD, *(_PAPER_HEAD if any(each for _, _, each in rows) else ())]
    lines = [row(head), row(["---"] * len(head))]
    for words, runs, theirs in rows:
        cells = [*words, *figures(runs)]
        if theirs is not None:
            cells += [f"{theirs[1]:.3f}", f"{max(theirs[0]):.3f}", f"{theirs[0][-1]:.3f}"]
        lines.append(row(cells + [""] * (len(head) - len(cells))))
    return lines


def spread(values: Sequence[float]) -> str:
    mean = f"{np.mean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.3f}"


def constant(runs: Sequence[Run]) -> str:
    """What always saying the best one class reaches."""
    return spread([each["best"]["most_frequent"] for each in runs])


def speed() -> list[str]:
    """Markdown of how fast networks of random weights answer, on the threads that torch has."""
    head = ["network", "covers x titles", "ms", "pairs a second", "covers a second, one title"]
    lines = [row(head), row(["---"] * len(head))]
    rng = np.random.default_rng(0)
    for name, preset, covers, titles in (
        ("tiny", tiny(), _COVERS, _TITLES),
        ("paper", {**paper(), "tokenizer_name": ""}, 2, 3),
    ):
        tokenizer = make_tokenizer("")
        fields = {**preset}
        fields["title_encoder"] = {**fields["title_encoder"], "vocab_size": len(tokenizer)}
        ranker = CoverTitleRanker(CoverTitle(CoverTitleConfig(**fields)), tokenizer)
        pictures = [rng.integers(0, 256, (360, 640, 3), dtype=np.uint8) for _ in range(covers)]
        words = [f"第{n}个标题，今晚跳舞给你看" for n in range(titles)]
        pairs = [each for each in pictures for _ in words], words * covers
        together = _seconds(partial(ranker.scores, *pairs))
        alone = _seconds(partial(ranker.scores, pictures, words[:1] * covers))
        cells = [f"{covers} x {titles}", f"{1_000 * together:.0f}"]
        cells += [f"{covers * titles / together:.1f}", f"{covers / alone:.1f}"]
        lines.append(row([name, *cells]))
    return lines


def _parts(videos: TitledVideos, seed: int) -> tuple[TitledVideos, TitledVideos]:
    """Ten parts of eleven to learn from, as the paper's, and the rest."""
    return split_by_video(videos, 1 / 11, seed)


def _seconds(work: Callable[[], object]) -> float:
    """The fewest of some runs, after one that warms up."""
    work()
    found = []
    for _ in range(_REPEATS):
        begin = time.perf_counter()
        work()
        found.append(time.perf_counter() - begin)
    return min(found)


def _main(
    training: Annotated[Path, typer.Argument(help="Clips to learn from: `simulate clips`.")],
    test: Annotated[Path, typer.Argument(help="Other clips, to judge on.")],
    tables: Annotated[list[Path] | None, typer.Argument(help="Weekly .tsv, trending .csv.")] = None,
    out: Annotated[Path, typer.Option(help="Markdown with the two markers.")] = Path(
        "docs/results.md"
    ),
    work: Annotated[Path, typer.Option(help="Where each run is stored.")] = Path("tables-work"),
    seeds: Annotated[int, typer.Option(min=1)] = 2,
    epochs: Annotated[int, typer.Option(min=1)] = 5,
) -> None:
    """Train and judge all networks, and write the tables."""
    torch.set_num_threads(1)
    clips = load_videos(training), load_videos(test)

    def runs(
        name: str,
        network: dict[str, Any],
        parts: Callable[[int], tuple[TitledVideos, TitledVideos]] = lambda seed: clips,
        thresholds: str | Sequence[float] = EQUAL_COUNT,
    ) -> list[Run]:
        found = []
        for seed in range(seeds):
            found.append(run(name, network, thresholds, parts(seed), seed, work, epochs))
            typer.echo(f"{name}, seed {seed}: {found[-1]}")
        return found

    weights = [
        ((f"{weight:g} / {1 - weight:g}",), runs(f"w{weight:g}", {"cover_weight": weight}), theirs)
        for weight, theirs in PAPER_WEIGHTS.items()
    ]
    networks = []
    for (vision, language), theirs in PAPER_NETWORKS.items():
        is_default = (vision, language) == ("vit", "bert")
        name = "w0.75" if is_default else f"{vision}-{language}"
        found = runs(name, {"vision": vision, "language": language})
        networks.append(((f"{vision.upper()} / {language.upper()}",), found, theirs))
    fixed = runs("fixed", {}, thresholds=PAPER_THRESHOLDS)
    default = weights[list(PAPER_WEIGHTS).index(0.75)][1]
    lines = ["", "### Table 1 on simulated clips: weights of ViT and BERT", ""]
    lines += [*table(["cover / title"], weights), ""]
    lines += ["### Table 2 on simulated clips: sub-networks at 0.75 / 0.25", ""]
    lines += [*table(["sub-networks"], networks), ""]
    lines += ["### Thresholds on simulated clips", ""]
    scales: list[tuple[Sequence[str], list[Run], Any]] = [
        (("equal-count", constant(default)), default, None),
        (("the paper's four", constant(fixed)), fixed, None),
    ]
    lines += [*table(["thresholds", "best one class"], scales), ""]
    lines += ["### Titles alone on real videos, equal-count thresholds", ""]
    rows: list[tuple[Sequence[str], list[Run], Any]] = []
    for path in tables or ():
        videos = load_videos(path)
        for title, language in _TITLES_ALONE.items():
            network = {"cover_weight": 0.0, "language": language}
            found = runs(f"{path.stem}-{language}", network, partial(_parts, videos))
            about = path.stem, f"{len(videos):,}", " + ".join(videos.counts), title
            rows.append(((*about, constant(found)), found, None))
    lines += table(["table", "videos", "counts", "titles by", "best one class"], rows)
    lines += ["", "### Speed on one CPU core", "", *speed(), ""]
    between_markers(out, "cover_title tables", lines)
    typer.echo(f"written: {out}")


if __name__ == "__main__":
    typer.run(_main)
