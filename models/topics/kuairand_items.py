"""KuaiRand's videos as topics see them: static attributes alone, as tags.

KuaiRand has no titles and no pictures. What is known of a video before anybody saw it is its tag
ids, how it was uploaded, its kind of music, its length and its shape; each becomes a tag. The
counts of `item_features` may reach past an impression and are not read.
"""

from pathlib import Path
from typing import Final

import numpy as np

from limelight.models.baselines.id_features import log_buckets
from limelight.models.baselines.kuairand_log import MalformedLog
from limelight.models.datasets.labelled_video import LabelledVideos

ITEMS_FILE: Final = "item_features.parquet"
ITEM_COLUMNS: Final = (
    "video_id",
    "tag",
    "upload_type",
    "music_type",
    "video_duration",
    "server_width",
    "server_height",
)
_UNKNOWN: Final = "unknown"


def read_kuairand_items(folder: Path) -> LabelledVideos:
    """The videos of a folder of KuaiRand-Pure, without image and text; the first tag is the class.

    Raises:
        MalformedLog: no such file, not Parquet, or a column missing.
        ImportError: pyarrow is not installed.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = folder / ITEMS_FILE
    try:
        missing = set(ITEM_COLUMNS) - set(pq.read_schema(file).names)
        if missing:
            raise MalformedLog(f"{file}: found no column {min(missing)}, expected {ITEM_COLUMNS}")
        rows = pq.read_table(file, columns=list(ITEM_COLUMNS)).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise MalformedLog(f"{file}: found {error}, expected a Parquet file") from error
    tags = [_tag_ids(row["tag"]) for row in rows]
    nobody = np.zeros(len(rows), np.bool_)
    return LabelledVideos(
        video_ids=[str(row["video_id"]) for row in rows],
        image_features=np.zeros((len(rows), 0), np.float32),
        text_features=np.zeros((len(rows), 0), np.float32),
        image_present=nobody,
        text_present=nobody,
        primary=[some[:1] for some in tags],
        secondary=[[] for _ in rows],
        tags=[[*some, *_attributes(row)] for some, row in zip(tags, rows, strict=True)],
    )


def _tag_ids(cell: object) -> list[str]:
    names = [part.strip() for part in str(cell or "").split(",")]
    return [f"tag {name}" for name in names if name and name.lower() != _UNKNOWN]


def _attributes(row: dict[str, object]) -> list[str]:
    found = []
    upload = str(row["upload_type"] or "")
    if upload and upload.lower() != _UNKNOWN:
        found.append(f"upload {upload}")
    if (music := _number(row["music_type"])) is not None:
        found.append(f"music {int(music)}")
    if (duration := _number(row["video_duration"])) is not None:
        found.append(f"length {int(log_buckets(np.array(duration / 1000)))}")
    width, height = _number(row["server_width"]), _number(row["server_height"])
    if width and height:
        found.append("upright" if height > width else "wide" if width > height else "square")
    return found


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and np.isfinite(value)
    return float(value) if is_number else None  # type: ignore[arg-type]
