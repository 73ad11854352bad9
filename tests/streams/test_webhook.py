"""The webhook's signature against the published scheme, and the addresses that it refuses."""

import base64
import hashlib
import hmac
import socket
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import ClientSession, ThreadedResolver, web
from aiohttp.abc import AbstractResolver, ResolveResult
from pydantic import SecretStr

from limelight.streams import webhook
from limelight.streams.receiver import Receiver
from limelight.streams.settings import PushSettings
from limelight.streams.webhook import Outcome, WebhookClient, check_endpoint, is_public, make_signer

# Published with the libraries of Standard Webhooks.
VECTOR_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
VECTOR_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
VECTOR_TIME = 1_614_265_330
VECTOR_BODY = '{"test": 2432232314}'
VECTOR_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def settings(endpoint: str, **changes: Any) -> PushSettings:
    return PushSettings(endpoint=endpoint, secret=SecretStr(VECTOR_SECRET), **changes)


def signature(event_id: str, timestamp: int | str, body: str) -> str:
    """By the scheme's own words: HMAC-SHA256 of id.timestamp.body, with the decoded secret."""
    key = base64.b64decode(VECTOR_SECRET.removeprefix("whsec_"))
    content = f"{event_id}.{timestamp}.{body}".encode()
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


class Counted:
    """A receiver on an address and port that keeps the requests it got."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host, self.port = host, port
        self.requests: list[tuple[dict[str, str], str]] = []

    async def __aenter__(self) -> "Counted":
        async def take(request: web.Request) -> web.Response:
            self.requests.append((dict(request.headers), await request.text()))
            return web.Response(status=204)

        application = web.Application()
        application.router.add_route("*", "/{path:.*}", take)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._runner.cleanup()


def test_the_published_vector_is_signed_as_published() -> None:
    assert signature(VECTOR_ID, VECTOR_TIME, VECTOR_BODY) == VECTOR_SIGNATURE
    moment = datetime.fromtimestamp(VECTOR_TIME, UTC)
    found = make_signer(SecretStr(VECTOR_SECRET)).sign(VECTOR_ID, moment, VECTOR_BODY)
    assert found == VECTOR_SIGNATURE


async def test_what_is_sent_carries_id_time_and_the_signature_of_exactly_its_bytes() -> None:
    body = '{"room": "房"}'
    async with Counted() as receiver:
        there = settings(f"http://127.0.0.1:{receiver.port}/", allow_private_addresses=True)
        before = int(time.time())
        async with WebhookClient(there) as client:
            await client.post("room/1/opened/m", body.encode())
        after = int(time.time())
    headers, received = receiver.requests[0]
    assert received == body
    assert headers["webhook-id"] == "room/1/opened/m"
    assert before <= int(headers["webhook-timestamp"]) <= after
    expected = signature("room/1/opened/m", headers["webhook-timestamp"], body)
    assert headers["webhook-signature"] == expected


@pytest.mark.parametrize(
    ("seconds_off", "status"), [(-400, 401), (-200, 204), (0, 204), (200, 204), (400, 401)]
)
async def test_a_time_more_than_five_minutes_off_is_refused(seconds_off: int, status: int) -> None:
    receiver = Receiver(VECTOR_SECRET, lambda event: None)
    runner, port = await receiver.start("127.0.0.1", 0)
    timestamp = int(time.time()) + seconds_off
    headers = {
        "webhook-id": "id",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature("id", timestamp, "{}"),
    }
    async with ClientSession() as session:
        url = f"http://127.0.0.1:{port}/"
        async with session.post(url, data=b"{}", headers=headers) as answer:
            assert answer.status == status
    await runner.cleanup()


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:4700::1111", True),
        ("64:ff9b::5db8:d70e", True),  # 93.184.215.14 behind NAT64
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("172.31.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),  # shared by carriers
        ("169.254.169.254", False),  # where clouds tell a machine its credentials
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("240.0.0.1", False),
        ("::", False),
        ("::1", False),
        ("::127.0.0.1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),  # 127.0.0.1 behind 6to4
        ("fe80::1%eth0", False),
        ("fec0::1", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("2001:db8::1", False),
    ],
)
def test_only_addresses_of_the_internet_are_public(address: str, public: bool) -> None:
    assert is_public(address) == public


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "0.0.0.0",
        "169.254.169.254",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[fe80::1%25lo]",
    ],
)
def test_a_private_address_is_refused_at_the_start(host: str) -> None:
    with pytest.raises(ValueError, match="found the private address"):
        check_endpoint(settings(f"http://{host}/"))


@pytest.mark.parametrize(
    "host", ["localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "127.0.0.1.", "0"]
)
async def test_another_spelling_of_a_private_address_is_never_connected_to(host: str) -> None:
    async with Counted() as receiver:
        try:
            async with WebhookClient(settings(f"http://{host}:{receiver.port}/")) as client:
                attempt = await client.post("id", b"{}")
        except ValueError as error:
            assert "private address" in str(error)
        else:
            assert attempt.outcome is Outcome.FAILED
        assert receiver.requests == []


class Rebinding(AbstractResolver):
    """A name server that turns a name round between two look-ups."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return await ThreadedResolver().resolve(self.addresses.pop(0), port, family)

    async def close(self) -> None:
        pass


