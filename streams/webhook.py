"""One signed HTTP POST of a highlight: Standard Webhooks, to public addresses only.

https://www.standardwebhooks.com: the receiver checks `webhook-signature` over id, timestamp and
body, and uses `webhook-id` as the idempotency key. Redirects are failures, for a redirect could
lead a signed request anywhere. The address that was checked is the address that is connected to.
"""

import errno
import ipaddress
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from standardwebhooks import Webhook
from yarl import URL

from limelight.streams.highlight_records import CONTENT_TYPE
from limelight.streams.settings import PushSettings

# Of a receiver's answer nothing is used but the status; a little is kept for the reason.
MAX_ANSWER_BYTES = 200


class Outcome(StrEnum):
    DELIVERED = "delivered"
    FAILED = "failed"  # try again
    GONE = "gone"  # 410: the receiver wants no more


@dataclass(frozen=True, slots=True)
class Attempt:
    outcome: Outcome
    reason: str
    retry_after_s: float | None = None


class PrivateAddress(OSError):
    """The endpoint resolves to an address that is not public."""


def _require_public(address: str, host: str) -> None:
    if not ipaddress.ip_address(address.partition("%")[0]).is_global:
        raise PrivateAddress(
            errno.EACCES,
            f"push.endpoint: found {host} at the private address {address}, expected a public one"
            " (LIMELIGHT_PUSH_ALLOW_PRIVATE_ADDRESSES=true permits it)",
        )


class _PublicResolver(AbstractResolver):
    """Resolves names and refuses private addresses, in the very look-up that is connected to."""

    def __init__(self) -> None:
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        results = await self._inner.resolve(host, port, family)
        for result in results:
            _require_public(result["host"], host)
        return results

    async def close(self) -> None:
        await self._inner.close()


def check_endpoint(settings: PushSettings) -> URL:
    """The endpoint as a URL.

    Raises:
        ValueError: not http(s), carries credentials, or is a private address that is not allowed.
    """
    url = URL(settings.endpoint)
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(
            f"push.endpoint: found {settings.endpoint!r}, expected http://... or https://..."
        )
    if url.user or url.password:
        raise ValueError("push.endpoint: found credentials in the URL, expected none")
    if not settings.secret.get_secret_value():
        raise ValueError("push.secret: found none, expected whsec_... (LIMELIGHT_PUSH_SECRET)")
    if not settings.allow_private_addresses:
        try:
            _require_public(url.host, url.host)
        except PrivateAddress as error:
            raise ValueError(error.strerror) from error
        except ValueError:
            pass  # a name: the resolver checks what it stands for, at each connection
    return url


class WebhookClient:
    """Sends signed events to one endpoint; an async context manager."""

    def __init__(self, settings: PushSettings) -> None:
        self.url = check_endpoint(settings)
        self._signer = Webhook(settings.secret.get_secret_value())
        self._timeout = aiohttp.ClientTimeout(total=settings.timeout_s)
        self._allow_private = settings.allow_private_addresses
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "WebhookClient":
        resolver = None if self._allow_private else _PublicResolver()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=resolver, limit=256), timeout=self._timeout
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(self, event_id: str, body: bytes) -> Attempt:
        """One attempt; every failure of the network or the receiver is an `Attempt`, not raised."""
        if self._session is None:
            raise ValueError("WebhookClient: found it closed, expected `async with`")
        now = datetime.now(UTC)
        headers = {
            "content-type": CONTENT_TYPE,
            "webhook-id": event_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(event_id, now, body.decode()),
        }
        try:
            async with self._session.post(
                self.url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                if 200 <= answer.status < 300:
                    return Attempt(Outcome.DELIVERED, f"status {answer.status}")
                text = (await answer.content.read(MAX_ANSWER_BYTES)).decode("utf-8", "replace")
                reason = f"{self.url.host} answered {answer.status} {text!r}, expected 2xx"
                if answer.status == 410:
                    return Attempt(Outcome.GONE, reason)
                wait = answer.headers.get("retry-after", "")
                wait_s = float(wait) if wait.isascii() and wait.isdigit() else None
                return Attempt(Outcome.FAILED, reason, wait_s)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            what = str(error) or type(error).__name__
            return Attempt(Outcome.FAILED, f"{self.url.host} could not be reached: {what}")
