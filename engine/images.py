"""Pictures from untrusted bytes."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from limelight.engine.errors import DecodeFailed

FORMATS = ("JPEG", "PNG", "WEBP")


def decode_image(
    data: bytes, *, max_bytes: int, max_pixels: int, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB, H and W being `size`; the picture is stretched, not cropped.

    The limits are checked on the bytes and on the header, before any pixel is decoded. Of an
    animated picture the first frame counts, transparency lies over black, and metadata (EXIF
    rotation included) is ignored.

    Raises:
        DecodeFailed: not a JPEG, PNG or WebP, incomplete, or larger than a limit.
    """
    if not data:
        raise DecodeFailed(f"found 0 bytes, expected one of {', '.join(FORMATS)}")
    if len(data) > max_bytes:
        raise DecodeFailed(f"found {len(data)} bytes, expected at most {max_bytes}")
    if (canvas := _webp_canvas(data)) is not None:
        # Pillow allocates 8 bytes a pixel as it opens a WebP.
        _check_pixels(*canvas, max_pixels)
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            _check_pixels(image.width, image.height, max_pixels)
            height, width = size
            # A JPEG is decoded at 1/2, 1/4 or 1/8 where that is still at least the wanted size.
            image.draft("RGB", (width, height))
            image.load()
            resized = _rgb(image).resize((width, height), Image.Resampling.BICUBIC)
    except DecodeFailed:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Pillow's own limit, should max_pixels be set above it; its text names both numbers.
        raise DecodeFailed(f"{error}; expected at most {max_pixels} pixels") from error
    except UnidentifiedImageError as error:
        start = data[:8].hex(" ")
        raise DecodeFailed(f"found bytes {start}, expected one of {', '.join(FORMATS)}") from error
    except Exception as error:
        # Pillow's plugins answer hostile bytes with a dozen kinds of error, SyntaxError and
        # struct.error among them; the block holds nothing but their calls.
        raise DecodeFailed(f"found a broken picture ({error}), expected a whole one") from error
    return np.asarray(resized)


def fit_image(image: Image.Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of an open picture, stretched as `decode_image` does it."""
    height, width = size
    return np.asarray(_rgb(image).resize((width, height), Image.Resampling.BICUBIC))


def _check_pixels(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise DecodeFailed(f"found {width}x{height} pixels, expected at most {max_pixels} in all")


def _webp_canvas(data: bytes) -> tuple[int, int] | None:
    """Width and height that a WebP's first chunk claims; None for another format or chunk.

    Source: RFC 9649, sections 2.5 to 2.7.
    """
    if len(data) < 30 or data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    elif kind == b"VP8L":
        packed = int.from_bytes(data[21:25], "little")
        width, height = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    else:
        return None
    return width, height


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # 16-bit greyscale; Pillow would clip everything above 255 to white.
        return Image.fromarray((np.asarray(image, np.uint32) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, (0, 0, 0, 255))
        opaque.alpha_composite(image.convert("RGBA"))
        return opaque.convert("RGB")
    return image.convert("RGB")
