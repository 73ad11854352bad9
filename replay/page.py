"""What the self-contained HTML pages share: templates, scales, times and pictures."""

import base64
import io
import math
from collections.abc import Iterable
from pathlib import Path

import jinja2
from PIL import Image

KEY_FRAME_WIDTH = 320


def template(name: str) -> jinja2.Template:
    """The template of that name in this folder; what it is given is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def round_top(ctrs: Iterable[float]) -> float:
    """Where the scale of CTR curves ends: the next 10 % above them."""
    return math.ceil(max(ctrs, default=1.0) * 10 + 1e-9) / 10


def tick_ms(span_ms: int) -> int:
    """A round step that divides the span into at most twelve."""
    return next(
        (step for step in (60_000, 120_000, 300_000, 600_000) if span_ms / step <= 12), 3_600_000
    )


def clock(offset_ms: int) -> str:
    """Minutes and seconds."""
    minutes, seconds = divmod(max(0, offset_ms) // 1000, 60)
    return f"{minutes}:{seconds:02d}"


def jpeg_url(picture: Image.Image, width: int = KEY_FRAME_WIDTH) -> str:
    """The picture as a data URL, shrunk to that width."""
    picture.thumbnail((width, width))
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"


def png_url(picture: Image.Image) -> str:
    """The picture as a data URL, every pixel as it is."""
    data = io.BytesIO()
    picture.save(data, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"
