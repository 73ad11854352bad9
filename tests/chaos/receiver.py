"""A receiver as a process of its own, which remembers across its own crashes what it has taken.

An event is written to the journal before it is answered. What the mode file says is asked anew for
each request: {"fail": share of requests answered 500, "delay_s": wait before each answer}.
"""

import asyncio
import json
import os
import random
import sys
import time
from pathlib import Path

from aiohttp import web
from standardwebhooks import Webhook


async def serve(port: int, folder: Path) -> None:
    journal, asked = folder / "journal.txt", folder / "asked.txt"
    taken = set(journal.read_text().split("\n")) if journal.exists() else set()
    webhook = Webhook(os.environ["CHAOS_SECRET"])
    rng = random.Random(port)

    async def receive(request: web.Request) -> web.Response:
        body = await request.read()
        webhook.verify(body, dict(request.headers))
        event_id = request.headers["webhook-id"]
        with asked.open("a") as file:
            file.write(f"{event_id} {time.time()}\n")
        mode = json.loads((folder / "mode.json").read_text())
        await asyncio.sleep(mode["delay_s"])
        if rng.random() < mode["fail"]:
            return web.Response(status=500)
        if event_id not in taken:
            taken.add(event_id)
            with journal.open("a") as file:
                file.write(f"{event_id}\n")
        return web.Response(status=204)

    application = web.Application()
    application.router.add_post("/", receive)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
