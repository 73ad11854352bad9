"""Whatever order windows, gaps, restarts, evictions and new networks come in, scores are right.

The oracle is one plain forward over the segments that a network has followed a room through.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from limelight.engine.encoders import load_text_encoder
from limelight.engine.score import Rejected, Score
from limelight.engine.scorer import Scorer
from limelight.engine.settings import EngineSettings
from limelight.engine.text_encoder import TextEncoder
from limelight.engine.window import Segment, Window
from limelight.models.contentctr.config import ContentCTRConfig
from limelight.models.contentctr.model import ContentCTR, streamer_bucket

SLOTS = 3
WINDOW = 4
FEATURES = 5
ROOMS = "abcde"
TEXTS = load_text_encoder("tiny")
TEXTS.remember(10_000)


def network(seed: int) -> ContentCTR:
    config = ContentCTRConfig(
        frame_feature_size=FEATURES,
        text_feature_size=TEXTS.feature_size,
        hidden_size=16,
        num_heads=2,
        head_dim=6,
        num_perceiver_layers=1,
        num_decoder_layers=2,
        ffn_size=24,
        window_length=WINDOW,
        num_streamers=8,
        model_version=f"v{seed}",
        trained=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ContentCTR(config)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.25)
    return model.eval()


NETWORKS = [network(seed) for seed in range(3)]


def segment(room_id: str, run: int, index: int) -> Segment:
    generator = np.random.default_rng([ord(room_id), run, index])
    has_picture, has_text = generator.random(2) < 0.8
    start_ms = run * 10_000_000 + index * 30_000
    return Segment(
        index=index,
        start_ms=start_ms,
        frame_feature=generator.normal(size=FEATURES).astype(np.float16) if has_picture else None,
        frame_times_ms=(start_ms,) if has_picture else (),
        speech=f"{room_id} says {index} in run {run}" if has_text else "",
        comments=(),
        comment_count=0,
        user_count=0,
        comment_weight=0.0,
    )


def window(room_id: str, run: int, newest: int, *, final: bool = False) -> Window:
    oldest = max(0, newest - WINDOW + 1)
    segments = tuple(segment(room_id, run, index) for index in range(oldest, newest + 1))
    started_ms = run * 10_000_000
    return Window(room_id, f"streamer {room_id}", started_ms, 30_000, "", "", segments, final)


def plain_ctr(model: ContentCTR, room_id: str, run: int, first: int, newest: int) -> float:
    """By one forward over the segments first..newest, whatever the engine keeps or forgets."""
    segments = [segment(room_id, run, index) for index in range(first, newest + 1)]
    frames = np.zeros((1, len(segments), FEATURES), np.float32)
    texts = np.zeros((1, len(segments), TEXTS.feature_size), np.float32)
    for at, each in enumerate(segments):
        if each.frame_feature is not None:
            frames[0, at] = each.frame_feature
        if each.speech:
            texts[0, at] = encoded(TEXTS, each.speech)
    present = torch.tensor([[[each.has_picture, each.has_text] for each in segments]])
    streamer = torch.tensor([streamer_bucket(f"streamer {room_id}", 8)])
    with torch.no_grad():
        ctr = model.ctr(torch.from_numpy(frames), torch.from_numpy(texts), streamer, present)
    return float(ctr[0, -1])


def encoded(encoder: TextEncoder, speech: str) -> np.ndarray:
    return encoder.encode([(speech, ())])[0]


@dataclass
class Room:
    """What the engine should know of a room that has a slot."""

    run: int
    newest: int
    known_from: int
    # For each network by version: the first segment that it has followed without a break, and the
    # last.
    followed: dict[str, tuple[int, int]] = field(default_factory=dict)

    def follow(self, version: str) -> int:
        """The first segment that this network's score of the newest one depends on."""
        first, last = self.followed.get(version, (0, -1))
        if last == self.newest:
            return first
        if last != self.newest - 1 or last < 0:
            first = max(self.known_from, self.newest - WINDOW + 1)
        self.followed[version] = (first, self.newest)
        return first


