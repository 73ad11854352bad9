"""The paper's Table I on open tables of videos and on simulated clips."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, Final

import numpy as np

from limelight.models.content import MODEL
from limelight.models.datasets.bilibili_weekly import read_bilibili_weekly
from limelight.models.datasets.labelled_video import LabelledVideos, load_videos
from limelight.models.datasets.youtube_trending import read_youtube_trending
from limelight.models.topics.agreement import REPRESENTATIONS, agreement, representations_of
from limelight.models.topics.assigner import TopicAssigner, load_topics
from limelight.models.topics.commands import train_topics
from limelight.models.topics.settings import TopicsSettings
from limelight.models.topics.training import split_rows

TEXT_FEATURES: Final = 128
# Gensim with one worker learns some 100,000 tags of walks a second: 3,000 tags take half a minute.
MOST_TAGS: Final = 3000
_NETWORK: Final = {
    "projection_size": 128,
    "expert_size": 128,
    "walks_per_tag": 5,
    "skip_gram_epochs": 2,
}
_QUOTED: Final = re.compile(r"[《【#]([^《》【】#\s]{2,20})[》】#]")
_CLASSES: Final = {"primary": "PC", "secondary": "SC"}
_PAPER: Final = (
    "| Kuaibao, paper | PC | 69.3 / 186.0 | 1.0 / 32.7 | 171.3 / 309.2 | 237.1 / 427.2 |",
    "| Kuaibao, paper | SC | 17.6 / 227.3 | 2.4 / 71.1 | 31.3 / 314.4 | 53.0 / 455.2 |",
)


@dataclass(frozen=True, slots=True)
class _Data:
    name: str
    videos: LabelledVideos
    titles: list[str] | None
    num_topics: int


@dataclass(frozen=True, slots=True)
class _Found:
    cells: dict[tuple[str, str], tuple[float, float]]
    topics_a_video: float
    within: float
    videos_a_second: float


def videos_section(data: Path, clips: Path | None, *, seeds: int) -> str:
    """The figures as Markdown.

    Raises:
        ValueError, OSError: data that cannot be read.
        ImportError: an extra is not installed.
    """
    tables = [youtube_data(data), bilibili_data(data)]
    if clips is not None:
        tables.insert(0, _Data("simulated clips", load_videos(clips), None, 60))
    names = ("image", "text", "MMoE", "MMoE + tag")
    lines = [_line(["videos", "classes", *names]), _line(["---"] * 6), *_PAPER]
    topics = [
        _line(
            [
                "videos",
                "number",
                "tags",
                "topics",
                "topics a video",
                "within 0.6",
                "assigned a second",
            ]
        )
    ]
    topics.append(_line(["---"] * 7))
    for table in tables:
        found = [_measured(table, seed) for seed in range(seeds)]
        for task, short in _CLASSES.items():
            cells = [_cell(found, task, name) for name in REPRESENTATIONS]
            if any(cells):
                lines.append(_line([table.name, short, *cells]))
        tags = {tag for some in table.videos.tags for tag in some}
        topics.append(
            _line(
                [
                    table.name,
                    f"{len(table.videos):,}",
                    f"{len(tags):,}",
                    str(table.num_topics),
                    f"{mean(each.topics_a_video for each in found):.1f}",
                    f"{mean(each.within for each in found):.0%}",
                    f"{max(each.videos_a_second for each in found):,.0f}",
                ]
            )
        )
    return "\n".join(
        [
            "## Topics: agreement of clusters with classes (Table I)",
            "",
            f"ARI / NMI in thousandths, of K-means' clusters of a held-out tenth; {seeds} seeds.",
            "",
            *lines,
            "",
            "### Topics of held-out videos",
            "",
            *topics,
        ]
    )


def youtube_data(data: Path) -> _Data:
    """YouTube's trending videos: title, tags, category."""
    (path,) = sorted((data / "youtube-trending").glob("*.csv"))
    videos = list(read_youtube_trending(path, on_malformed=lambda error: None))
    table = _videos(
        [each.video_id for each in videos],
        [str(each.category_id) for each in videos],
        [[tag.strip().lower() for tag in each.tags] for each in videos],
    )
    return _Data("YouTube trending", table, [each.title for each in videos], 100)


