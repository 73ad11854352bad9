"""`python -m limelight.replay.tables.popularity_data TABLE OUT`: a real table, its titles encoded.

The models themselves know no text encoder; this writes the neutral file that they train on.
"""

from pathlib import Path
from typing import Annotated

import typer

from limelight.engine.encoders import load_text_encoder
from limelight.models.datasets.bilibili_weekly import read_bilibili_weekly
from limelight.models.datasets.malformed import MalformedDataset
from limelight.models.datasets.popularity_tables import (
    from_weekly,
    from_youtube,
    weekly_id,
    with_text,
)
from limelight.models.datasets.popularity_videos import save_popularity_videos
from limelight.models.datasets.youtube_trending import read_youtube_trending


def write_popularity_data(table: Path, out: Path, encoder: str = "tiny") -> int:
    """Write the videos of a trending (.csv) or weekly table (.tsv); gives how many.

    The text is the title, with the tags or the description beside it.

    Raises:
        ValueError, OSError: a table or encoder that cannot be read.
    """
    texts: dict[str, tuple[str, list[str]]] = {}
    if table.suffix == ".csv":
        malformed: list[MalformedDataset] = []
        trending = read_youtube_trending(table, on_malformed=malformed.append)
        videos = from_youtube(trending)
        texts = {each.video_id: (each.title, list(each.tags)) for each in trending}
    else:
        weekly = list(read_bilibili_weekly(table))
        videos = from_weekly(weekly)
        for video in weekly:
            described = [video.description] if video.description else []
            texts.setdefault(weekly_id(video), (video.title, described))
    text_encoder = load_text_encoder(encoder)
    ids = [video_id for video_id in videos.video_ids if any(texts[video_id])]
    features = text_encoder.encode([texts[video_id] for video_id in ids])
    videos = with_text(videos, dict(zip(ids, features, strict=True)))
    note = f"{table.name}, texts by {text_encoder.encoder_id} {text_encoder.revision}"
    save_popularity_videos(out, videos, note)
    return len(videos)


def _main(
    table: Annotated[Path, typer.Argument(help="A trending table (.csv) or weekly lists (.tsv).")],
    out: Annotated[Path, typer.Argument(help="The file to write (.safetensors).")],
    encoder: Annotated[str, typer.Option(help="A text encoder, as engines load it.")] = "tiny",
) -> None:
    """Write a real table as the file that popularity is learned from, with titles encoded."""
    typer.echo(f"written: {out}, {write_popularity_data(table, out, encoder)} videos")


if __name__ == "__main__":
    typer.run(_main)
