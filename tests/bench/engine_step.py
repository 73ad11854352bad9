"""What the KV cache saves: one decode step of all due rooms, against decoding their windows anew.

Both get the same Perceiver outputs, so the encoders, equal on both sides, are left out.
"""

import torch

from limelight.engine.incremental import IncrementalDecoder
from limelight.engine.window_decoder import WindowDecoder
from limelight.models.contentctr.config import base
from limelight.models.contentctr.model import ContentCTR
from tests.bench.result import Result, interleaved

ROOMS = (64, 256)
REPEATS = {64: 15, 256: 7}
THREADS = 2


def run() -> Result:
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = ContentCTR(base()).to(device).eval()
    rows = []
    for rooms in ROOMS:
        rolling, window = IncrementalDecoder(model, rooms), WindowDecoder(model, rooms)
        slots = torch.arange(rooms)
        length = model.config.window_length
        past = torch.randn(rooms, length, model.config.hidden_size, device=device)
        newest = past[:, -1]
        for decoder in (rolling, window):
            decoder.prefill(slots, past, torch.full((rooms,), length))
        # Reading the logits back makes the clock wait for the GPU.
        timings = interleaved(
            {
                "rolling": lambda d=rolling, s=slots, x=newest: d.decode_step(s, x).cpu(),
                "window": lambda d=window, s=slots, x=newest: d.decode_step(s, x).cpu(),
            },
            repeats=REPEATS[rooms],
        )
        fast, slow = timings["rolling"], timings["window"]
        rows.append(
            (
                rooms,
                round(fast.min_ms, 1),
                round(fast.median_ms, 1),
                round(slow.min_ms, 1),
                round(slow.median_ms, 1),
                f"{slow.median_ms / fast.median_ms:.1f}x",
            )
        )
    return Result(
        title="Decode step with the KV cache, against the whole window",
        columns=(
            "rooms",
            "rolling, min ms",
            "rolling, median ms",
            "window, min ms",
            "window, median ms",
            "ratio",
        ),
        rows=tuple(rows),
        note=(
            f"Preset base, window of 20, float32, eager torch {torch.__version__} on "
            f"{device.type}, {THREADS} threads, seed 0; the Perceiver's outputs are given."
        ),
    )
