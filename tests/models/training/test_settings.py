"""A settings file says the paper's by default, and a mistake in it is named by file and key."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from limelight.models.contentctr.losses import LITERAL_READING, RELEASE_READING
from limelight.models.training.settings import (
    LossSettings,
    TrainingSettings,
    load_training_settings,
)


def written(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_defaults_are_the_papers() -> None:
    settings = TrainingSettings()
    loss = settings.loss
    assert (loss.point, loss.align, loss.pair) == (0.65, 0.15, 0.20)
    assert (loss.sigma, loss.boundary, loss.alignment) == (10, "below-actual", "release")
    assert (settings.learning_rate, settings.batch_size, settings.epochs) == (5e-5, 48, 12)
    assert (settings.sequence_length, settings.schedule, settings.patience) == (
        20,
        "constant",
        None,
    )
    config = settings.network_config()
    assert (config.hidden_size, config.num_heads, config.window_length) == (512, 8, 20)


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    found = load_training_settings(written(tmp_path, ""))
    assert found == TrainingSettings(out=tmp_path / "trained")


def test_a_whole_file_is_read_and_its_paths_begin_in_its_folder(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        out = "runs/first"
        preset = "tiny"
        epochs = 3
        patience = 2
        schedule = "cosine"
        precision = "float32"

        [data]
        train = "rooms/train.safetensors"
        validation = "/elsewhere/validation.safetensors"

        [network]
        fusion = "cross-attention-q"
        modalities = ["picture", "streamer"]
        dropout = 0.25

        [loss]
        point = 1
        align = 0
        boundary = "wrong-order"
        alignment = "literal"
        """,
    )
    found = load_training_settings(path)
    assert found.out == tmp_path / "runs/first"
    assert found.data is not None
    assert found.data.train == tmp_path / "rooms/train.safetensors"
    assert found.data.validation == Path("/elsewhere/validation.safetensors")
    assert (found.epochs, found.patience, found.schedule) == (3, 2, "cosine")
    assert (found.loss.point, found.loss.align, found.loss.pair) == (1, 0, 0.2)
    assert found.loss.reading == LITERAL_READING
    config = found.network_config(frame_feature_size=9)
    assert (config.fusion, config.modalities) == ("cross-attention-q", ["picture", "streamer"])
    assert (config.dropout, config.hidden_size, config.frame_feature_size) == (0.25, 64, 9)


@pytest.mark.parametrize(
    ("text", "key", "found"),
    [
        ("epoch = 3", "epoch", "3"),
        ('epochs = "many"', "epochs", "'many'"),
        ("epochs = 0", "epochs", "0"),
        ("epochs = 2.5", "epochs", "2.5"),
        ('preset = "huge"', "preset", "'huge'"),
        ("unknown_streamer_rate = 1.0", "unknown_streamer_rate", "1.0"),
        ("learning_rate = -1", "learning_rate", "-1"),
        ("seed = -1", "seed", "-1"),
        ("sequence_length = 1", "sequence_length", "1"),
        ("[loss]\npoints = 0.5", "loss.points", "0.5"),
        ('[loss]\nboundary = "above"', "loss.boundary", "'above'"),
        ("[loss]\nsigma = 0", "loss.sigma", "0"),
        ('[data]\ntrain = "a"\nvalidation = "b"\ntest = "c"', "data.test", "'c'"),
        ('[data]\ntrain = "a"', "data.validation", "{'train': 'a'}"),
        ("[network]\nhidden = 3", "network.hidden", "3"),
        ("[network]\nid2label = 3", "network.id2label", "3"),
        ('[network]\nhidden_size = "big"', "network.hidden_size", "'big'"),
        ("[network]\nhidden_size = 0", "network.hidden_size", "0"),
        ('[network]\ndropout = "some"', "network.dropout", "'some'"),
        ('[network]\nfusion = "concat"', "network.fusion", "'concat'"),
        ('[network]\nmodalities = "text"', "network.modalities", "'text'"),
        ("[network]\nmodalities = 3", "network.modalities", "3"),
    ],
)
def test_a_mistake_is_named_by_file_key_and_what_was_found(
    tmp_path: Path, text: str, key: str, found: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ValueError) as raised:
        load_training_settings(path)
    assert str(raised.value).startswith(f"{path}: {key}: found {found}, ")


def test_every_mistake_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"epochs: found 0.*; seeds: found 3"):
        load_training_settings(written(tmp_path, "epochs = 0\nseeds = 3"))


def test_a_loss_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found only weights of 0, expected at least one above"):
        load_training_settings(written(tmp_path, "[loss]\npoint = 0\nalign = 0\npair = 0"))


@pytest.mark.parametrize("content", [b"epochs =", b"\xff\xfe", b"epochs = 1\nepochs = 2"])
def test_what_is_no_toml_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"run\.toml: found .*, expected TOML"):
        load_training_settings(path)


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_training_settings(tmp_path / "missing.toml")


def test_a_network_field_set_in_code_is_checked_when_it_is_used() -> None:
    with pytest.raises(ValueError, match=r"network\.width: found 3, expected one of .*hidden_size"):
        TrainingSettings(network={"width": 3}).network_config()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        TrainingSettings().epochs = 3


@pytest.mark.parametrize(
    ("name", "reading"), [("release", RELEASE_READING), ("literal", LITERAL_READING)]
)
def test_the_alignments_reading_is_chosen_by_name(name: str, reading: object) -> None:
    assert LossSettings(alignment=name).reading == reading
