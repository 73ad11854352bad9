"""Pictures are decoded within limits, and what is none is refused with its reason."""

import json
import struct
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from limelight.engine.errors import DecodeFailed
from limelight.engine.images import decode_image


def encoded(image: Image.Image, format_name: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def plain(mode: str = "RGB", color: object = (200, 100, 50)) -> Image.Image:
    return Image.new(mode, (32, 24), color)  # type: ignore[arg-type]


def decode(
    data: bytes,
    max_bytes: int = 1_000_000,
    max_pixels: int = 1_000_000,
    size: tuple[int, int] = (8, 8),
) -> np.ndarray:
    return decode_image(data, max_bytes=max_bytes, max_pixels=max_pixels, size=size)


def png_header(width: int, height: int) -> bytes:
    """A valid PNG signature and IHDR, claiming a size, with hardly any pixels behind it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(100))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
def test_the_three_formats_give_rgb_of_the_wanted_size(format_name: str) -> None:
    found = decode(encoded(plain(), format_name), size=(6, 10))
    assert found.shape == (6, 10, 3)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - (200, 100, 50)).max() <= 4


def test_a_picture_is_not_rotated_or_mirrored() -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8, :8] = 255  # top left
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90 degrees"
    found = decode(encoded(image, "JPEG", exif=exif, quality=95), size=(2, 2))
    assert (found[..., 0] > 128).tolist() == [[True, False], [False, False]]


def test_a_large_jpeg_is_shrunk_to_nearly_the_same_as_by_averaging() -> None:
    ramp = np.linspace(0, 255, 512).astype(np.uint8)
    pixels = np.broadcast_to(ramp[None, :, None], (512, 512, 3))
    found = decode(encoded(Image.fromarray(pixels), "JPEG", quality=95), size=(8, 8))
    expected = ramp.reshape(8, 64).mean(axis=1)
    assert np.abs(found[4, :, 0] - expected).max() < 6


@pytest.mark.parametrize(
    ("image", "format_name", "expected"),
    [
        (plain("L", 77), "PNG", (77, 77, 77)),
        (plain("1", 1), "PNG", (255, 255, 255)),
        (plain("CMYK", (0, 255, 255, 0)), "JPEG", (255, 0, 0)),
        (plain("RGBA", (255, 255, 255, 0)), "PNG", (0, 0, 0)),
        (plain("RGBA", (200, 100, 50, 255)), "WEBP", (200, 100, 50)),
        (plain("LA", (200, 255)), "PNG", (200, 200, 200)),
        (plain("I;16", 0x8000), "PNG", (128, 128, 128)),
        (plain().quantize(4), "PNG", (200, 100, 50)),
    ],
    ids=["grey", "bits", "CMYK", "transparent", "opaque", "grey-alpha", "16-bit", "palette"],
)
def test_every_kind_of_pixel_becomes_rgb(
    image: Image.Image, format_name: str, expected: tuple[int, int, int]
) -> None:
    found = decode(encoded(image, format_name))
    assert np.abs(found.astype(int) - expected).max() <= 4


@pytest.mark.parametrize("format_name", ["WEBP", "PNG"])
def test_of_an_animation_the_first_frame_counts(format_name: str) -> None:
    frames = [plain(color=(255, 0, 0)), plain(color=(0, 0, 255))]
    data = encoded(frames[0], format_name, save_all=True, append_images=frames[1:])
    assert decode(data)[0, 0, 0] > 240


def test_a_gif_is_refused() -> None:
    with pytest.raises(DecodeFailed, match=r"found bytes 47 49 46 38 .* JPEG, PNG, WEBP"):
        decode(encoded(plain("P", 1), "GIF"))


@pytest.mark.parametrize("data", [b"not a picture", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF"])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeFailed, match=r"found .* expected"):
        decode(data)


def test_no_bytes_are_refused() -> None:
    with pytest.raises(DecodeFailed, match="found 0 bytes, expected one of JPEG, PNG, WEBP"):
        decode(b"")


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_picture_is_refused(format_name: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), format_name)
    with pytest.raises(DecodeFailed, match=r"found .* expected"):
        decode(data[: int(len(data) * share)])


def test_a_picture_that_claims_to_be_huge_is_refused_by_its_header() -> None:
    data = png_header(50_000, 50_000)
    assert len(data) < 200
    with pytest.raises(DecodeFailed, match="2500000000 pixels"):
        decode(data)


def test_the_pixel_limit_holds_below_pillows_own() -> None:
    with pytest.raises(DecodeFailed, match="found 1001x1000 pixels, expected at most 1000000"):
        decode(png_header(1001, 1000))


def test_the_pixel_limit_holds_where_pillow_only_warns() -> None:
    # 100 million pixels: above Pillow's warning, below its error.
    with pytest.raises(DecodeFailed, match="expected at most 1000000"):
        decode(png_header(10_000, 10_000))


def test_too_many_bytes_are_refused_before_they_are_looked_at() -> None:
    with pytest.raises(DecodeFailed, match="found 1001 bytes, expected at most 1000"):
        decode(bytes(1001), max_bytes=1000)


def test_random_bytes_behind_a_true_start_only_ever_fail_to_decode() -> None:
    generator = np.random.default_rng(1)
    for format_name in ("JPEG", "PNG", "WEBP"):
        whole = bytearray(encoded(plain(), format_name))
        for _ in range(150):
            broken = bytearray(whole)
            for position in generator.integers(4, len(broken), 3):
                broken[position] = generator.integers(0, 256)
            try:
                assert decode(bytes(broken)).shape == (8, 8, 3)
            except DecodeFailed as error:
                assert "expected" in str(error)


# Decodes one picture and tells by how many MB the process's memory has grown at its most.
MEASURE = """
import json, re, sys
from pathlib import Path
from limelight.engine.errors import DecodeFailed
from limelight.engine.images import decode_image

def peak_mb():
    return int(re.search(r"VmPeak:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

def decode(path, max_pixels):
    data = Path(path).read_bytes()
    try:
        decode_image(data, max_bytes=10_000_000, max_pixels=max_pixels, size=(8, 8))
    except DecodeFailed as error:
        return str(error)

folder, grown = Path(sys.argv[1]), {}
for path in sorted(folder.glob("small.*")):
    decode(path, 10_000)  # loads the codecs
for path in sorted(folder.glob("bomb.*")):
    before, said = peak_mb(), decode(path, 1_000_000)
    grown[path.name] = (said, peak_mb() - before)
before, said = peak_mb(), decode(folder / "bomb.1.webp", 20_000_000)
grown["allowed"] = (said, peak_mb() - before)
print(json.dumps(grown))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_small_file_that_would_fill_the_memory_is_refused_before_it_takes_any(
    tmp_path: Path,
) -> None:
    kinds = {"1.webp": {"lossless": True}, "2.webp": {}, "3.webp": {"exif": b"Exif"}}
    kinds |= {"png": {}, "jpeg": {}}
    sizes = {"small": (16, 16), "bomb": (4_000, 4_000)}
    for suffix, options in kinds.items():
        for name, size in sizes.items():
            format_name = suffix.rpartition(".")[2].upper()
            data = encoded(Image.new("RGB", size), format_name, **options)
            assert len(data) < 300_000
            (tmp_path / f"{name}.{suffix}").write_bytes(data)
    chunks = [(tmp_path / f"bomb.{k}.webp").read_bytes()[12:16] for k in (1, 2, 3)]
    assert chunks == [b"VP8L", b"VP8 ", b"VP8X"]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, check=True
    )
    grown = json.loads(done.stdout)
    said, allowed_mb = grown.pop("allowed")
    assert said is None
    assert allowed_mb > 150  # so much is at stake: 16 million pixels
    for suffix, (said, mb) in grown.items():
        assert said == "found 4000x4000 pixels, expected at most 1000000 in all", suffix
        assert mb < 16, suffix
