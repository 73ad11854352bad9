"""What the topic `models` says is done; what cannot be done changes nothing and is logged."""

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from limelight.engine.encoders import load_frame_encoder, load_text_encoder
from limelight.engine.network import load_network, untrained_network
from limelight.engine.scorer import Scorer, load_scorer
from limelight.engine.settings import EngineSettings
from limelight.streams.model_topic import ModelPointer, decode_pointer, latest
from limelight.streams.model_updates import ModelUpdates
from limelight.streams.records import MalformedRecord


@dataclass
class Record:
    key: bytes | None
    value: bytes | None


def saved(folder: Path, version: str, **changes: object) -> ModelPointer:
    model = untrained_network(load_frame_encoder("tiny"), load_text_encoder("tiny"))
    model.config.model_version = version
    for name, value in changes.items():
        setattr(model.config, name, value)
    model.save_pretrained(folder / version)
    return ModelPointer(version=version, folder=str(folder / version))


@pytest.fixture
def scorer() -> Scorer:
    return load_scorer(EngineSettings(cache_slots=4, device="cpu"), load_frame_encoder("tiny"))


def updates(scorer: Scorer) -> ModelUpdates:
    return ModelUpdates(scorer, asyncio.to_thread)


def versions(scorer: Scorer) -> tuple[str, str | None]:
    while scorer.catch_up():
        pass
    challenger = scorer.networks.challenger
    return scorer.networks.champion.version, challenger.version if challenger else None


async def test_pointers_are_followed_back_and_forth(scorer: Scorer, tmp_path: Path) -> None:
    first, _ = versions(scorer)
    one, two = saved(tmp_path, "v1"), saved(tmp_path, "v2")
    follow = updates(scorer)
    await follow.apply({"champion": one, "challenger": two})
    assert versions(scorer) == ("v1", "v2")
    challenger = scorer.networks.challenger
    await follow.apply({"champion": two})
    assert versions(scorer) == ("v2", None)
    assert scorer.networks.champion is challenger  # promoted as it was, not loaded again
    await follow.apply({"challenger": one})
    await follow.apply({"challenger": None})
    assert versions(scorer) == ("v2", None)
    await follow.apply({"champion": None})
    assert versions(scorer) == (first, None)


async def test_naming_the_champion_again_calls_off_another_that_is_coming(
    scorer: Scorer, tmp_path: Path
) -> None:
    follow = updates(scorer)
    one, two = saved(tmp_path, "v1"), saved(tmp_path, "v2")
    await follow.apply({"champion": one})
    assert versions(scorer) == ("v1", None)
    await follow.apply({"champion": two})
    await follow.apply({"champion": one})
    assert versions(scorer) == ("v1", None)


async def test_what_cannot_be_loaded_or_does_not_fit_is_refused_and_the_rest_done(
    scorer: Scorer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    follow = updates(scorer)
    gone = ModelPointer(version="v9", folder=str(tmp_path / "gone"))
    other = saved(tmp_path, "v1", text_encoder_revision="r2")
    mislabelled = ModelPointer(version="v3", folder=saved(tmp_path, "v2").folder)
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.json").write_text("{")
    half = ModelPointer(version="v4", folder=str(tmp_path / "half"))
    with caplog.at_level(logging.ERROR):
        for pointer in (gone, other, mislabelled, half):
            await follow.apply({"champion": pointer})
        await follow.apply({"challenger": gone, "champion": saved(tmp_path, "v5")})
    assert versions(scorer) == ("v5", None)
    reasons = [record.reason for record in caplog.records]  # type: ignore[attr-defined]
    assert len(reasons) == 5
    assert "expected tiny, tiny-untrained or a folder" in reasons[0]
    assert "text encoder tiny: found revision" in reasons[1] and "expected 'r2'" in reasons[1]
    assert "found version 'v2', expected 'v3'" in reasons[2]
    assert "config.json" in reasons[3]


async def test_a_network_of_another_shape_than_its_config_is_refused(
    scorer: Scorer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = versions(scorer)
    pointer = saved(tmp_path, "v1")
    config = tmp_path / "v1" / "config.json"
    config.write_text(config.read_text().replace('"hidden_size": 64', '"hidden_size": 32'))
    with caplog.at_level(logging.ERROR):
        await updates(scorer).apply({"champion": pointer})
    assert versions(scorer) == first
    assert "model refused" in caplog.text


async def test_a_network_that_says_nothing_finite_is_refused(
    scorer: Scorer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = versions(scorer)
    pointer = saved(tmp_path, "v1")
    model = load_network(pointer.folder)
    torch.nn.init.constant_(model.head.bias, float("nan"))
    model.save_pretrained(pointer.folder)
    with caplog.at_level(logging.ERROR):
        await updates(scorer).apply({"champion": pointer})
    assert versions(scorer) == before
    (refused,) = caplog.records
    assert refused.reason == "model v1: found logits of NaN, expected finite ones"  # type: ignore[attr-defined]


def test_the_last_word_on_each_role_counts_and_what_is_none_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    records = [
        Record(b"champion", b'{"schema":1,"version":"v1","folder":"/m/1"}'),
        Record(b"challenger", b'{"schema":1,"version":"v2","folder":"/m/2"}'),
        Record(b"champion", b'{"schema":1,"version":"v3","folder":"/m/3"}'),
        Record(b"champion", b"{}"),
        Record(b"king", b"{}"),
        Record(b"challenger", None),
    ]
    with caplog.at_level(logging.ERROR):
        found = latest(records)  # type: ignore[arg-type]
    assert found == {"champion": ModelPointer(version="v3", folder="/m/3"), "challenger": None}
    assert caplog.text.count("model pointer refused") == 2


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (None, b"{}", "models: found key None, expected one of"),
        (b"champion", b"[", "models: "),
        (b"champion", b'{"schema":2,"version":"a","folder":"b"}', "models: schema"),
        (b"champion", b'{"version":"","folder":"b"}', "models: version"),
        (b"champion", b" " * 10_001, "models: found 10001 bytes, expected at most 10000"),
    ],
)
def test_a_bad_pointer_says_what_is_wrong(
    key: bytes | None, value: bytes | None, reason: str
) -> None:
    with pytest.raises(MalformedRecord) as found:
        decode_pointer(key, value)
    assert reason in str(found.value)
