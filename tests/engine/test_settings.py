"""Engine settings are checked when they are made."""

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from limelight.engine.settings import EngineSettings


def test_the_defaults_need_no_download_and_no_gpu() -> None:
    settings = EngineSettings()
    assert (settings.frame_encoder, settings.text_encoder) == ("tiny", "tiny")
    assert settings.model == "tiny"
    assert settings.semantics == "rolling"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"cache_slots": 0}, "engine.cache_slots: found 0, expected >= 1"),
        ({"max_image_pixels": -1}, "engine.max_image_pixels: found -1, expected >= 1"),
        ({"semantics": "paper"}, "engine.semantics: found 'paper', expected one of"),
        ({"torch_threads": -1}, "engine.torch_threads: found -1, expected >= 0"),
        ({"decode_threads": -1}, "engine.decode_threads: found -1, expected >= 0"),
        ({"explain_above": 1.5}, "engine.explain_above: found 1.5, expected 0 to 1"),
        ({"explain_above": float("nan")}, "engine.explain_above: found nan, expected 0 to 1"),
    ],
)
def test_settings_out_of_range_are_named(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        EngineSettings(**changes)


def test_settings_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        EngineSettings().device = "cpu"  # type: ignore[misc]
