"""A TCP proxy before the broker, so that connections can be cut and held up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Proxy:
    """Forwards every connection; `cut` breaks all of them, `hold_up` lets nothing through."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._open: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()

    def cut(self) -> int:
        """Reset every connection; gives how many there were."""
        broken = len(self._open) // 2
        for writer in self._open:
            writer.transport.abort()
        return broken

    async def hold_up(self, seconds: float) -> None:
        """Let bytes wait; connections stay open."""
        self._flowing.clear()
        await asyncio.sleep(seconds)
        self._flowing.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            to_broker = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, to_broker[1]}
        try:
            await asyncio.gather(self._pump(reader, to_broker[1]), self._pump(to_broker[0], writer))
        finally:
            for each in (writer, to_broker[1]):
                self._open.discard(each)
                each.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


@asynccontextmanager
async def running_proxy(port: int, target_port: int) -> AsyncIterator[Proxy]:
    """A proxy on a loopback port for the length of a block."""
    proxy = Proxy(target_port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", port)
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
