"""`limelight listen`: a receiver to try the push with, printing each highlight event."""

import asyncio
import signal
from typing import Any

from rich.console import Console

from limelight.streams.broker import require_free_port
from limelight.streams.receiver import Receiver

_COLOURS = {"opened": "green", "updated": "yellow", "closed": "cyan", "enriched": "magenta"}


def describe(event: dict[str, Any]) -> str:
    """One line about a highlight event, with rich's markup escaped away by the caller."""
    data = event["data"]
    length_s = (data["end_ms"] - data["start_ms"]) / 1000
    return (
        f"{data['kind']:<8} {data['room_id']}  {event['time']}  {length_s:.0f} s  {data['reason']}"
    )


async def run_listener(secret: str, host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        ValueError: no usable secret to check signatures with.
        BrokerUnavailable: the port is taken.
    """
    console = Console()

    def show(event: dict[str, Any]) -> None:
        console.print(describe(event), style=_COLOURS.get(event["data"]["kind"], ""), markup=False)

    receiver = Receiver(secret, show)
    if port:
        require_free_port(host, port, "listen")
    runner, port = await receiver.start(host, port)
    console.print(f"listening on http://{host}:{port}/ (Ctrl-C ends)", markup=False)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signal_number, stop.set)
    await stop.wait()
    await runner.cleanup()
    console.print(
        f"{receiver.delivered} delivered, {receiver.repeated} repeated, {receiver.refused} refused"
    )
