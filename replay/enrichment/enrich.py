"""From a closed highlight to what viewers get: clip, starts, covers, title, topics, forecast.

A part that cannot be made is left out with the reason; the rest is made all the same.
"""

import logging
import tempfile
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import av
import numpy as np

from limelight.engine.errors import LimelightError
from limelight.models.datasets.labelled_clip import OPENING_PATCHES
from limelight.models.datasets.popularity_clips import new_clip
from limelight.replay.enrichment.clip_features import ClipFeatures, padded_sounds
from limelight.replay.enrichment.clip_media import ClipMedia, read_clip
from limelight.replay.enrichment.file_names import stored_name
from limelight.replay.enrichment.sources import MediaSource, MediaSources, PartMissing
from limelight.replay.enrichment.titles import Title, title_candidates
from limelight.replay.exports.clips import cut_clip, parts_of
from limelight.replay.exports.highlights import ExportFailed
from limelight.replay.frames import FrameReader
from limelight.replay.store import Store, StoreFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from limelight.replay.enrichment.clip_models import ClipModels
    from limelight.streams.settings import EnrichmentSettings

logger = logging.getLogger(__name__)

_COVER_SIDE_PIXELS = 640
_COVER_QUALITY = 88
_DIGITS = 4
_MAX_REASON_CHARS = 300


@dataclass(slots=True)
class _Clip:
    """The clip on this machine, before it goes to the store."""

    path: Path
    media: ClipMedia
    first_ms: int  # event time of its first picture