def bilibili_data(data: Path) -> _Data:
    """Bilibili's weekly videos by title, description and category.

    The table has no tags: the names that stand between 《》, 【】 and ## are taken for them.
    """
    videos = list(read_bilibili_weekly(data / "bilibili-weekly" / "bilibili_week2.tsv"))
    words = [f"{each.title} {each.description}" for each in videos]
    table = _videos(
        [f"{each.issue} {each.title}" for each in videos],
        [each.category for each in videos],
        [[tag.lower() for tag in _QUOTED.findall(text)] for text in words],
    )
    return _Data("Bilibili weekly", table, words, 200)


def _videos(ids: list[str], categories: Iterable[str], tags: list[list[str]]) -> LabelledVideos:
    count = len(ids)
    nothing = np.zeros((count, 0), np.float32)
    return LabelledVideos(
        video_ids=ids,
        image_features=nothing,
        text_features=nothing,
        image_present=np.zeros(count, np.bool_),
        text_present=np.zeros(count, np.bool_),
        primary=[[category] for category in categories],
        secondary=[[] for _ in ids],
        tags=[list(dict.fromkeys(tag for tag in some if tag)) for some in tags],
    )


def with_text_features(
    videos: LabelledVideos, texts: Sequence[str], learned_from: Sequence[int]
) -> LabelledVideos:
    """The videos with (n, 128) features of their texts: latent semantics of 1 to 3 characters.

    They stand in for a language model's, learned from the texts of some rows alone.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(1, 3), min_df=3, max_features=50_000, sublinear_tf=True
    )
    known = vectorizer.fit_transform([texts[row] for row in learned_from])
    reduced = TruncatedSVD(TEXT_FEATURES, random_state=0).fit(known)
    features: Any = reduced.transform(vectorizer.transform(texts))
    spread = features[list(learned_from)].std(axis=0) + 1e-6
    return replace(
        videos,
        text_features=(features / spread).astype(np.float32),
        text_present=np.asarray(features.any(axis=1)),
    )


def _measured(data: _Data, seed: int) -> _Found:
    rows, held_out = split_rows(len(data.videos), 0.1, seed)
    videos = data.videos
    if data.titles is not None:
        videos = with_text_features(videos, data.titles, rows.tolist())
    training, test = videos.select(rows), videos.select(held_out)
    # The epoch is chosen on videos that are neither learned from nor tested.
    inner, validation = split_rows(len(training), 0.1, seed)
    network = {"num_topics": data.num_topics, **_NETWORK}
    with TemporaryDirectory() as folder:
        settings = TopicsSettings(
            out=Path(folder), epochs=15, batch_size=300, patience=3, seed=seed, network=network
        )
        train_topics(
            training.select(inner), training.select(validation), settings, most_tags=MOST_TAGS
        )
        assigner = load_topics(Path(folder) / MODEL)
    found = representations_of(assigner.model, assigner.topics, test)
    cells = {}
    for task in _CLASSES:
        for name, representations in found.items():
            measured = agreement(representations, getattr(test, task), seed=seed)
            if measured is not None:
                cells[task, name] = (measured.ari, measured.nmi)
    assigned = assigner.topics.assign(found["mmoe_tag"])
    closest = [some[0][1] if some else 0.0 for some in assigned]
    return _Found(
        cells,
        mean(len(some) for some in assigned),
        mean(cosine >= assigner.topics.threshold for cosine in closest),
        _videos_a_second(assigner, videos),
    )


def _videos_a_second(assigner: TopicAssigner, videos: LabelledVideos) -> float:
    image = videos.image_features if assigner.image_feature_size else None
    best = 0.0
    for _ in range(3):
        start = perf_counter()
        assigner.assign(
            image,
            videos.text_features,
            videos.tags,
            image_present=videos.image_present if image is not None else None,
            text_present=videos.text_present,
        )
        best = max(best, len(videos) / (perf_counter() - start))
    return best


def _cell(found: Sequence[_Found], task: str, name: str) -> str:
    measured = [each.cells[task, name] for each in found if (task, name) in each.cells]
    if not measured:
        return ""
    return " / ".join(_spread([1000 * each[at] for each in measured]) for at in (0, 1))


def _spread(values: Sequence[float]) -> str:
    return f"{mean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
