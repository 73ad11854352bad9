"""Networks come, follow, take over and go, and every segment is scored exactly once meanwhile."""

import logging
from collections.abc import Callable

import pytest
import torch

from limelight.engine.encoders import load_frame_encoder, load_text_encoder
from limelight.engine.errors import EncoderMismatch
from limelight.engine.network import untrained_network
from limelight.engine.score import Score, Shadow
from limelight.engine.scorer import Scorer
from limelight.engine.settings import EngineSettings
from limelight.engine.window import Window
from limelight.models.contentctr.config import ContentCTRConfig
from limelight.models.contentctr.model import ContentCTR

MakeWindow = Callable[..., Window]


def network(version: str, seed: int, **changes: object) -> ContentCTR:
    """Random weights large enough that every segment of the window moves the logit."""
    config: ContentCTRConfig = untrained_network(
        load_frame_encoder("tiny"), load_text_encoder("tiny")
    ).config
    for name, value in {"model_version": version, "trained": True, **changes}.items():
        setattr(config, name, value)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ContentCTR(config)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def scorer(model: ContentCTR, **changes: int) -> Scorer:
    settings = EngineSettings(**{"cache_slots": 8, "explain_above": 1.0, **changes})  # type: ignore[arg-type]
    return Scorer(model, load_text_encoder("tiny"), settings)


def scores(found: Scorer, *windows: Window) -> list[Score]:
    results = found.score(windows)
    assert all(isinstance(result, Score) for result in results)
    return results  # type: ignore[return-value]


def rooms(make_window: MakeWindow, newest: int, names: str = "abcde") -> list[Window]:
    return [make_window(newest, name) for name in names]


def test_a_new_champion_takes_over_once_it_has_seen_every_room(make_window: MakeWindow) -> None:
    old, new = network("v1", 1), network("v2", 2)
    found = scorer(old, cache_slots=40)
    scores(found, *rooms(make_window, 25))
    found.networks.promote(found.make_network(new))
    assert found.networks.coming_version == "v2"
    # Forty steps are two prefills: three portions for five rooms. The old one decides until then.
    assert found.catch_up()
    assert found.catch_up()
    assert found.model is old
    assert not found.catch_up()
    assert found.model is new
    assert found.networks.coming_version is None
    (first, *_) = after = scores(found, *rooms(make_window, 26))
    assert [score.model_version for score in after] == ["v2"] * 5
    # It was prefilled from what the rooms' windows held, and then took one step.
    alone = scorer(new)
    scores(alone, make_window(25, "a"))
    (expected,) = scores(alone, make_window(26, "a"))
    assert first.ctr == pytest.approx(expected.ctr, abs=2e-6)
    assert found.decode_steps == 5


def test_segments_that_come_during_the_change_are_scored_once_by_the_old_one(
    make_window: MakeWindow,
) -> None:
    found = scorer(network("v1", 1), cache_slots=40)
    scores(found, *rooms(make_window, 25))
    found.networks.promote(found.make_network(network("v2", 2)))
    versions = []
    for newest in (26, 27, 28):
        found.catch_up()
        for score in scores(found, *rooms(make_window, newest)):
            versions.append((score.room_id, score.segment_index, score.model_version))
    assert len({(room, index) for room, index, _ in versions}) == len(versions) == 15
    by_room = {room: [v for r, _, v in versions if r == room] for room in "abcde"}
    assert all(each == sorted(each) for each in by_room.values())
    assert versions[-1][2] == "v2"
    # What was scored before the change is not scored again after it.
    assert found.score(rooms(make_window, 28)) == []


def test_a_challenger_scores_the_same_segments_and_decides_nothing(
    make_window: MakeWindow,
) -> None:
    old, new = network("v1", 1), network("v2", 2)
    found, alone = scorer(old), scorer(new)
    plain = scorer(old)
    scores(found, make_window(7)), scores(alone, make_window(7)), scores(plain, make_window(7))
    found.networks.challenge(found.make_network(new))
    for newest in range(8, 30):
        (score,) = scores(found, make_window(newest))
        (expected,) = scores(alone, make_window(newest))
        assert score.shadow == Shadow("v2", pytest.approx(expected.ctr, abs=2e-6))
        (without,) = scores(plain, make_window(newest))
        assert (score.ctr, score.model_version) == (without.ctr, "v1")
    found.networks.challenge(None)
    (score,) = scores(found, make_window(30))
    assert score.shadow is None