class Enricher:
    """Makes enrichments one after the other; not safe for several threads at once."""

    def __init__(
        self,
        settings: "EnrichmentSettings",
        sources: MediaSources,
        models: "ClipModels",
        *,
        store: Store | None = None,
    ) -> None:
        self._settings = settings
        self._sources = sources
        self._models = models
        self._store = store or Store(settings.out)
        self._given_up = False
        self._cutting: Queue[_Clip | Exception] = Queue()

    @property
    def models(self) -> "ClipModels":
        return self._models

    def give_up(self) -> None:
        """Wait for no clip any more, from any thread: what is being made ends without one soon."""
        self._given_up = True
        self._cutting.put(PartMissing("the enricher was stopped"))

    def enrich(self, highlight: Mapping[str, Any]) -> dict[str, Any]:
        """The `enrichment` of a closed highlight's `data`, as docs/enrichment.md describes it.

        The same highlight, video and models give the same enrichment. It never raises: whatever a
        highlight lacks, or holds of another kind than it should, is a part's reason.
        """
        found: dict[str, Any] = {
            "clip": None,
            "starts": [],
            "ctr": None,
            "covers": [],
            "title": None,
            "topics": [],
            "forecast": None,
            "models": dict(self._models.versions),
            "missing": dict(self._models.missing),
        }
        source: MediaSource | None = None
        # A cut that is left behind may still write there while the folder is removed.
        with tempfile.TemporaryDirectory(
            prefix="limelight-clip-", ignore_cleanup_errors=True
        ) as folder:
            clip: _Clip | None = None
            with self._part(found, "clip"):
                source = self._sources.of(highlight)
                clip = self._cut(highlight, source, Path(folder))
                found["clip"] = self._stored_clip(highlight, clip)
            if found["clip"] is None:
                clip = None
            titles: list[Title] = []
            with self._part(found, "title"):
                titles = title_candidates(highlight, source.title if source else "")
            features = ClipFeatures(self._models, clip.media if clip else None)
            if clip is not None:
                media = clip.media
                with self._part(found, "play_rate"):
                    found["starts"] = self._starts(media, features, source)
                with self._part(found, "ctr"):
                    found["ctr"] = self._ctr(features, source)
            chosen: Title | None = titles[0] if titles else None
            with self._part(found, "cover_title"):
                chosen = self._rank(found, highlight, clip, titles) or chosen
            if chosen is not None:
                found["title"] = {"text": chosen.text, "from": chosen.origin}
            else:
                found["missing"].setdefault("title", "nothing with a letter was said or written")
            text = chosen.text if chosen else ""
            cover_ms = found["covers"][0]["offset_ms"] if found["covers"] else None
            with self._part(found, "topics"):
                found["topics"] = self._topics(features, cover_ms, text, source)
            with self._part(found, "popularity"):
                found["forecast"] = self._forecast(highlight, features, text, source)
        return found

    @contextmanager
    def _part(self, found: dict[str, Any], name: str) -> "Iterator[None]":
        """Whatever goes wrong inside is the reason why a part is missing, and of no other one."""
        try:
            yield
        except PartMissing as error:
            found["missing"].setdefault(name, str(error))
        except (LimelightError, OSError, av.FFmpegError) as error:
            logger.warning("part not made", extra={"part": name, "reason": _logged(error)})
            found["missing"].setdefault(name, _reason(error))
        except Exception as error:
            # A model that fails must not take the clip with it, nor the event.
            logger.exception("part not made", extra={"part": name})
            found["missing"].setdefault(name, f"it failed: {type(error).__name__}")

    def _cut(self, highlight: Mapping[str, Any], source: MediaSource, folder: Path) -> _Clip:
        """The clip, unless that takes too long.

        It is cut in a thread that is then left behind: its files are gone, so it soon fails.
        """
        done = self._cutting = Queue()
        if self._given_up:
            raise PartMissing("the enricher was stopped")

        def work() -> None:
            try:
                done.put(self._cut_now(highlight, source, folder))
            except Exception as error:
                done.put(error)

        Thread(target=work, name="clip", daemon=True).start()
        limit_s = self._settings.highlight_timeout_s
        try:
            found = done.get(timeout=limit_s)
        except Empty:
            raise PartMissing(f"it took longer than {limit_s:g} s") from None
        if isinstance(found, Exception):
            raise found
        return found

    def _cut_now(self, highlight: Mapping[str, Any], source: MediaSource, folder: Path) -> _Clip:
        start_ms = int(highlight["start_ms"]) - source.started_ms
        end_ms = int(highlight["end_ms"]) - source.started_ms
        end_ms = min(end_ms, start_ms + int(self._settings.max_clip_s * 1_000))
        with FrameReader(source.video) as reader:
            duration_ms = reader.duration_ms
            # What began before the video begins with it, what ends behind it ends with it.
            if start_ms < 0 < end_ms:
                start_ms = 0
            if not source.loop and start_ms < duration_ms:
                end_ms = min(end_ms, duration_ms)
            parts = parts_of(start_ms, end_ms, duration_ms, loop=source.loop)
            early_ms = parts[0][0] - reader.key_frame_ms_before(parts[0][0])
        if early_ms > self._settings.max_clip_s * 1_000:
            raise PartMissing(
                f"its key frame lies {early_ms / 1_000:.0f} s before it, expected at most"
                f" {self._settings.max_clip_s:g} s"
            )
        # What browsers play, or what takes any codec.
        for suffix in (".mp4", ".mkv"):
            path = folder / f"clip{suffix}"
            try:
                cut_clip(source.video, parts, path, exact=False)
                break
            except ExportFailed:
                if suffix == ".mkv":
                    raise
        settings = self._settings
        media = read_clip(path, max_starts=settings.max_starts, max_covers=settings.max_covers)
        return _Clip(path, media, source.started_ms + start_ms - early_ms)

    def _stored_clip(self, highlight: Mapping[str, Any], clip: _Clip) -> dict[str, Any]:
        name = f"{stored_name(highlight)}{clip.path.suffix}"
        data = clip.path.read_bytes()
        self._store.put(name, data)
        return {
            "url": self._url(name),
            "start_ms": clip.first_ms,
            "seconds": round(clip.media.duration_ms / 1_000, 3),
            "bytes": len(data),
        }

    def _starts(
        self, media: ClipMedia, features: ClipFeatures, source: MediaSource | None
    ) -> list[dict[str, Any]]:
        model = self._models.play_rate
        if model is None:
            raise PartMissing(self._models.missing["play_rate"])
        starts = media.start_offsets_ms
        openings = [media.opening(start) for start in starts]
        sounds = [self._models.sounds.encode(media.opening_sound(start)) for start in starts]
        rates = model.predict(
            np.stack([features.of(opening) for opening in openings]),
            *padded_sounds(sounds, OPENING_PATCHES, self._models.sounds.feature_size),
            [source.category if source else ""] * len(starts),
        )
        order = sorted(range(len(starts)), key=lambda at: (-round(float(rates[at]), _DIGITS), at))
        return [
            {"offset_ms": starts[at], "play_rate": round(float(rates[at]), _DIGITS)} for at in order
        ]

    def _ctr(self, features: ClipFeatures, source: MediaSource | None) -> float:
        model = self._models.ctr
        if model is None:
            raise PartMissing(self._models.missing["ctr"])
        sound = features.sound()
        (ctr,) = model.predict(
            features.key_frames()[None],
            *padded_sounds([sound], max(1, len(sound)), self._models.sounds.feature_size),
            [source.category if source else ""],
        )
        return round(float(ctr), _DIGITS)

    def _rank(
        self,
        found: dict[str, Any],
        highlight: Mapping[str, Any],
        clip: _Clip | None,
        titles: list[Title],
    ) -> Title | None:
        """Fill in the covers, and give the title that goes best with the best of them."""
        model = self._models.cover_title
        if clip is None:
            if model is None or not titles:
                return None
            scores = model.scores([None] * len(titles), [each.text for each in titles])
            return titles[int(np.argmax(np.round(scores, _DIGITS)))]
        offsets = clip.media.cover_offsets_ms
        if model is None:
            # A cover all the same: the middle of the clip.
            found["covers"] = self._stored_covers(
                highlight, clip, [(offsets[len(offsets) // 2], None)]
            )
            raise PartMissing(self._models.missing["cover_title"])
        texts = [each.text for each in titles] or [""]
        # Copies: torch takes no arrays that it must not write to.
        pictures = [np.array(clip.media.pictures[at].convert("RGB")) for at in offsets]
        scores = model.scores(
            [picture for picture in pictures for _ in texts],
            [text for _ in pictures for text in texts],
        )
        table = np.round(scores, _DIGITS).reshape(len(offsets), len(texts))
        best = table.max(1)
        order = sorted(range(len(offsets)), key=lambda at: (-float(best[at]), at))
        ranked: list[tuple[int, float | None]] = [(offsets[at], float(best[at])) for at in order]
        found["covers"] = self._stored_covers(highlight, clip, ranked)
        return titles[int(table[order[0]].argmax())] if titles else None

    def _stored_covers(
        self, highlight: Mapping[str, Any], clip: _Clip, ranked: list[tuple[int, float | None]]
    ) -> list[dict[str, Any]]:
        covers = []
        for offset_ms, score in ranked:
            picture = clip.media.pictures[offset_ms].convert("RGB")
            picture.thumbnail((_COVER_SIDE_PIXELS, _COVER_SIDE_PIXELS))
            encoded = BytesIO()
            picture.save(encoded, "JPEG", quality=_COVER_QUALITY)
            name = f"{stored_name(highlight)}-{offset_ms}.jpg"
            self._store.put(name, encoded.getvalue())
            covers.append({"url": self._url(name), "offset_ms": offset_ms, "score": score})
        return covers

    def _topics(
        self, features: ClipFeatures, cover_ms: int | None, text: str, source: MediaSource | None
    ) -> list[dict[str, Any]]:
        model = self._models.topics
        if model is None:
            raise PartMissing(self._models.missing["topics"])
        tags = list(source.tags) if source else []
        if cover_ms is None and not text and not tags:
            raise PartMissing("there is neither picture nor title nor tag")
        (assigned,) = model.assign(
            features.picture(cover_ms)[None],
            features.text(text)[None],
            [tags],
            image_present=np.array([cover_ms is not None]),
            text_present=np.array([bool(text)]),
        )
        return [
            {
                "topic": int(topic),
                "similarity": round(float(similarity), _DIGITS),
                "names": model.name(topic),
            }
            for topic, similarity in assigned
        ]

    def _forecast(
        self,
        highlight: Mapping[str, Any],
        features: ClipFeatures,
        text: str,
        source: MediaSource | None,
    ) -> dict[str, Any]:
        model = self._models.popularity
        if model is None:
            raise PartMissing(self._models.missing["popularity"])
        sound = features.sound()
        video = new_clip(
            seconds=features.seconds,
            title=text,
            title_feature=features.text(text) if text else None,
            frame_features=features.key_frames() if features.seconds else None,
            sound_features=sound if len(sound) else None,
            tags=source.tags if source else (),
            streamer_id=str(highlight["streamer_id"]),
            category=source.category if source else "",
            clip_id=str(highlight["highlight_id"]),
        )
        (score,) = model.forecast(video)
        return {"score": round(float(score), _DIGITS)}

    def _url(self, name: str) -> str:
        base = self._settings.base_url.rstrip("/")
        return f"{base}/{quote(name)}" if base else name


def _reason(error: Exception) -> str:
    """Why, as receivers may read it: no folder and no address of this installation."""
    if isinstance(error, StoreFailed):
        return "it cannot be stored"
    if isinstance(error, ExportFailed):
        return str(error).rpartition("/")[2][:_MAX_REASON_CHARS]
    if isinstance(error, OSError | av.FFmpegError):
        return error.strerror or type(error).__name__
    return str(error)[:_MAX_REASON_CHARS]


def _logged(error: Exception) -> str:
    """Why, as the log may have it: FFmpeg's own errors quote the URL with whatever key it holds."""
    return _reason(error) if isinstance(error, av.FFmpegError) else str(error)
