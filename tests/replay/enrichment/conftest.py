"""A highlight of a video that shows each second in its own colour, and the models to look at it."""

from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from limelight.engine.settings import EngineSettings
from limelight.replay.enrichment.clip_models import ClipModels, load_clip_models
from limelight.streams.settings import EnrichmentSettings

STARTED_MS = 1_777_636_800_000


def make_highlight(start_s: float, end_s: float, **changes: Any) -> dict[str, Any]:
    start_ms = STARTED_MS + round(start_s * 1_000)
    return {
        "kind": "closed",
        "highlight_id": f"room-1/{start_ms}/energy",
        "room_id": "room-1",
        "streamer_id": "anna",
        "room_started_ms": STARTED_MS,
        "segment_index": 0,
        "start_ms": start_ms,
        "end_ms": STARTED_MS + round(end_s * 1_000),
        "decided_by": "energy",
        "model_version": "energy",
        "baseline": 0.4,
        "rise": 0.3,
        "peak": {
            "segment_index": 0, "start_ms": start_ms, "value": 0.7, "ctr": 0.5, "energy": 0.7,
            "modality_shares": {}, "strongest_comments": ["太强了", "🔥🔥"], "comment_count": 9,
            "key_frame_ms": None, "speech": "音乐准备好了 这支舞练了很久",
        },
        "reason": "comment energy rose",
        "timings": {},
        **changes,
    }  # fmt: skip


@pytest.fixture
def highlight() -> Callable[..., dict[str, Any]]:
    return make_highlight


@pytest.fixture(scope="session")
def clip_models() -> ClipModels:
    """The bundled models."""
    return load_clip_models(EnrichmentSettings(), EngineSettings())


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def file_server(tmp_path: Path) -> Iterator[str]:
    """The address of a server of the test's folder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path)))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()
