r"""Makes the bundled recordings out of their sources.

    python -m limelight.replay.bundle --film big_buck_bunny.mp4 --live-comments comments.ass \
        --live-engagement engagement.csv --captions elephantsdream_captions.en.vtt \
        --danmaku artplayer_danmuku.xml --out replay/recordings

NOTICE says where each comes from. Only what is cut or re-encoded is written here; the manifests
lie in the folders themselves and are kept.
"""

import shutil
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import av
import typer

from limelight.replay.readers.csv_rows import csv_rows
from limelight.replay.readers.malformed import Place
from limelight.replay.readers.text_lines import numbered_lines
from limelight.replay.readers.timestamps import clock_ms

LIVE_ROOM_MS = 30 * 60_000

FILM_WIDTH = 256
FILM_HEIGHT = 144
FILM_RATE = 12
# 1 s between key frames, so that a picture is never more than 11 others away.
FILM_OPTIONS = {"crf": "30", "preset": "veryslow", "g": str(FILM_RATE), "keyint_min": "1"}


def bundle(
    film: Annotated[Path, typer.Option(help="Big Buck Bunny.")],
    live_comments: Annotated[Path, typer.Option(help="The live room's comments, ASS.")],
    live_engagement: Annotated[Path, typer.Option(help="Its paid events, CSV.")],
    captions: Annotated[Path, typer.Option(help="Elephants Dream's captions, VTT.")],
    danmaku: Annotated[Path, typer.Option(help="Comments, Bilibili XML.")],
    out: Annotated[Path, typer.Option(help="The folder of the bundled recordings.")],
) -> None:
    """Write the files of both bundled recordings."""
    live = out / "big-buck-bunny-live"
    captioned = out / "elephants-dream-captions"
    for folder in (live, captioned):
        folder.mkdir(parents=True, exist_ok=True)
    shrink_film(film, live / "video.mp4")
    cut_ass(live_comments, live / "comments.ass", LIVE_ROOM_MS)
    cut_engagement(live_engagement, live / "engagement.csv", LIVE_ROOM_MS)
    shutil.copyfile(captions, captioned / "asr.vtt")
    shutil.copyfile(danmaku, captioned / "comments.xml")


def shrink_film(source: Path, target: Path) -> None:
    """Writes `source` small, at a steady rate and without sound."""
    with (
        av.open(str(source)) as film,
        av.open(str(target), "w", options={"movflags": "faststart"}) as small,
    ):
        stream = small.add_stream("libx264", rate=FILM_RATE, options=FILM_OPTIONS)
        stream.width = FILM_WIDTH
        stream.height = FILM_HEIGHT
        stream.pix_fmt = "yuv420p"
        written = 0
        for frame in film.decode(video=0):
            # Each picture stands from its own time up to the next one's.
            if frame.time * FILM_RATE < written:
                continue
            scaled = frame.reformat(FILM_WIDTH, FILM_HEIGHT, "yuv420p")
            scaled.pts = written
            scaled.time_base = Fraction(1, FILM_RATE)
            small.mux(stream.encode(scaled))
            written += 1
        small.mux(stream.encode())


def cut_ass(source: Path, target: Path, end_ms: int) -> None:
    """Copies `source` without the comments that start at `end_ms` or later."""
    kept: list[str] = []
    for number, line in numbered_lines(source):
        place = Place(source, f"line {number}")
        is_comment = line.startswith("Dialogue:")
        if not is_comment or clock_ms(place, line.split(",")[1]) < end_ms:
            kept.append(line)
    target.write_text("\n".join(kept) + "\n", encoding="utf-8", newline="\n")


def cut_engagement(source: Path, target: Path, end_ms: int) -> None:
    """Copies `source` without the events at `end_ms` or later."""
    rows = csv_rows(source)
    _, header = next(rows)
    kept = [",".join(header)]
    kept += [",".join(row.values()) for _, row in rows if int(row["time_ms"]) < end_ms]
    target.write_text("\n".join(kept) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    typer.run(bundle)