class AnyOrder(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        settings = EngineSettings(
            cache_slots=SLOTS, max_rooms_per_batch=2, explain_above=1.0, device="cpu"
        )
        self.scorer = Scorer(NETWORKS[0], TEXTS, settings)
        self.rooms: OrderedDict[str, Room] = OrderedDict()  # least recently used first
        self.sent: dict[str, tuple[int, int]] = {}
        self.champion = NETWORKS[0]
        self.challenger: ContentCTR | None = None
        self.coming: ContentCTR | None = None

    @rule(names=st.lists(st.sampled_from(ROOMS), min_size=1, max_size=2, unique=True))
    def the_next_segments_come(self, names: list[str]) -> None:
        self.send([self.next_window(name) for name in names])

    @rule(names=st.permutations(ROOMS))
    def every_room_sends(self, names: list[str]) -> None:
        # More rooms than slots, so each batch throws others out.
        for start in range(0, len(names), 2):
            self.send([self.next_window(name) for name in names[start : start + 2]])

    @rule(name=st.sampled_from(ROOMS), gap=st.integers(1, 6))
    def segments_are_lost(self, name: str, gap: int) -> None:
        self.send([self.next_window(name, gap)])

    @rule(name=st.sampled_from(ROOMS))
    def a_room_starts_again(self, name: str) -> None:
        run, _ = self.sent.get(name, (-1, 0))
        self.send([window(name, run + 1, 0)])

    @rule(name=st.sampled_from(ROOMS))
    def a_room_ends(self, name: str) -> None:
        self.send([self.next_window(name, final=True)])
        self.rooms.pop(name, None)

    @precondition(lambda self: self.rooms)
    @rule(data=st.data())
    def an_old_window_comes_again(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(list(self.rooms)))
        room = self.rooms[name]
        newest = data.draw(st.integers(0, room.newest))
        assert self.scorer.score([window(name, room.run, newest)]) == []

    @rule(model=st.sampled_from(NETWORKS))
    def a_network_is_promoted(self, model: ContentCTR) -> None:
        if model is not self.champion and model is not self.challenger:
            self.scorer.networks.promote(self.scorer.make_network(model))
            self.coming = model
            self.forget(model)

    @rule(model=st.sampled_from([None, *NETWORKS]))
    def a_network_challenges(self, model: ContentCTR | None) -> None:
        if model is not self.champion and model is not self.coming:
            fresh = None if model is None else self.scorer.make_network(model)
            self.scorer.networks.challenge(fresh)
            self.challenger = model
            self.forget(model)

    @precondition(lambda self: self.challenger is not None)
    @rule()
    def the_challenger_is_promoted(self) -> None:
        self.scorer.networks.promote(self.scorer.networks.challenger)
        self.coming, self.challenger = self.challenger, None

    @rule()
    def followers_catch_up(self) -> None:
        while self.scorer.catch_up():
            pass
        for follower in (self.challenger, self.coming):
            for room in self.rooms.values():
                if follower is not None:
                    room.follow(follower.config.model_version)
        if self.coming is not None:
            self.champion, self.coming = self.coming, None

    @invariant()
    def no_more_rooms_than_slots_are_held(self) -> None:
        assert len(self.rooms) <= SLOTS
        assert self.scorer.model is self.champion

    def next_window(self, name: str, gap: int = 0, *, final: bool = False) -> Window:
        run, newest = self.sent.get(name, (0, -1))
        return window(name, run, newest + 1 + gap, final=final)

    def send(self, windows: list[Window]) -> None:
        results = self.scorer.score(windows)
        for each in windows:
            if each.room_id in self.rooms:
                self.rooms.move_to_end(each.room_id)
        for each, result in zip(windows, results, strict=True):
            self.check(each, result)

    def check(self, sent: Window, result: Score | Rejected) -> None:
        run, newest = (sent.room_started_ms or 0) // 10_000_000, sent.segment_index
        self.sent[sent.room_id] = (run, newest)
        room = self.rooms.get(sent.room_id)
        if room is None and len(self.rooms) == SLOTS:
            self.rooms.popitem(last=False)
        if room is None or room.run != run or room.newest != newest - 1:
            followed = {}
            room = Room(run, newest, max(0, newest - WINDOW + 1), followed)
            self.rooms[sent.room_id] = room
        room.newest = newest
        assert isinstance(result, Score)
        assert (result.room_id, result.segment_index) == (sent.room_id, newest)
        first = room.follow(self.champion.config.model_version)
        expected = plain_ctr(self.champion, sent.room_id, run, first, newest)
        assert result.ctr == pytest.approx(expected, abs=5e-6)
        assert result.model_version == self.champion.config.model_version
        if self.coming is not None:
            room.follow(self.coming.config.model_version)
        if self.challenger is None:
            assert result.shadow is None
        else:
            first = room.follow(self.challenger.config.model_version)
            expected = plain_ctr(self.challenger, sent.room_id, run, first, newest)
            assert result.shadow is not None
            assert result.shadow.ctr == pytest.approx(expected, abs=5e-6)

    def forget(self, model: ContentCTR | None) -> None:
        for room in self.rooms.values():
            if model is not None:
                room.followed.pop(model.config.model_version, None)


AnyOrder.TestCase.settings = hypothesis_settings(
    max_examples=30, stateful_step_count=30, deadline=None
)
TestAnyOrder = AnyOrder.TestCase
