"""The engine process: loads the networks, then consumes frames and windows side by side."""

import asyncio
import logging
import signal
from pathlib import Path

import torch

from limelight.engine.device import choose_device, choose_dtype
from limelight.engine.encoders import load_frame_encoder
from limelight.engine.frame_encoder import FrameEncoder
from limelight.engine.scorer import Scorer, load_scorer
from limelight.engine.settings import EngineSettings
from limelight.engine.threads import fastest_threads
from limelight.streams.frame_consumer import run_frame_consumer
from limelight.streams.kafka import create_topics
from limelight.streams.model_topic import latest, open_model_topic
from limelight.streams.model_updates import ModelUpdates
from limelight.streams.score_consumer import ScoreConsumer
from limelight.streams.settings import Settings

logger = logging.getLogger(__name__)

# Pictures that stand, in one room or several, are encoded once.
REMEMBERED_PICTURES = 1_024


def load_networks(settings: EngineSettings) -> tuple[FrameEncoder, Scorer]:
    """The frame encoder and the scorer fitted to it.

    Raises:
        EncoderMismatch: the model was trained on features of other encoders.
        OSError: a model cannot be found.
    """
    device = choose_device(settings.device)
    encoder = load_frame_encoder(
        settings.frame_encoder,
        device=device,
        dtype=choose_dtype(settings.dtype, device),
        max_batch=settings.frame_batch,
        compiled=settings.compile,
    )
    encoder.warm_up()
    encoder.remember(REMEMBERED_PICTURES)
    return encoder, load_scorer(settings, encoder)


async def run_engine(settings: Settings, ready_file: Path | None) -> None:
    """Run both consumers and follow the topic `models` until SIGTERM or SIGINT.

    The first to fail ends all.

    Raises:
        BrokerUnavailable: Kafka does not answer.
    """
    await create_topics(settings.kafka)
    if not settings.engine.torch_threads and choose_device(settings.engine.device).type == "cpu":
        # In this thread and before there are others: each takes over the number at its first use.
        torch.set_num_threads(fastest_threads())
        logger.info("threads chosen", extra={"torch_threads": torch.get_num_threads()})
    encoder, scorer = await asyncio.to_thread(load_networks, settings.engine)
    frames_started, scores_started = asyncio.Event(), asyncio.Event()
    scores = ScoreConsumer(settings, scorer)
    async with open_model_topic(settings.kafka) as topic:
        # Before the first window: no segment is scored by a champion of yesterday.
        await ModelUpdates(scorer, asyncio.to_thread).apply(latest(await topic.to_its_end()))
        scorer.catch_up()
        await asyncio.to_thread(scorer.warm_up)
        tasks = [
            asyncio.create_task(run_frame_consumer(settings, encoder, frames_started)),
            asyncio.create_task(scores.run(scores_started)),
            asyncio.create_task(
                ModelUpdates(scorer, scores.pipeline.between_batches).follow(topic)
            ),
        ]
        loop = asyncio.get_running_loop()
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signal_number, lambda: [task.cancel() for task in tasks])
        announcing = asyncio.create_task(_announce(ready_file, frames_started, scores_started))
        try:
            await asyncio.gather(*tasks)
        except asyncio.CancelledError:
            logger.info("engine stopped")
        finally:
            announcing.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _announce(ready_file: Path | None, *started: asyncio.Event) -> None:
    for event in started:
        await event.wait()
    logger.info("engine ready")
    if ready_file is not None:
        ready_file.touch()
