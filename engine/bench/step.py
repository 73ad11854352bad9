"""The rolling step against peers written plainly, each with its roofline."""

from collections.abc import Callable
from copy import deepcopy
from functools import partial

import torch

from limelight.engine.bench.ceilings import Ceilings, has_bfloat16, name_of
from limelight.engine.bench.plan import Plan
from limelight.engine.bench.report import Row, Section, waiting
from limelight.engine.bench.roofline import (
    Work,
    columns,
    decode_work,
    ring_bytes,
    step_work,
    window_decode_work,
    window_work,
)
from limelight.engine.bench.segments import made_up_segments
from limelight.engine.bench.steps import HuggingFaceDecoder, ServedStep
from limelight.engine.bench.timing import Timing, interleaved
from limelight.engine.kv_cache import RingKVCache
from limelight.engine.window_decoder import WindowDecoder
from limelight.models.contentctr.model import ContentCTR

SERVED = "rolling step"
EAGER = "full window, eager"
COMPILED = "full window, compiled"
DECODER = "decoder alone: rolling"
WINDOW_DECODER = "decoder alone: window"
STATIC = "decoder alone: Hugging Face static sliding cache"
DYNAMIC = "decoder alone: Hugging Face dynamic sliding cache"
FROM_HOST = "rolling step, features from the host"

_WAITS_FOR_GPU = "a GPU"
_GPU_ROOMS = 4_096
_OF_ROOFLINE = ">= 50 % of roofline"
_ALLOCATION_STEPS = 20


def measure(plan: Plan, ceilings: Ceilings) -> list[Section]:
    torch.manual_seed(0)
    model = ContentCTR(plan.config()).to(plan.device, plan.dtype).eval()
    compiled, reason = _compiled(model, plan)
    rows: list[Row] = []
    for rooms in plan.rooms:
        rows += _step_rows(plan, ceilings, model, rooms, compiled)
        if compiled is None:
            rows.append(waiting({"rooms": rooms, "what": COMPILED}, reason))
    if not plan.on_cuda:
        rows += _gpu_rows()
    dtypes = [row for rooms in plan.rooms for row in _dtype_rows(plan, ceilings, model, rooms)]
    note = (
        f"Preset {plan.preset}, window of {model.config.window_length}, {name_of(plan.dtype)}, "
        f"{_where(plan)}, full rings, seed 0; features in, logits out, unless the decoder stands "
        "alone. Peers take turns in one process; slower: their time over that of the rolling step, "
        "of decoders over that of the rolling decoder. GFLOP and MB are counted for each, the "
        "bound is the longer of both at the measured ceilings."
    )
    return [
        Section("step", "Rolling step against its peers", tuple(rows), note),
        Section(
            "dtype",
            "The step in bfloat16 against float32",
            tuple(dtypes),
            f"Preset {plan.preset}, {_where(plan)}.",
        ),
        Section(
            "memory",
            "Memory of the step",
            (*_ring_rows(plan), _allocation_row(plan, model)),
            f"Preset {plan.preset}; allocations are counted over {_ALLOCATION_STEPS} steps.",
        ),
    ]


def _step_rows(
    plan: Plan,
    ceilings: Ceilings,
    model: ContentCTR,
    rooms: int,
    compiled: Callable[..., torch.Tensor] | None,
) -> list[Row]:
    config, dtype = model.config, plan.dtype
    segments = made_up_segments(model, rooms, config.window_length)
    newest, windows = segments.newest(), segments.all()
    step = ServedStep(model, rooms)
    step.prefill(segments)
    with torch.inference_mode():
        outputs = model.perceive(*windows)
        x = outputs[:, -1].contiguous()
    window = WindowDecoder(model, rooms)
    window.prefill(step.slots, outputs, torch.full((rooms,), config.window_length))
    caches = {STATIC: HuggingFaceDecoder(model, static=True)}
    caches[DYNAMIC] = HuggingFaceDecoder(model, static=False)
    peers: dict[str, Callable[[], object]] = {
        SERVED: lambda: step(*newest),
        EAGER: lambda: model(*windows)[:, -1],
        DECODER: lambda: step.decoder.decode_step(step.slots, x),
        WINDOW_DECODER: lambda: window.decode_step(step.slots, x),
    }
    for name, cache in caches.items():
        cache.prefill(outputs)
        peers[name] = partial(cache.decode_step, x)
    if compiled is not None:
        peers[COMPILED] = lambda: compiled(*windows)[:, -1]
    if plan.on_cuda:
        host = [each.cpu() for each in newest]
        peers[FROM_HOST] = lambda: step(*host).cpu()
    with torch.inference_mode():
        timings = interleaved(peers, repeats=plan.repeats)
    whole, alone = step_work(config, rooms, dtype), decode_work(config, rooms, dtype)
    windowed = window_work(config, rooms, dtype)
    works = {
        SERVED: whole,
        FROM_HOST: whole,
        EAGER: windowed,
        COMPILED: windowed,
        WINDOW_DECODER: window_decode_work(config, rooms, dtype),
    }
    targets = _targets(plan, rooms)
    return [
        {
            **_timed(rooms, name, timings, works.get(name, alone), ceilings, dtype),
            "target": targets.get(name, ""),
        }
        for name in timings
    ]


def _timed(
    rooms: int,
    name: str,
    timings: dict[str, Timing],
    work: Work,
    ceilings: Ceilings,
    dtype: torch.dtype,
) -> Row:
    found = timings[name]
    ours = timings[DECODER if name.startswith("decoder") else SERVED]
    return {
        "rooms": rooms,
        "what": name,
        "min ms": found.min_ms,
        "median ms": found.median_ms,
        "rooms/s": round(1000 * rooms / found.min_ms),
        "slower, by minimum": found.min_ms / ours.min_ms,
        "slower, by median": found.median_ms / ours.median_ms,
        **columns(work, ceilings, dtype, found.min_ms),
    }


