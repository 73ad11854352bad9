"""What networks cost beside the plain step: prefill, explanations, a challenger, a new champion."""

import gc
from collections.abc import Callable
from copy import deepcopy
from itertools import cycle, islice
from time import perf_counter

import numpy as np
import torch

from limelight.engine.bench.ceilings import Ceilings, name_of
from limelight.engine.bench.made_up import MadeUpRooms, drawn_texts
from limelight.engine.bench.memory import PeakMemory
from limelight.engine.bench.plan import Plan
from limelight.engine.bench.random_encoders import bert
from limelight.engine.bench.report import Row, Section
from limelight.engine.bench.roofline import Work, columns, prefill_work, step_work
from limelight.engine.bench.timing import Timing, interleaved, wait_for_device
from limelight.engine.networks import Networks
from limelight.engine.room_encodings import RoomEncodings
from limelight.engine.room_network import RoomNetwork
from limelight.models.contentctr.model import ContentCTR

STEP = "step"
EXPLAINED = "step, 5 % of the rooms explained"
CHALLENGED = "step, with a challenger"
PREFILL = "prefill of whole windows"
SWAP = "a new champion catches up and takes over"

_EXPLAINED_SHARE = 0.05
# Recurring texts, so that encoding them costs nothing here.
_TEXTS = 64


def measure(plan: Plan, ceilings: Ceilings) -> list[Section]:
    rows: list[Row] = []
    for rooms in plan.rooms:
        rows += _Rooms(plan, rooms).rows(plan, ceilings)
    note = (
        f"Preset {plan.preset}, {name_of(plan.dtype)}, through the networks of a scorer: rooms' "
        "slots in, logits on the host out; texts are known already. The new champion is copied, "
        "warmed up, prefilled and put in place; memory is the most beyond what was there before, "
        "of the device on a GPU, else of the process."
    )
    return [Section("networks", "Networks beside the step", tuple(rows), note)]


class _Rooms:
    """Encoded rooms and three sets of networks that follow them."""

    def __init__(self, plan: Plan, count: int) -> None:
        torch.manual_seed(0)
        config = plan.config()
        self.model, self.other = (
            ContentCTR(config).to(plan.device, plan.dtype).eval() for _ in range(2)
        )
        texts = bert(plan.device, plan.dtype, layers=1, hidden_size=config.text_feature_size)
        texts.remember(_TEXTS)
        generator = np.random.default_rng(0)
        features = generator.normal(size=(256, config.frame_feature_size)).astype(np.float16)
        self._made_up = MadeUpRooms(
            count,
            window_length=config.window_length,
            features=features,
            texts=cycle(islice(drawn_texts(0), _TEXTS)),
        )
        self.slots = np.arange(count)
        self.encodings = RoomEncodings(
            texts,
            capacity=count,
            window_length=config.window_length,
            frame_feature_size=config.frame_feature_size,
        )
        for _ in range(config.window_length):
            self.advance()
        self.plain, self.explained, self.challenged = (
            Networks(self.network(self.model)) for _ in range(3)
        )
        self.challenged.challenge(self.network(self.other))

    def network(self, model: ContentCTR) -> RoomNetwork:
        count = len(self.slots)
        return RoomNetwork(model, self.encodings, semantics="rolling", capacity=count)

    def advance(self) -> None:
        self.encodings.store(self.slots.tolist(), self._made_up.advance())

    def rows(self, plan: Plan, ceilings: Ceilings) -> list[Row]:
        rooms = len(self.slots)
        step = step_work(self.model.config, rooms, plan.dtype)
        some = self.slots[: max(1, round(rooms * _EXPLAINED_SHARE))]
        half = [0.5] * len(some)

        def explained() -> None:
            self.explained.logits(self.slots)
            self.explained.champion.modality_shares(some, half)

        peers: dict[str, Callable[[], object]] = {
            STEP: lambda: self.plain.logits(self.slots),
            EXPLAINED: explained,
            CHALLENGED: lambda: self.challenged.logits(self.slots),
        }
        timings = interleaved(peers, repeats=plan.repeats, before_turn=self.advance)
        # Each explanation scores the segment twice again.
        more = step_work(self.model.config, 2 * len(some), plan.dtype)
        works = {STEP: step, EXPLAINED: step + more, CHALLENGED: step + step}
        rows = [
            self._row(name, found, timings[STEP], works[name], plan, ceilings)
            for name, found in timings.items()
        ]
        prefill = interleaved(
            {PREFILL: lambda: self.plain.logits(self.slots)},
            repeats=max(2, plan.repeats // 3),
            before_turn=self._forget,
        )[PREFILL]
        work = prefill_work(self.model.config, rooms, plan.dtype)
        rows.append(self._row(PREFILL, prefill, timings[STEP], work, plan, ceilings))
        rows.append(self._swap(plan))
        return rows

    def _row(
        self,
        name: str,
        found: Timing,
        step: Timing,
        work: Work,
        plan: Plan,
        ceilings: Ceilings,
    ) -> Row:
        return {
            "rooms": len(self.slots),
            "what": name,
            "min ms": found.min_ms,
            "median ms": found.median_ms,
            "rooms/s": round(1000 * len(self.slots) / found.min_ms),
            "of the step, by minimum": found.min_ms / step.min_ms,
            "of the step, by median": found.median_ms / step.median_ms,
            **columns(work, ceilings, plan.dtype, found.min_ms),
        }

    def _forget(self) -> None:
        for slot in self.slots.tolist():
            self.plain.clear(slot)

    def _swap(self, plan: Plan) -> Row:
        """A champion is replaced as a scorer does it between batches."""
        rooms = len(self.slots)
        gc.collect()
        with PeakMemory(plan.device) as memory:
            start = perf_counter()
            network = self.network(deepcopy(self.other))
            network.warm_up(min(rooms, 256))
            wait_for_device()
            ready = perf_counter()
            self.plain.promote(network)
            longest = 0.0
            while self.plain.coming_version is not None:
                began = perf_counter()
                self.plain.catch_up(self.slots, 256)
                wait_for_device()
                longest = max(longest, perf_counter() - began)
            done = perf_counter()
        assert self.plain.champion is network
        return {
            "rooms": rooms,
            "what": SWAP,
            "made and warm after s": ready - start,
            "caught up in s": done - ready,
            "longest pause ms": 1000 * longest,
            "memory peak MB": memory.bytes / 1e6,
        }
