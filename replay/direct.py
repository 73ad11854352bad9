"""A direct pass: the live code over recordings without Kafka, as the yardstick of the live path.

It drives the same script, frame encoding, assembly, scorer and detector that the processes drive;
only the topics between them are missing.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from limelight.engine.frame_encoder import FrameEncoder
from limelight.engine.score import Rejected, Score
from limelight.engine.scorer import Scorer
from limelight.replay.marks import mark_interval_ms
from limelight.replay.recording import Recording
from limelight.replay.script import ScriptedMessage, script
from limelight.streams.assembly import PartitionAssembly
from limelight.streams.detection import HighlightDetector, HighlightEvent, RoomTrend
from limelight.streams.frame_batch import FrameMessage, encode_frames
from limelight.streams.records import header_map
from limelight.streams.settings import Settings
from limelight.streams.source_messages import SourceMessage
from limelight.streams.topics import MODALITY_TOPICS
from limelight.streams.user_ids import make_user_key
from limelight.streams.watermark import no_ack
from limelight.streams.window_records import decode_window


@dataclass(slots=True)
class DirectPass:
    """Everything the topics would have held; `windows` by their id."""

    windows: dict[str, bytes] = field(default_factory=dict)
    scores: list[Score] = field(default_factory=list)
    highlights: list[HighlightEvent] = field(default_factory=list)
    late: list[bytes] = field(default_factory=list)
    dead_letters: list[bytes] = field(default_factory=list)


def run_directly(
    recordings: Sequence[Recording],
    settings: Settings,
    encoder: FrameEncoder,
    scorer: Scorer,
    *,
    base_ms: int,
) -> DirectPass:
    """Score the recordings in this process."""
    messages = script(
        recordings,
        base_ms=base_ms,
        segment_ms=settings.assembler.segment_ms,
        partitions=1,
        mark_interval_ms=mark_interval_ms(0),
        closing_delay_ms=settings.assembler.closing_delay_ms,
        user_key=make_user_key(settings.privacy.user_key),
    )
    return pass_directly(messages, settings, encoder, scorer)


def pass_directly(
    messages: Iterable[ScriptedMessage], settings: Settings, encoder: FrameEncoder, scorer: Scorer
) -> DirectPass:
    """Score what the messages say in this process, as if all went through one partition."""
    result = DirectPass()
    assembly = PartitionAssembly(
        0,
        settings.assembler,
        max_message_bytes=settings.kafka.max_message_bytes,
        wall_ms=lambda: 0,
    )
    detector = HighlightDetector(settings.detector)
    trends: dict[str, RoomTrend] = defaultdict(RoomTrend)
    offsets: dict[str, int] = defaultdict(int)

    def take(topic: str, value: bytes, headers: dict[str, str]) -> None:
        message = SourceMessage(topic, 0, offsets[topic], value, headers, no_ack)
        offsets[topic] += 1
        for emission in assembly.process(message):
            if emission.topic == "windows":
                score(emission.value)
            elif emission.topic == "late":
                result.late.append(emission.value)
            elif emission.topic == "dlq":
                result.dead_letters.append(emission.value)
            emission.settle()

    def score(value: bytes) -> None:
        window = decode_window(value, max_bytes=settings.kafka.max_message_bytes)
        result.windows[f"{window.room_id}/{window.segment_index}"] = value
        for scored in scorer.score([window]):
            if isinstance(scored, Rejected):
                result.dead_letters.append(scored.reason.encode())
                continue
            result.scores.append(scored)
            result.highlights += detector.update(trends[scored.room_id], scored)

    for message in messages:
        headers: dict[str, Any] = header_map(message.headers)
        if message.topic == "frames":
            frame = FrameMessage(0, offsets["frames"], message.value, headers)
            offsets["frames"] += 1
            for output in encode_frames([frame], encoder, settings.engine):
                if output.topic == "dlq":
                    result.dead_letters.append(output.value)
                else:
                    take(output.topic, output.value, header_map(output.headers))
        elif message.topic in MODALITY_TOPICS:
            take(message.topic, message.value, headers)
    return result