def _targets(plan: Plan, rooms: int) -> dict[str, str]:
    """What the step is held to, for preset base."""
    if plan.preset != "base":
        return {}
    targets = {STATIC: ">= 2x", DYNAMIC: ">= 2x"}
    if plan.on_cuda and rooms == _GPU_ROOMS:
        return {**targets, EAGER: ">= 15x", SERVED: _OF_ROOFLINE}
    if not plan.on_cuda and rooms in (64, 256):
        return {**targets, EAGER: ">= 15x" if rooms == 64 else ">= 20x"}
    return targets


def _gpu_rows() -> list[Row]:
    """What a GPU is held to, where there is none; its own run has these rows with figures."""
    targets = {SERVED: _OF_ROOFLINE, EAGER: ">= 15x", STATIC: ">= 2x", DYNAMIC: ">= 2x"}
    return [
        waiting({"rooms": _GPU_ROOMS, "what": name, "target": target}, _WAITS_FOR_GPU)
        for name, target in targets.items()
    ]


def _compiled(model: ContentCTR, plan: Plan) -> tuple[Callable[..., torch.Tensor] | None, str]:
    """The model under torch.compile, or the reason why not."""
    if not plan.compiled:
        return None, "a run without --quick: compiling takes minutes"
    compiled = torch.compile(model, dynamic=False)
    torch._dynamo.reset()
    try:
        with torch.inference_mode():
            compiled(*made_up_segments(model, plan.rooms[0], model.config.window_length).all())
    except Exception as error:  # a missing compiler, or one that torch cannot use
        reason = (str(error).strip().splitlines() or [""])[0]
        return None, f"torch.compile: {type(error).__name__}: {reason[:80]}"
    return compiled, ""


def _dtype_rows(plan: Plan, ceilings: Ceilings, model: ContentCTR, rooms: int) -> list[Row]:
    """bfloat16 beside float32, each with weights, features and rings of its own."""
    config = model.config
    supported = has_bfloat16(plan.device)
    dtypes = [torch.float32, torch.bfloat16] if supported else [torch.float32]
    peers: dict[str, Callable[[], object]] = {}
    for dtype in dtypes:
        # A copy: `to` would change the model itself.
        network = deepcopy(model).to(dtype)
        segments = made_up_segments(network, rooms, config.window_length)
        step = ServedStep(network, rooms)
        step.prefill(segments)
        peers[name_of(dtype)] = partial(step, *segments.newest())
    timings = interleaved(peers, repeats=plan.repeats)
    reference = timings[name_of(torch.float32)]
    rows: list[Row] = []
    for dtype in dtypes:
        found = timings[name_of(dtype)]
        work = step_work(config, rooms, dtype)
        rows.append(
            {
                "rooms": rooms,
                "what": f"{SERVED}, {name_of(dtype)}",
                "min ms": found.min_ms,
                "median ms": found.median_ms,
                "faster, by minimum": reference.min_ms / found.min_ms,
                "faster, by median": reference.median_ms / found.median_ms,
                **columns(work, ceilings, dtype, found.min_ms),
                "target": "" if dtype == torch.float32 or plan.on_cuda else ">= 1.5x",
            }
        )
    if not supported:
        row: Row = {"rooms": rooms, "what": f"{SERVED}, bfloat16", "target": ">= 1.5x"}
        rows.append(waiting(row, "a CPU with avx512_bf16 or amx_bf16"))
    return rows


def _ring_rows(plan: Plan) -> list[Row]:
    """What a room's keys and values take in a cache as it is allocated."""
    config = plan.config()
    rows: list[Row] = []
    for dtype in (torch.float32, torch.bfloat16):
        cache = RingKVCache(
            num_layers=config.num_decoder_layers,
            capacity=1,
            num_heads=config.num_heads,
            window_length=config.window_length,
            head_dim=config.head_dim,
            device=plan.device,
            dtype=dtype,
        )
        row: Row = {
            "what": f"keys and values of a room, {name_of(dtype)}",
            "found": cache.bytes_per_slot,
            "unit": "bytes",
            "counted": ring_bytes(config, dtype),
        }
        if dtype == torch.bfloat16 and plan.preset == "base":
            row["target"] = "<= 123 KB"
        rows.append(row)
    return rows


def _allocation_row(plan: Plan, model: ContentCTR) -> Row:
    """How often the device's allocator is asked in the steady state."""
    row: Row = {"what": "device allocations a step", "unit": "allocations", "target": "0"}
    if not plan.on_cuda:
        return waiting(row, _WAITS_FOR_GPU)
    rooms = plan.rooms[0]
    segments = made_up_segments(model, rooms, model.config.window_length)
    step = ServedStep(model, rooms)
    step.prefill(segments)
    host = [each.cpu() for each in segments.newest()]
    for _ in range(3):
        step(*host)
    before = _allocations(plan.device)
    for _ in range(_ALLOCATION_STEPS):
        step(*host)
    return {**row, "found": (_allocations(plan.device) - before) / _ALLOCATION_STEPS}


def _allocations(device: torch.device) -> int:
    torch.cuda.synchronize(device)
    return int(torch.cuda.memory_stats(device)["allocation.all.allocated"])


def _where(plan: Plan) -> str:
    if plan.on_cuda:
        return torch.cuda.get_device_name(plan.device)
    return f"CPU, {torch.get_num_threads()} threads"