async def test_a_name_that_turns_private_later_is_not_followed(monkeypatch) -> None:
    # The internet of this test is 127.0.0.2; all else of loopback is private, as ever.
    monkeypatch.setattr(
        webhook, "is_public", lambda address: address == "127.0.0.2" or is_public(address)
    )
    async with (
        Counted("127.0.0.2") as outside,
        Counted("127.0.0.1", outside.port) as inside,
    ):
        resolver = Rebinding("127.0.0.2", "127.0.0.1")
        there = settings(f"http://hooks.example:{outside.port}/")
        outcomes = []
        for _ in range(2):  # two clients, so that no open connection is used again
            async with WebhookClient(there, resolver) as client:
                outcomes.append(await client.post("id", b"{}"))
    assert [attempt.outcome for attempt in outcomes] == [Outcome.DELIVERED, Outcome.FAILED]
    assert "found the private address 127.0.0.1" in outcomes[1].reason
    assert len(outside.requests) == 1
    assert inside.requests == []
    assert resolver.addresses == []  # no further look-up between the check and the connection


async def test_a_proxy_named_by_the_environment_is_not_used(monkeypatch) -> None:
    async with Counted() as proxy, Counted() as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        there = settings(f"http://127.0.0.1:{receiver.port}/", allow_private_addresses=True)
        async with WebhookClient(there) as client:
            attempt = await client.post("id", b"{}")
    assert attempt.outcome is Outcome.DELIVERED
    assert len(receiver.requests) == 1
    assert proxy.requests == []


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        ("", "push.secret: found none"),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "expected whsec_ and base64"),
        ("whsec_not base64 at all, not at all!", "found no base64 behind whsec_"),
        ("whsec_c2hvcnQ=", "found 5 bytes behind whsec_, expected 24 to 64"),
        ("whsec_" + base64.b64encode(bytes(65)).decode(), "found 65 bytes"),
    ],
)
def test_a_secret_of_another_form_is_refused_without_being_told(secret, expected) -> None:
    there = PushSettings(endpoint="https://example.org/", secret=SecretStr(secret))
    with pytest.raises(ValueError, match=expected) as caught:
        check_endpoint(there)
    told = secret.removeprefix("whsec_")
    assert not told or told not in str(caught.value)


def test_a_secret_without_its_padding_is_the_same_secret() -> None:
    padded = "whsec_" + base64.b64encode(bytes(range(25))).decode()
    moment = datetime.fromtimestamp(VECTOR_TIME, UTC)
    signatures = {
        make_signer(SecretStr(text)).sign("id", moment, "{}")
        for text in (padded, padded.rstrip("="))
    }
    assert len(signatures) == 1
