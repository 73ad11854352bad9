"""One signed HTTP POST of a highlight: Standard Webhooks, to public addresses only.

https://www.standardwebhooks.com: the receiver checks `webhook-signature` over id, timestamp and
body, and uses `webhook-id` as the idempotency key. Redirects are failures, for a redirect could
lead a signed request anywhere. The address that was checked is the address that is connected to.
"""

import base64
import errno
import ipaddress
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.connector import AddrInfoType
from pydantic import SecretStr
from standardwebhooks import Webhook
from yarl import URL

from limelight.streams.highlight_records import CONTENT_TYPE
from limelight.streams.settings import PushSettings

# Of a receiver's answer nothing is used but the status; a little is kept for the reason.
MAX_ANSWER_BYTES = 200
# The form of a secret, as the scheme has it.
SECRET_PREFIX = "whsec_"
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64


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
    """The endpoint stands for an address that is not public."""


# Addresses of these carry an IPv4 address, and lead to it through a translator.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether anybody on the internet may own the address.

    Worked example: 127.0.0.1, 10.0.0.1, 169.254.169.254, 224.0.0.1, fe80::1%eth0 and
    ::ffff:127.0.0.1 are not; 93.184.215.14 and 64:ff9b::5db8:d70e, which carries it, are.

    Raises:
        ValueError: not an IP address.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        carried = found.ipv4_mapped or found.sixtofour
        if found in _NAT64:
            carried = ipaddress.IPv4Address(int(found) & 0xFFFF_FFFF)
        if carried is not None:
            return is_public(str(carried))
        if found.is_site_local:
            return False
    return found.is_global and not found.is_multicast and not found.is_reserved


def _require_public(address: str) -> None:
    if not is_public(address):
        raise PrivateAddress(
            errno.EACCES,
            f"push.endpoint: found the private address {address}, expected a public one"
            " (LIMELIGHT_PUSH_ALLOW_PRIVATE_ADDRESSES=true permits it)",
        )


def _public_socket(addr_info: AddrInfoType) -> socket.socket:
    """A socket for a public address; every connection is made through it, however it was named.

    Here no second look-up can lie between the check and the connection.
    """
    family, kind, protocol, _, address = addr_info
    _require_public(str(address[0]))
    return socket.socket(family, kind, protocol)


def make_signer(secret: SecretStr) -> Webhook:
    """Signs and verifies by the secret, `whsec_` and base64 of 24 to 64 bytes.

    Raises:
        ValueError: another form; the secret is not in the text.
    """
    text = secret.get_secret_value()
    if not text:
        raise ValueError("push.secret: found none, expected whsec_... (LIMELIGHT_PUSH_SECRET)")
    if not text.startswith(SECRET_PREFIX):
        raise ValueError("push.secret: found another start, expected whsec_ and base64")
    encoded = text.removeprefix(SECRET_PREFIX)
    try:
        # Some tools leave the padding out.
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        raise ValueError("push.secret: found no base64 behind whsec_, expected it") from None
    if not MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES:
        raise ValueError(
            f"push.secret: found {len(key)} bytes behind whsec_, expected {MIN_SECRET_BYTES} to"
            f" {MAX_SECRET_BYTES}"
        )
    return Webhook(key)


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
    make_signer(settings.secret)
    if not settings.allow_private_addresses:
        try:
            _require_public(url.host)
        except PrivateAddress as error:
            raise ValueError(error.strerror) from error
        except ValueError:
            pass  # a name: what it stands for is checked at each connection
    return url


class WebhookClient:
    """Sends signed events to one endpoint; an async context manager.

    Args:
        settings: endpoint, secret, limits.
        resolver: looks names up; None takes the system's.
    """

    def __init__(self, settings: PushSettings, resolver: AbstractResolver | None = None) -> None:
        self.url = check_endpoint(settings)
        self._resolver = resolver
        self._signer = make_signer(settings.secret)
        self._timeout = aiohttp.ClientTimeout(total=settings.timeout_s)
        self._allow_private = settings.allow_private_addresses
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "WebhookClient":
        connector = aiohttp.TCPConnector(
            limit=256,
            resolver=self._resolver,
            socket_factory=None if self._allow_private else _public_socket,
        )
        # Proxies named by the environment would connect for us, unchecked.
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=self._timeout, trust_env=False
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
