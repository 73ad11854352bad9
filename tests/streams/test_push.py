"""Webhooks against a real HTTP receiver on loopback."""

import asyncio
import base64
import random
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession, web
from pydantic import SecretStr

from limelight.streams.pusher import Delivery, RoomLanes
from limelight.streams.receiver import Receiver
from limelight.streams.settings import PushSettings
from limelight.streams.webhook import Attempt, Outcome, WebhookClient, check_endpoint

SECRET = "whsec_" + base64.b64encode(b"a secret of 24 bytes ...").decode()
EVENT = orjson.dumps({"id": "room/1/opened/m", "data": {"kind": "opened", "room_id": "房"}})


def push_settings(port: int, **changes: Any) -> PushSettings:
    values = {
        "endpoint": f"http://127.0.0.1:{port}/hook",
        "secret": SecretStr(SECRET),
        "allow_private_addresses": True,
        "max_attempts": 3,
    }
    return PushSettings(**(values | changes))


class Served:
    """A receiver on a free port for the length of a block."""

    def __init__(self, answer: Callable[[dict[str, Any]], int] = lambda event: 204) -> None:
        self.events: list[dict[str, Any]] = []
        self.receiver = Receiver(SECRET, self.events.append, answer)

    async def __aenter__(self) -> "Served":
        self._runner, self.port = await self.receiver.start("127.0.0.1", 0)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._runner.cleanup()


async def raise_it(error: Exception) -> None:
    raise error


class Clock:
    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def make_delivery(settings: PushSettings, post, clock: Clock) -> Delivery:
    return Delivery(settings, post, rng=random.Random(0), sleep=clock.sleep)


async def test_a_signed_event_arrives_once_however_often_it_is_sent() -> None:
    async with Served() as served, WebhookClient(push_settings(served.port)) as client:
        for _ in range(3):
            attempt = await client.post("room/1/opened/m", EVENT)
            assert attempt.outcome is Outcome.DELIVERED
        assert served.events == [orjson.loads(EVENT)]
        assert served.receiver.repeated == 2


async def test_another_secret_is_refused() -> None:
    other = SecretStr("whsec_" + base64.b64encode(b"another secret, 24 bytes").decode())
    async with Served() as served:
        async with WebhookClient(push_settings(served.port, secret=other)) as client:
            attempt = await client.post("id", EVENT)
        assert attempt.outcome is Outcome.FAILED
        assert "answered 401" in attempt.reason
        assert served.events == []


async def test_an_old_signature_is_refused() -> None:
    async with Served() as served, ClientSession() as session:
        headers = {"webhook-id": "a", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"}
        url = f"http://127.0.0.1:{served.port}/"
        async with session.post(url, data=EVENT, headers=headers) as answer:
            assert answer.status == 401
        assert served.receiver.refused == 1


async def test_a_receiver_that_answers_500_is_asked_again_with_growing_pauses() -> None:
    answers = [500, 500, 204]
    clock = Clock()
    async with Served(lambda event: answers.pop(0)) as served:
        settings = push_settings(served.port, first_backoff_s=1.0)
        async with WebhookClient(settings) as client:
            assert await make_delivery(settings, client.post, clock).deliver("id", EVENT) is None
        assert len(served.events) == 1
    assert 0.5 <= clock.slept[0] <= 1.0 <= clock.slept[1] <= 2.0


async def test_a_receiver_that_stays_down_is_given_up_with_the_reason() -> None:
    async with Served() as served:
        settings = push_settings(served.port)
    clock = Clock()
    async with WebhookClient(settings) as client:
        reason = await make_delivery(settings, client.post, clock).deliver("id", EVENT)
    assert reason is not None
    assert reason.startswith("gave up after 3 attempts: 127.0.0.1 could not be reached")
    assert len(clock.slept) == 2


async def test_410_switches_the_endpoint_off_for_all_that_follows() -> None:
    asked = []

    async def post(event_id: str, body: bytes) -> Attempt:
        asked.append(event_id)
        return Attempt(Outcome.GONE, "answered 410")

    delivery = make_delivery(push_settings(1), post, Clock())
    assert await delivery.deliver("one", EVENT) == "endpoint switched off: answered 410"
    assert await delivery.deliver("two", EVENT) == "endpoint switched off: answered 410"
    assert asked == ["one"]


async def test_retry_after_is_heeded_within_the_bound() -> None:
    async def post(event_id: str, body: bytes) -> Attempt:
        return Attempt(Outcome.FAILED, "busy", retry_after_s=500.0)

    clock = Clock()
    settings = push_settings(1, max_backoff_s=20.0)
    assert await make_delivery(settings, post, clock).deliver("id", EVENT) is not None
    assert clock.slept == [20.0, 20.0]


async def test_a_redirect_is_a_failure_and_is_not_followed() -> None:
    asked = []

    async def redirect(request: web.Request) -> web.Response:
        asked.append(request.path)
        raise web.HTTPFound("/elsewhere")

    application = web.Application()
    application.router.add_post("/{path:.*}", redirect)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with WebhookClient(push_settings(runner.addresses[0][1])) as client:
        attempt = await client.post("id", EVENT)
    await runner.cleanup()
    assert attempt.outcome is Outcome.FAILED
    assert "answered 302" in attempt.reason
    assert asked == ["/hook"]


async def test_a_name_that_resolves_to_a_private_address_is_refused() -> None:
    settings = push_settings(1, endpoint="http://localhost:1/hook", allow_private_addresses=False)
    async with WebhookClient(settings) as client:
        attempt = await client.post("id", EVENT)
    assert attempt.outcome is Outcome.FAILED
    assert "private address" in attempt.reason


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"allow_private_addresses": False}, "private address 127.0.0.1"),
        ({"endpoint": "ftp://example.org"}, "expected http://"),
        ({"endpoint": "https://user:pw@example.org/"}, "found credentials"),
        ({"secret": SecretStr("")}, "push.secret: found none"),
    ],
)
def test_an_endpoint_that_must_not_be_used_is_refused_at_start(changes, expected) -> None:
    with pytest.raises(ValueError, match=expected):
        check_endpoint(push_settings(1, **changes))


async def test_a_room_keeps_its_order_while_others_overtake_it() -> None:
    lanes = RoomLanes(8, on_failure=raise_it, most_jobs=8)
    done: list[str] = []
    gate = asyncio.Event()

    def job(name: str, wait: bool = False):
        async def run() -> None:
            if wait:
                await gate.wait()
            done.append(name)

        return run

    await lanes.put("slow", job("slow 1", wait=True))
    await lanes.put("slow", job("slow 2"))
    await lanes.put("quick", job("quick 1"))
    await asyncio.sleep(0)
    assert done == ["quick 1"]
    gate.set()
    while len(done) < 3:
        await asyncio.sleep(0)
    assert done == ["quick 1", "slow 1", "slow 2"]


async def test_a_body_larger_than_the_limit_is_refused_unread() -> None:
    async with Served() as served, WebhookClient(push_settings(served.port)) as client:
        attempt = await client.post("id", b"x" * 300_000)
        assert attempt.outcome is Outcome.FAILED
        assert served.events == []