def test_texts_are_encoded_once_for_all_networks(
    make_window: MakeWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = scorer(network("v1", 1))
    texts = found._text_encoder
    encoded: list[int] = []
    encode = texts.encode
    monkeypatch.setattr(texts, "encode", lambda pairs: encoded.append(len(pairs)) or encode(pairs))
    scores(found, make_window(25))
    found.networks.challenge(found.make_network(network("v2", 2)))
    found.networks.promote(found.make_network(network("v3", 3)))
    found.catch_up()
    scores(found, make_window(26))
    assert encoded == [20, 1]


def test_a_challenger_is_promoted_without_another_prefill(make_window: MakeWindow) -> None:
    found = scorer(network("v1", 1))
    challenger = found.make_network(network("v2", 2))
    found.networks.challenge(challenger)
    scores(found, *rooms(make_window, 25))
    found.networks.promote(challenger)
    assert not found.catch_up()
    assert found.networks.challenger is None
    scores(found, *rooms(make_window, 26))
    assert (challenger.prefills, challenger.decode_steps) == (5, 5)


def test_a_follower_that_fails_is_dropped_and_the_champion_goes_on(
    make_window: MakeWindow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    old = network("v1", 1)
    found = scorer(old)
    scores(found, make_window(5))
    for follow in (found.networks.challenge, found.networks.promote):
        broken = found.make_network(network("v2", 2))

        def out_of_memory(_: object) -> None:
            raise RuntimeError("out of memory")

        monkeypatch.setattr(broken, "logits", out_of_memory)
        follow(broken)
    with caplog.at_level(logging.ERROR):
        (score,) = scores(found, make_window(6))
    assert score.shadow is None
    assert caplog.text.count("network dropped") == 2
    assert not found.catch_up()
    assert found.model is old


def test_a_challenger_gone_wrong_gives_no_number(make_window: MakeWindow) -> None:
    broken = network("v2", 2)
    with torch.no_grad():
        broken.head.bias.fill_(float("nan"))
    found = scorer(network("v1", 1))
    found.networks.challenge(found.make_network(broken))
    (score,) = scores(found, make_window(5))
    assert score.shadow is None


def test_rooms_that_end_or_lose_their_slot_do_not_hold_up_the_change(
    make_window: MakeWindow,
) -> None:
    found = scorer(network("v1", 1), cache_slots=3, max_rooms_per_batch=1)
    scores(found, *rooms(make_window, 5, "abc"))
    found.networks.promote(found.make_network(network("v2", 2)))
    assert found.catch_up()
    scores(found, make_window(6, "a", final=True), make_window(6, "d"), make_window(6, "e"))
    while found.catch_up():
        pass
    assert found.model.config.model_version == "v2"
    assert [score.model_version for score in scores(found, *rooms(make_window, 7, "bde"))] == [
        "v2",
        "v2",
        "v2",
    ]


MISFITS = [
    (
        {"text_encoder_revision": "r9"},
        "text encoder tiny: found revision '.*', expected 'r9'",
        EncoderMismatch,
    ),
    (
        {"frame_encoder_revision": "r9"},
        "model v2: frame encoder tiny: found revision '.*', expected 'r9'",
        EncoderMismatch,
    ),
    (
        {"frame_encoder_id": "swin-base"},
        "model v2: frame encoder: found 'tiny', expected 'swin-base'",
        EncoderMismatch,
    ),
    (
        {"frame_feature_size": 50, "frame_encoder_id": "", "frame_encoder_revision": ""},
        "model v2: frame features: found 48 numbers, expected 50",
        EncoderMismatch,
    ),
    ({"window_length": 30}, "model v2: window_length: found 30, expected 20", ValueError),
]


@pytest.mark.parametrize(("changes", "message", "error"), MISFITS)
def test_a_network_that_does_not_fit_is_refused_and_nothing_changes(
    changes: dict[str, object], message: str, error: type[Exception], make_window: MakeWindow
) -> None:
    found = scorer(network("v1", 1))
    with pytest.raises(error, match=message):
        found.make_network(network("v2", 2, **changes))
    (score,) = scores(found, make_window(3))
    assert score.model_version == "v1"
