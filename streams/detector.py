"""The detector agent: `scores` in, `highlights` out, one table entry a room."""

import asyncio
import logging
from functools import partial
from typing import Any

import faust
import orjson

from limelight.streams import metrics
from limelight.streams.dead_letters import Origin, encode_dead_letter
from limelight.streams.detection import HighlightDetector, RoomTrend
from limelight.streams.faust_app import raw_topic, room_table
from limelight.streams.highlight_records import CONTENT_TYPE, encode_highlight
from limelight.streams.kept_json import kept_json
from limelight.streams.records import MalformedRecord, header_map
from limelight.streams.score_records import decode_score
from limelight.streams.settings import Settings
from limelight.streams.topics import Topics

logger = logging.getLogger(__name__)


def install_detector(app: faust.App, settings: Settings) -> None:
    """Add the detector's agent and table to the app."""
    topics = Topics(settings.kafka.topic_prefix)
    table = room_table(app, "detector-rooms", settings.kafka.partitions, order=_progress)
    highlights = raw_topic(app, topics.name("highlights"))
    dlq = raw_topic(app, topics.name("dlq"))
    detector = HighlightDetector(settings.detector)

    generation = [0]
    # For each room the newest change of the table that the broker has not confirmed.
    unwritten: dict[bytes, asyncio.Future[Any]] = {}

    async def detect_one(event: faust.types.EventT) -> None:
        message = event.message
        owned = generation[0]
        try:
            score, timings = decode_score(message.value, max_bytes=settings.kafka.max_message_bytes)
        except MalformedRecord as error:
            metrics.dead_letters_total.labels("scores").inc()
            origin = Origin("scores", message.partition, message.offset)
            letter = encode_dead_letter(
                origin, str(error), message.value, header_map(message.headers)
            )
            await (await dlq.send(key=str(origin).encode(), value=letter))
            event.ack()
            return
        room = score.room_id.encode()
        known = table.get(room)
        trend = RoomTrend.from_json(orjson.loads(known)) if known else RoomTrend()
        if known and trend.repeats(score):
            metrics.repeated_total.labels("scores").inc()
            done_when_written(event, room)
            return
        sent = []
        for highlight in detector.update(trend, score):
            metrics.highlights_total.labels(highlight.kind).inc()
            sent.append(
                await highlights.send(
                    key=room,
                    value=encode_highlight(highlight, timings),
                    headers=[("content-type", CONTENT_TYPE.encode())],
                    partition=message.partition,
                )
            )
        # Delivered before the table says so: a crash in between sends it again, with the same id.
        for confirmed in sent:
            await confirmed
        if owned != generation[0]:
            return  # the partition may be somebody else's by now, who reads this score again
        written = table.put(message.partition, room, kept_json(trend.to_json()))
        if written is not None:
            unwritten[room] = written
        done_when_written(event, room)

    def done_when_written(event: faust.types.EventT, room: bytes) -> None:
        """Acknowledge a score when the broker has all that the table says of its room.

        Without waiting here: acknowledgements may come in any order, offsets are committed in
        theirs.
        """
        written = unwritten.get(room)
        if written is None:
            event.ack()
        else:
            written.add_done_callback(partial(acknowledge, event, room, generation[0]))

    def acknowledge(
        event: faust.types.EventT, room: bytes, owned: int, written: asyncio.Future[Any]
    ) -> None:
        if unwritten.get(room) is written:
            del unwritten[room]
        if written.cancelled() or owned != generation[0]:
            return
        if error := written.exception():
            logger.error("table not written", exc_info=error)
            app.loop.create_task(app.crash(error))
            return
        event.ack()

    @app.agent(raw_topic(app, topics.name("scores")), name="detector")  # type: ignore[untyped-decorator]
    async def detect(scores: faust.StreamT[bytes]) -> None:
        async for event in scores.noack().events():
            try:
                await detect_one(event)
            except asyncio.CancelledError:
                raise
            except Exception:
                logger.exception("detector failed", extra={"offset": event.message.offset})
                await app.crash(RuntimeError("detector failed, see the log"))
                raise

    @app.on_partitions_revoked.connect  # type: ignore[untyped-decorator]
    async def forget(app: faust.App, revoked: set[object], **kwargs: object) -> None:
        generation[0] += 1
        unwritten.clear()


def _progress(value: bytes) -> tuple[int, int]:
    """Where a room's table entry stands: later lives and later segments are newer."""
    fields = orjson.loads(value)
    return fields["room_started_ms"] or 0, fields["last_index"]
