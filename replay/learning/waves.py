"""A platform on air in waves of rooms, and what the live system said of each wave."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from limelight.engine.score import Score
from limelight.kernels.energy import SEGMENT_MS
from limelight.replay.bundled_model import bundled_world
from limelight.replay.live_run import STALL_LIMIT_S, Stalled
from limelight.replay.marks import mark_interval_ms
from limelight.replay.pace import Pace
from limelight.replay.player import play
from limelight.replay.simulator.broadcast import SimulatedRoom, broadcast
from limelight.replay.simulator.world import World
from limelight.replay.sources.source import Source, read_ahead
from limelight.replay.system import LiveSystem
from limelight.streams.kafka import make_consumer
from limelight.streams.score_records import decode_score
from limelight.streams.topics import Topics
from limelight.streams.user_ids import make_user_key

# Between two waves: far more than the marks that close the first one's last segments.
GAP_MS = 20 * SEGMENT_MS
# Rooms that the bundled network was neither trained nor tested on.
FIRST_ROOM = 50_000
# Dances and battles go out of fashion, products and small talk come in.
CHANGED_APPEAL = (0.3, -1.4, -0.6, 1.5, 0.4)


@dataclass(frozen=True, slots=True)
class Wave:
    """Rooms that stream at the same time, from `base_ms` of event time on."""

    number: int
    base_ms: int
    rooms: tuple[SimulatedRoom, ...]
    taste_changed: bool

    @property
    def windows(self) -> int:
        return sum(room.segments for room in self.rooms)


@dataclass(frozen=True, slots=True)
class Platform:
    """Waves one after the other; from wave `change_at` on its audience likes other things."""

    base_ms: int
    rooms_a_wave: int
    segments: int
    change_at: int
    seed: int = 0

    @property
    def wave_ms(self) -> int:
        return self.segments * SEGMENT_MS + GAP_MS

    def wave(self, number: int) -> Wave:
        world = bundled_world(self.seed)
        changed = number >= self.change_at
        if changed:
            world = World(replace(world.config, appeal=CHANGED_APPEAL), world.seed)
        first = FIRST_ROOM + number * self.rooms_a_wave
        return Wave(
            number,
            self.base_ms + number * self.wave_ms,
            tuple(
                SimulatedRoom(world, first + each, self.segments)
                for each in range(self.rooms_a_wave)
            ),
            changed,
        )


@dataclass(slots=True)
class ScoresSeen:
    """The live scores, by room and segment index."""

    scores: dict[str, dict[int, Score]] = field(default_factory=dict)

    def count(self, wave: Wave) -> int:
        return sum(len(self.scores.get(room.room_id, ())) for room in wave.rooms)

    async def follow(self, system: LiveSystem) -> None:
        """See every score until cancelled."""
        kafka = system.settings.kafka
        topic = Topics(kafka.topic_prefix).name("scores")
        consumer = make_consumer(kafka, topic, group_id=None)
        await consumer.start()
        try:
            async for record in consumer:
                score, _ = decode_score(record.value, max_bytes=len(record.value))
                self.scores.setdefault(score.room_id, {})[score.segment_index] = score
        finally:
            await consumer.stop()


async def stream(
    wave: Wave,
    system: LiveSystem,
    seen: ScoresSeen,
    check: Callable[[], None],
    on_progress: Callable[[int], None],
) -> None:
    """Send a wave as fast as Kafka takes it, and wait until each of its windows was scored.

    Args:
        check: raises if something that should run does not.
        on_progress: called with the number of windows that have been scored.

    Raises:
        Stalled: no score has come for long.
    """
    settings = system.settings
    messages = broadcast(
        wave.rooms,
        base_ms=wave.base_ms,
        partitions=settings.kafka.partitions,
        mark_interval_ms=mark_interval_ms(0),
        closing_delay_ms=settings.assembler.closing_delay_ms,
        user_key=make_user_key(settings.privacy.user_key),
    )
    source = Source(read_ahead(messages), wave.base_ms, None)
    sending = asyncio.create_task(play(source, settings, Pace(0)))
    changed_s, before = time.monotonic(), -1
    try:
        while not sending.done() or seen.count(wave) < wave.windows:
            await asyncio.sleep(0.1)
            check()
            if sending.done():
                sending.result()
            if (count := seen.count(wave)) != before:
                before, changed_s = count, time.monotonic()
                on_progress(count)
            if time.monotonic() - changed_s > STALL_LIMIT_S:
                raise Stalled(
                    f"wave {wave.number}: found {count} of {wave.windows} windows scored, and no"
                    f" more for {STALL_LIMIT_S:g} s"
                )
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
