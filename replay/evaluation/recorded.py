"""A recording as a room to judge: the live assembler's windows and the clicks that were counted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from limelight.engine.network import untrained_network
from limelight.engine.score import Rejected, Score
from limelight.engine.scorer import Scorer
from limelight.engine.text_encoder import TextEncoder
from limelight.engine.window import Window
from limelight.models.contentctr.model import ContentCTR
from limelight.models.datasets.labelled_room import COUNT_NAMES, LabelledRoom
from limelight.replay.direct import run_directly
from limelight.replay.evaluation.encoders import DataEncoders
from limelight.replay.measured_ctr import measured_ctrs, true_ctrs
from limelight.replay.readers.csv_rows import csv_rows
from limelight.replay.readers.timestamps import whole_ms
from limelight.replay.recording import MalformedRecording, Recording
from limelight.streams.settings import Settings
from limelight.streams.window_records import decode_window

# Highlights that people marked, beside the manifest: start_ms and end_ms since its start.
HIGHLIGHTS_NAME = "highlights.csv"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recording's S windows and what was made of them.

    Args:
        energies: (S,) the comment energies that the engine gives.
        true: (S,) the CTR that clicks were drawn from, of simulated rooms; NaN where nobody knows.
        scores: what the engines of a live system said, empty of a direct pass.
    """

    recording: Recording
    windows: tuple[Window, ...]
    labelled: LabelledRoom
    start_ms: NDArray[np.int64]
    energies: NDArray[np.float64]
    true: NDArray[np.float32]
    intervals: NDArray[np.int64] | None
    scores: tuple[Score, ...] = ()


def recorded_room(recording: Recording, settings: Settings, encoders: DataEncoders) -> Recorded:
    """The recording passed through the live assembler and engine.

    Raises:
        MalformedRecording: a part cannot be read, or there is nothing to score.
    """
    # Windows and energies are the same whatever network scores them.
    network = untrained_network(encoders.frame, encoders.text)
    scorer = Scorer(network, encoders.text, encoders.settings)
    passed = run_directly(
        [recording], settings, encoders.frame, scorer, base_ms=recording.started_ms
    )
    if not passed.scores:
        raise MalformedRecording(recording.folder, None, "nothing to score", "a segment or more")
    most = settings.kafka.max_message_bytes
    windows = tuple(decode_window(each, max_bytes=most) for each in passed.windows.values())
    return passed_recording(
        recording,
        windows,
        [score.energy for score in passed.scores],
        segment_ms=settings.assembler.segment_ms,
        frame_feature_size=encoders.frame.feature_size,
        text=encoders.text,
    )


def passed_recording(
    recording: Recording,
    windows: Sequence[Window],
    energies: Sequence[float],
    *,
    segment_ms: int,
    frame_feature_size: int,
    text: TextEncoder | None,
) -> Recorded:
    """The recording whose S windows, at its own event times, came to these comment energies.

    Args:
        text: gives the texts their features; None leaves them without.
    """
    start_ms = np.array([window.start_ms for window in windows], np.int64)
    return Recorded(
        recording=recording,
        windows=tuple(windows),
        labelled=_labelled(recording, windows, segment_ms, frame_feature_size, text),
        start_ms=start_ms,
        energies=np.array(energies),
        true=_at(true_ctrs(recording), start_ms - recording.started_ms),
        intervals=_marked(recording),
    )


def engine_scores(
    recorded: Recorded, network: ContentCTR, encoders: DataEncoders
) -> NDArray[np.float64]:
    """(S,) the CTRs that the engine gives with that network, window after window.

    Raises:
        EncoderMismatch: the network reads features of other encoders.
        ValueError: it cannot score a window.
    """
    scorer = Scorer(network, encoders.text, encoders.settings)
    ctrs = []
    for window in recorded.windows:
        (score,) = scorer.score([window])
        if isinstance(score, Rejected):
            raise ValueError(f"{recorded.recording.folder}: {score.reason}")
        ctrs.append(score.ctr)
    return np.array(ctrs)


def _labelled(
    recording: Recording,
    windows: Sequence[Window],
    segment_ms: int,
    frame_feature_size: int,
    text: TextEncoder | None,
) -> LabelledRoom:
    newest = [window.segments[-1] for window in windows]
    frames = np.zeros((len(newest), frame_feature_size), np.float16)
    texts = np.zeros((len(newest), text.feature_size if text else 0), np.float32)
    for at, segment in enumerate(newest):
        if segment.frame_feature is not None:
            frames[at] = segment.frame_feature
    spoken = [at for at, segment in enumerate(newest) if segment.has_text]
    if spoken and text is not None:
        texts[spoken] = text.encode([(newest[at].speech, newest[at].comments) for at in spoken])
    offsets_ms = np.array([segment.start_ms for segment in newest]) - recording.started_ms
    # Counts and labels lie on the recording's own grid.
    aligned = recording.align_to_start
    counts = _counts(recording, offsets_ms, segment_ms)
    counts[:, COUNT_NAMES.index("comments")] = [segment.comment_count for segment in newest]
    return LabelledRoom(
        room_id=recording.room_id,
        streamer_id=recording.streamer_id,
        frame_features=frames,
        text_features=texts,
        present=np.array([[segment.has_picture, segment.has_text] for segment in newest]),
        ctr=_at(measured_ctrs(recording, segment_ms) if aligned else {}, offsets_ms),
        counts=counts,
    )


def _counts(
    recording: Recording, offsets_ms: NDArray[np.int64], segment_ms: int
) -> NDArray[np.float32]:
    """(S, 8) what was counted in intervals whose middle lies in each segment."""
    counts = np.zeros((len(offsets_ms), len(COUNT_NAMES)), np.float32)
    place = {int(offset_ms): at for at, offset_ms in enumerate(offsets_ms)}
    for line in recording.read_engagement():
        middle_ms = (line.start_ms + line.end_ms) // 2
        at = place.get(middle_ms // segment_ms * segment_ms)
        if at is None:
            continue
        for name, count in line.counts.items():
            if name in COUNT_NAMES:
                counts[at, COUNT_NAMES.index(name)] += count
    return counts


def _at(ctrs: dict[int, float], offsets_ms: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.array([ctrs.get(int(each), np.nan) for each in offsets_ms], np.float32)


def _marked(recording: Recording) -> NDArray[np.int64] | None:
    """(n, 2) event times of the highlights that lie beside the manifest, if any do."""
    path = recording.folder / HIGHLIGHTS_NAME
    if not path.is_file():
        return None
    rows = csv_rows(path)
    place, header = next(rows)
    if not {"start_ms", "end_ms"} <= set(header):
        raise place.malformed_value(list(header), "columns start_ms and end_ms")
    found: list[tuple[int, int]] = []
    for place, row in rows:
        start_ms, end_ms = (whole_ms(place, row[name]) for name in ("start_ms", "end_ms"))
        before_ms = found[-1][1] - recording.started_ms if found else 0
        if not before_ms <= start_ms < end_ms:
            raise place.malformed_value(
                f"{start_ms} to {end_ms}", f"a start from {before_ms} on and an end behind it"
            )
        found.append((recording.started_ms + start_ms, recording.started_ms + end_ms))
    return np.array(found, np.int64).reshape(-1, 2)
