"""What a replay plays: messages in event-time order, wherever they come from."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass

from limelight.replay.scripted_message import ScriptedMessage

# Messages read ahead of their time, so that decoding a picture does not delay the rest.
_READ_AHEAD = 256


@dataclass(frozen=True, slots=True)
class Source:
    """Messages with the marks between them, and the event times they lie between.

    `start_ms` and `end_ms` are None where only reading tells. All times are those that are sent;
    `shift_ms` is what they are ahead of the source's own.
    """

    messages: AsyncGenerator[ScriptedMessage, None]
    start_ms: int | None
    end_ms: int | None
    shift_ms: int = 0


async def read_ahead(messages: Iterator[ScriptedMessage]) -> AsyncGenerator[ScriptedMessage, None]:
    """The messages, read in a thread of their own, a bounded number of them ahead."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[ScriptedMessage | BaseException | None] = asyncio.Queue()
    places = threading.Semaphore(_READ_AHEAD)
    stop = threading.Event()

    def read() -> None:
        last: BaseException | None = None
        try:
            for message in messages:
                places.acquire()
                if stop.is_set():
                    return
                loop.call_soon_threadsafe(queue.put_nowait, message)
        except BaseException as error:
            last = error
        loop.call_soon_threadsafe(queue.put_nowait, last)

    thread = threading.Thread(target=read, name="read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item = await queue.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            places.release()
            yield item
    finally:
        stop.set()
        places.release()
        await asyncio.to_thread(thread.join)
