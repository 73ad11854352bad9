"""From a manifest's videos to labelled clips: what four content models train on."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from limelight.engine.errors import LimelightError
from limelight.engine.frame_encoder import FrameEncoder
from limelight.engine.images import decode_image, fit_image
from limelight.engine.text_encoder import TextEncoder
from limelight.models.audio.log_mel import SAMPLE_RATE
from limelight.models.audio.sound_encoder import SoundEncoder
from limelight.models.datasets.labelled_clip import COUNT_NAMES, KEY_FRAMES, LabelledClips
from limelight.replay.clip_manifest import ManifestRow
from limelight.replay.enrichment.clip_media import opening_offsets, read_clip
from limelight.replay.frames import MAX_SIDE_PIXELS
from limelight.replay.readers.malformed import MalformedRecording
from limelight.replay.simulator.clip_table import title_features

_MAX_COVER_BYTES = 32 << 20
# Part of every work file's name; another one when what is in the files changes.
_LAYOUT = 1


@dataclass(frozen=True, slots=True)
class ClipEncoders:
    """What looks, listens and reads; `sound_revision` tells weights of one name apart."""

    frames: FrameEncoder
    texts: TextEncoder
    sounds: SoundEncoder
    sound_revision: str = ""


@dataclass(frozen=True, slots=True)
class EncodingOptions:
    """How to make the table.

    Args:
        min_impressions: a clip with fewer has no rates.
        max_sound_s: of a longer clip the beginning is heard.
        cover_pixels: height and width of the covers kept.
        skip_broken: leave out videos and covers that cannot be read, instead of ending there.
    """

    min_impressions: int = 1
    max_sound_s: int = 60
    cover_pixels: int = 64
    skip_broken: bool = False

    def __post_init__(self) -> None:
        # The play rate's network hears the first three seconds.
        for name, least in (("min_impressions", 1), ("max_sound_s", 3), ("cover_pixels", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: found {getattr(self, name)}, expected {least} or more")


@dataclass(frozen=True, slots=True)
class _Features:
    """Of one video: what its work file holds.

    Args:
        frames: (8 + 3 + 1, F) float16: key frames, opening, cover.
        sound: (P, A) float16.
        cover: (H, W, 3) uint8.
        seconds: (1,) float32.
    """

    frames: NDArray[np.float16]
    sound: NDArray[np.float16]
    cover: NDArray[np.uint8]
    seconds: NDArray[np.float32]


def encode_clips(
    rows: Sequence[ManifestRow],
    work: Path,
    encoders: ClipEncoders,
    options: EncodingOptions,
    *,
    on_row: Callable[[], None] = lambda: None,
    on_broken: Callable[[MalformedRecording], None] = lambda error: None,
) -> LabelledClips:
    """The table of a manifest's videos.

    A video's features are kept in a file in `work`, so that an interrupted run goes on; they are
    made anew where the video, the cover, an encoder or an option that changes them has changed.

    Raises:
        MalformedRecording: a video or cover that cannot be read, unless they are skipped; or none
            that can.
        OSError: `work` cannot be written.
    """
    work.mkdir(parents=True, exist_ok=True)
    kept: list[ManifestRow] = []
    features: list[_Features] = []
    for row in rows:
        try:
            features.append(_kept_or_made(row, work, encoders, options))
            kept.append(row)
        except MalformedRecording as error:
            if not options.skip_broken:
                raise
            on_broken(error)
        on_row()
    if not kept:
        path = rows[0].place.path
        raise MalformedRecording(path, None, "only videos that are broken", "one to encode")
    titles = title_features([row.title for row in kept], encoders.texts)
    frames = np.stack([each.frames for each in features])
    rates = [_rates(row, options.min_impressions) for row in kept]
    days = [np.array(row.daily_counts, np.float32).reshape(-1, len(COUNT_NAMES)) for row in kept]
    return LabelledClips(
        clip_ids=[row.clip_id for row in kept],
        streamer_ids=[row.streamer_id for row in kept],
        titles=[row.title for row in kept],
        tags=[list(row.tags) for row in kept],
        categories=[row.category for row in kept],
        subcategories=[row.subcategory for row in kept],
        seconds=np.concatenate([each.seconds for each in features]),
        frame_features=frames[:, :KEY_FRAMES],
        opening_frame_features=frames[:, KEY_FRAMES:-1],
        sound_features=_padded([each.sound for each in features]),
        sound_lengths=np.array([len(each.sound) for each in features], np.int64),
        title_features=titles.astype(np.float16),
        covers=np.stack([each.cover for each in features]),
        cover_features=frames[:, -1],
        impressions=np.array([row.impressions or 0 for row in kept], np.int64),
        ctr=np.array([ctr for ctr, _ in rates], np.float32),
        play_rate=np.array([play_rate for _, play_rate in rates], np.float32),
        daily_counts=np.stack(days),
    )


def _kept_or_made(
    row: ManifestRow, work: Path, encoders: ClipEncoders, options: EncodingOptions
) -> _Features:
    path = work / f"{_key(row, encoders, options)}.safetensors"
    try:
        return _Features(**load_file(path))
    except (OSError, SafetensorError, TypeError):
        # Not there yet, or not whole.
        pass
    made = _encode(row, encoders, options)
    unfinished = path.with_suffix(".part")
    save_file({name: getattr(made, name) for name in _Features.__slots__}, unfinished)
    unfinished.replace(path)
    return made


def _key(row: ManifestRow, encoders: ClipEncoders, options: EncodingOptions) -> str:
    """The same only for the same files, encoders and options."""
    files = []
    for column, path in (("path", row.video), ("cover", row.cover)):
        if path is None:
            continue
        try:
            stat = path.stat()
        except OSError as error:
            found = f"{path.name} ({error.strerror})"
            raise row.at(column).malformed(found, "a file that can be read") from error
        files.append([column, str(path.resolve()), stat.st_size, stat.st_mtime_ns])
    about = [
        _LAYOUT,
        files,
        [encoders.frames.encoder_id, encoders.frames.revision],
        [encoders.sounds.encoder_id, encoders.sound_revision],
        [options.max_sound_s, options.cover_pixels],
    ]
    return blake2b(json.dumps(about).encode(), digest_size=16).hexdigest()


def _encode(row: ManifestRow, encoders: ClipEncoders, options: EncodingOptions) -> _Features:
    try:
        media = read_clip(row.video, max_starts=1, max_covers=1)
        sound = encoders.sounds.encode(media.sound[: options.max_sound_s * SAMPLE_RATE])
    except (LimelightError, OSError, av.FFmpegError, ValueError) as error:
        raise row.at("path").malformed(f"a broken video ({error})", "a whole one") from error
    (middle_ms,) = media.cover_offsets_ms
    wanted = [*media.key_offsets_ms, *opening_offsets(0, media.duration_ms), middle_ms]
    size = encoders.frames.image_size
    fitted = {at: fit_image(media.pictures[at], size) for at in wanted}
    pictures = [fitted[at] for at in wanted]
    pixels = (options.cover_pixels, options.cover_pixels)
    if row.cover is None:
        cover = fit_image(media.pictures[middle_ms], pixels)
    else:
        pictures[-1] = _cover(row, row.cover, size)
        cover = _cover(row, row.cover, pixels)
    frames = _encoded(pictures, encoders.frames)
    with np.errstate(over="ignore"):
        halved = sound.astype(np.float16)
    if not (np.isfinite(frames).all() and np.isfinite(halved).all()):
        raise row.at("path").malformed("features that float16 cannot hold", "finite ones")
    return _Features(
        frames=frames,
        sound=halved,
        cover=np.ascontiguousarray(cover),
        seconds=np.array([media.duration_ms / 1_000], np.float32),
    )


def _cover(row: ManifestRow, path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    try:
        return decode_image(
            path.read_bytes(), max_bytes=_MAX_COVER_BYTES, max_pixels=MAX_SIDE_PIXELS**2, size=size
        )
    except (LimelightError, OSError) as error:
        raise row.at("cover").malformed(f"a broken picture ({error})", "a whole one") from error


def _encoded(pictures: Sequence[NDArray[np.uint8]], encoder: FrameEncoder) -> NDArray[np.float16]:
    """(n, F); a picture that comes several times is encoded once."""
    distinct = {id(each): each for each in pictures}
    by_id = dict(zip(distinct, encoder.encode(list(distinct.values())), strict=True))
    return np.stack([by_id[id(each)] for each in pictures])


def _padded(sounds: Sequence[NDArray[np.float16]]) -> NDArray[np.float16]:
    longest = max(1, *(len(each) for each in sounds))
    padded = np.zeros((len(sounds), longest, sounds[0].shape[1]), np.float16)
    for row, each in zip(padded, sounds, strict=True):
        row[: len(each)] = each
    return padded


def _rates(row: ManifestRow, least: int) -> tuple[float, float]:
    """CTR and 3-second play rate; NaN for what was not measured."""
    impressions = row.impressions
    if impressions is None or impressions < least:
        return np.nan, np.nan
    clicks, plays = (
        np.nan if count is None else count / impressions for count in (row.clicks, row.plays_3s)
    )
    return clicks, plays
