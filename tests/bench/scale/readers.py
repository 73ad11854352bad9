"""What a worker is measured against: processes that read the same log and do nothing else.

    python -m tests.bench.scale.readers raw|faust WARM_UP LAST

Each reads the three source topics and counts. It prints, as JSON, the processor time that all of
its threads took from message number WARM_UP to number LAST, and ends.
"""

import asyncio
import json
import os
import resource
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import faust
import mode.loop
import uvloop

from limelight.streams.faust_app import make_app, raw_topic
from limelight.streams.kafka import make_consumer
from limelight.streams.settings import KafkaSettings, Settings
from limelight.streams.topics import MODALITY_TOPICS


def main(kind: str, warm_up: int, last: int) -> None:
    kafka = Settings().kafka
    count = Count(warm_up, last)
    if kind == "raw":
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(read_raw(kafka, count))
    else:
        read_by_faust(kafka, count)


@dataclass(slots=True)
class Count:
    """Messages read so far, and the processor time at the two that matter."""

    warm_up: int
    last: int
    read: int = 0
    began_s: float | None = None

    def add(self, messages: int) -> bool:
        """Whether the last message has been read; prints the result then."""
        self.read += messages
        if self.began_s is None and self.read >= self.warm_up:
            self.began_s, self.warm_up = _processor_s(), self.read
        if self.read < self.last or self.began_s is None:
            return False
        counted = self.read - self.warm_up
        print(json.dumps({"messages": counted, "cpu_s": _processor_s() - self.began_s}), flush=True)
        return True


def _processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def read_raw(kafka: KafkaSettings, count: Count) -> None:
    """aiokafka alone: many messages at a time, nothing committed."""
    consumer = make_consumer(kafka, *MODALITY_TOPICS, group_id="bench-raw")
    await consumer.start()
    try:
        while True:
            batches = await consumer.getmany(timeout_ms=500)
            if count.add(sum(map(len, batches.values()))):
                return
    finally:
        await consumer.stop()


def read_by_faust(kafka: KafkaSettings, count: Count) -> None:
    """The worker's own Faust app with one agent that does nothing; it acknowledges each event."""
    mode.loop.use("uvloop")
    # A group of its own beside the worker's; the topics are the same.
    app = make_app(kafka.model_copy(update={"topic_prefix": "bench-"}), Path(tempfile.mkdtemp()))

    @app.agent(raw_topic(app, *MODALITY_TOPICS), name="reader")
    async def read(messages: faust.StreamT[bytes]) -> None:
        async for _ in messages:
            if count.add(1):
                os._exit(0)

    faust.Worker(
        app, loglevel="WARNING", override_logging=False, redirect_stdouts=False, quiet=True
    ).execute_from_commandline()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
