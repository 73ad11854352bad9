"""The network fits its encoders, and what is no network is refused."""

from pathlib import Path

import pytest
import torch

from limelight.engine.encoders import load_frame_encoder, load_text_encoder
from limelight.engine.errors import EncoderMismatch
from limelight.engine.network import check_encoder, load_network, untrained_network


def test_the_untrained_network_is_always_the_same_and_says_what_it_is() -> None:
    encoders = load_frame_encoder("tiny"), load_text_encoder("tiny")
    first, second = untrained_network(*encoders), untrained_network(*encoders)
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, second.state_dict()[name]), name
    assert first.config.model_version == "tiny-untrained-seed0"
    assert first.config.trained is False
    assert first.config.frame_encoder_revision == encoders[0].revision


def test_the_bundled_network_is_trained_calibrated_and_fits_the_bundled_encoders() -> None:
    config = load_network("tiny").config
    frames, texts = load_frame_encoder("tiny"), load_text_encoder("tiny")
    assert config.trained
    assert config.calibration_scale != 1
    assert (config.frame_encoder_id, config.frame_encoder_revision) == ("tiny", frames.revision)
    assert (config.text_encoder_id, config.text_encoder_revision) == ("tiny", texts.revision)


def test_a_name_that_is_no_folder_is_refused_without_asking_the_hub() -> None:
    with pytest.raises(ValueError, match="expected tiny, tiny-untrained or a"):
        load_network("no-such")


def test_a_network_without_a_version_or_with_pickled_weights_is_refused(tmp_path: Path) -> None:
    model = untrained_network(load_frame_encoder("tiny"), load_text_encoder("tiny"))
    model.config.model_version = ""
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="found no model_version in its config, expected one"):
        load_network(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        load_network(tmp_path)


def test_an_empty_expectation_accepts_any_encoder() -> None:
    check_encoder("frame", "a", "1", expected_id="", expected_revision="")
    check_encoder("frame", "a", "1", expected_id="a", expected_revision="")
    with pytest.raises(EncoderMismatch, match="frame encoder: found 'a', expected 'b'"):
        check_encoder("frame", "a", "1", expected_id="b", expected_revision="1")
    with pytest.raises(EncoderMismatch, match="frame encoder a: found revision '1', expected '2'"):
        check_encoder("frame", "a", "1", expected_id="a", expected_revision="2")
