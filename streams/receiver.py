"""A small receiver of pushed highlights: checks signatures, honours the idempotency key."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web
from pydantic import SecretStr
from standardwebhooks import WebhookVerificationError

from limelight.streams.webhook import make_signer

MAX_BODY_BYTES = 256_000
# How many ids are remembered to recognise a repeated delivery.
MAX_REMEMBERED_IDS = 100_000


class Receiver:
    """Counts and hands on each event once.

    Args:
        secret: the shared secret, `whsec_` and base64 of 24 to 64 bytes.
        on_event: called with each new CloudEvent.
        answer: the status to give for an event that is in order; a test can make it fail.
    """

    def __init__(
        self,
        secret: str,
        on_event: Callable[[dict[str, Any]], None],
        answer: Callable[[dict[str, Any]], int] = lambda event: 204,
    ) -> None:
        self.delivered = 0
        self.repeated = 0
        self.refused = 0
        self._webhook = make_signer(SecretStr(secret))
        self._on_event = on_event
        self._answer = answer
        self._seen: OrderedDict[str, None] = OrderedDict()

    def app(self) -> web.Application:
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.router.add_get("/healthz", self._health)
        application.router.add_post("/{path:.*}", self._receive)
        return application

    async def start(self, host: str, port: int) -> tuple[web.AppRunner, int]:
        """Serve until the runner's `cleanup()`; gives the port, chosen by the system for 0."""
        runner = web.AppRunner(self.app(), access_log=None, handle_signals=False)
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        return runner, int(runner.addresses[0][1])

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"delivered": self.delivered, "refused": self.refused})

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            self._webhook.verify(body, dict(request.headers), json_parse=False)
            event = orjson.loads(body)
        except (WebhookVerificationError, ValueError) as error:
            self.refused += 1
            return web.Response(status=401, text=f"signature refused: {error}")
        status = self._answer(event)
        if status >= 300:
            return web.Response(status=status, text="told to fail")
        event_id = request.headers["webhook-id"]
        if event_id in self._seen:
            self.repeated += 1
        else:
            self._seen[event_id] = None
            if len(self._seen) > MAX_REMEMBERED_IDS:
                self._seen.popitem(last=False)
            self.delivered += 1
            self._on_event(event)
        return web.Response(status=status)
