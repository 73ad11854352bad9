"""The sub-networks, their fusion, and the ranker's answers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from limelight.models.content import save_model
from limelight.models.cover_title.config import (
    LANGUAGES,
    VISIONS,
    CoverTitleConfig,
    paper,
    tiny,
)
from limelight.models.cover_title.encoders import VGG, TitleRNN
from limelight.models.cover_title.inputs import pixels
from limelight.models.cover_title.model import CoverTitle
from limelight.models.cover_title.ranker import load_cover_title, save_tokenizer
from limelight.models.cover_title.training import load_pretrained


def pictures(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    sizes = [(64, 64), (90, 160), (31, 20), (64, 65)]
    return [rng.integers(0, 256, (*sizes[n % len(sizes)], 3), dtype=np.uint8) for n in range(count)]


@pytest.mark.parametrize("weight", [0.3, 0.75])
def test_fusion_is_the_weighted_sum_through_one_layer(ranker, weight: float) -> None:
    model = ranker(cover_weight=weight).model
    cover, title = torch.randn(3, 64), torch.randn(3, 64)
    there = torch.ones(3, dtype=torch.bool)
    layer = {name: each.detach().numpy() for name, each in model.classifier.named_parameters()}
    expected = (weight * cover.numpy() + (1 - weight) * title.numpy()) @ layer["weight"].T
    found = model.fuse(cover, title, there, there).detach().numpy()
    np.testing.assert_allclose(found, expected + layer["bias"], atol=1e-5)


@pytest.mark.parametrize(("vision", "language"), [("vit", "bert"), ("vgg", "rnn")])
def test_an_absent_cover_or_title_has_the_learned_features(
    ranker, vision: str, language: str
) -> None:
    own = ranker(vision, language)
    (picture,) = pictures(1)
    found = own.probabilities([None, picture, None], ["你好", "", ""])
    model = own.model
    with torch.inference_mode():
        square = pixels(
            torch.from_numpy(picture)[None], 64, model.config.image_mean, model.config.image_std
        )
        ids = own.tokenizer(["你好"], return_tensors="pt")["input_ids"]
        cover = model.cover_features(square)[0]
        title = model.title_features(ids, torch.ones_like(ids).bool())[0]
        fused = [
            0.75 * model.no_cover + 0.25 * title,
            0.75 * cover + 0.25 * model.no_title,
            0.75 * model.no_cover + 0.25 * model.no_title,
        ]
        expected = model.classifier(torch.stack(fused)).softmax(1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(found[0] - found[2]).max() > 1e-3


@pytest.mark.parametrize("title", ["", "   ", "🦩🦩", "\u200b"])
def test_a_title_that_says_nothing_counts_as_none(ranker, title: str) -> None:
    own = ranker()
    (picture,) = pictures(1)
    assert np.array_equal(own.probabilities([picture], [title]), own.probabilities([picture], [""]))
    known = own.probabilities([picture], ["😂👍"])
    assert not np.array_equal(known, own.probabilities([picture], [""]))


def test_a_weight_of_0_or_1_leaves_the_other_modality_out(ranker) -> None:
    one, other = pictures(2)
    titles_alone = ranker(cover_weight=0.0)
    assert titles_alone.model.cover_encoder is None
    found = titles_alone.probabilities([one, other, None, one], ["你好"] * 3 + ["hello"])
    assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2])
    assert not np.array_equal(found[0], found[3])
    covers_alone = ranker(cover_weight=1.0)
    assert covers_alone.model.title_encoder is None
    found = covers_alone.probabilities([one, one, other], ["你好", "", ""])
    assert np.array_equal(found[0], found[1]) and not np.array_equal(found[0], found[2])


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_all_pairs_score_as_one_by_one(ranker, vision: str, language: str) -> None:
    own = ranker(vision, language)
    covers, titles = [*pictures(4), None], ["你好", "a much longer title 今晚跳舞", "", "😂"]
    pairs = [(cover, title) for cover in covers for title in titles]
    together = own.scores([cover for cover, _ in pairs], [title for _, title in pairs])
    alone = [float(own.scores([cover], [title])[0]) for cover, title in pairs]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert together.dtype == np.float64 and np.ptp(together) > 1e-4
    assert ((together >= 0) & (together <= 4)).all()


def test_each_distinct_cover_and_title_is_encoded_once(ranker, monkeypatch) -> None:
    own = ranker()
    seen: list[int] = []
    for name in ("cover_features", "title_features"):
        encode = getattr(own.model, name)
        monkeypatch.setattr(
            own.model, name, lambda *a, encode=encode: (seen.append(len(a[0])), encode(*a))[1]
        )
    covers, titles = pictures(3), ["one", "two"]
    own.scores([each for each in covers for _ in titles], titles * len(covers))
    assert seen == [3, 2]


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_saved_ranker_answers_as_before(
    ranker, vision: str, language: str, tmp_path: Path
) -> None:
    own = ranker(vision, language)
    covers, titles = [*pictures(3), None], ["你好", "", "hello 今晚", "😂👍"]
    before = own.probabilities(covers, titles)
    save_model(own.model, tmp_path, "test")
    save_tokenizer(own.tokenizer, tmp_path)
    loaded = load_cover_title(tmp_path)
    assert np.array_equal(loaded.probabilities(covers, titles), before)
    assert loaded.version.startswith("test-") and len(loaded.version) == len("test-") + 8


def test_nothing_asked_is_nothing_answered(ranker) -> None:
    assert ranker().scores([], []).shape == (0,)


def test_probabilities_are_in_the_order_of_their_expected_class(ranker) -> None:
    own = ranker()
    found = own.probabilities(pictures(2), ["a", "b"])
    assert found.sum(1) == pytest.approx([1, 1])
    expected = [sum(place * each for place, each in enumerate(row)) for row in found]
    assert own.scores(pictures(2), ["a", "b"]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("cover", "text"),
    [
        (np.zeros((4, 4), np.uint8), r"covers\[0\]: found uint8 of shape \(4, 4\)"),
        (np.zeros((4, 4, 3), np.float32), r"covers\[0\]: found float32"),
        (np.zeros((0, 4, 3), np.uint8), r"covers\[0\]: found uint8 of shape \(0, 4, 3\)"),
    ],
)
def test_a_cover_that_is_no_picture_is_refused(ranker, cover: np.ndarray, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ranker().scores([cover], ["a"])
    with pytest.raises(ValueError, match="titles: found 2"):
        ranker().scores([None], ["a", "b"])


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json"):
        load_cover_title(tmp_path)


def test_vgg_16_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        network = VGG()
    # 138,357,544 with the layer of 1,000 classes (Simonyan and Zisserman's 138 million).
    assert sum(each.numel() for each in network.parameters()) == 138_357_544 - 4_097_000


def test_vgg_takes_weights_by_torchvisions_names_and_no_others(tmp_path: Path) -> None:
    source, network = (VGG(image_size=32, width=2, pooled=1, hidden_size=8) for _ in range(2))
    weights = {**source.state_dict(), "classifier.6.weight": torch.zeros(2, 8)}
    assert {"features.0.weight", "features.28.bias", "classifier.3.weight"} <= weights.keys()
    save_file(weights, tmp_path / "vgg.safetensors")
    network.load(tmp_path / "vgg.safetensors")
    assert all(torch.equal(each, weights[name]) for name, each in network.state_dict().items())
    del weights["features.0.weight"]
    save_file(weights, tmp_path / "vgg.safetensors")
    with pytest.raises(ValueError, match=r"no fitting features\.0\.weight"):
        network.load(tmp_path / "vgg.safetensors")


def test_the_rnn_reads_no_padding() -> None:
    network = TitleRNN(vocab_size=20, hidden_size=8)
    ids = torch.tensor([[2, 7, 9, 3]])
    longer = torch.tensor([[2, 7, 9, 3, 0, 0], [2, 5, 6, 7, 8, 3]])
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [1] * 6]).bool()
    found = network(longer, mask)[0]
    torch.testing.assert_close(found, network(ids, torch.ones(1, 4).bool())[0])


def test_the_papers_preset_is_vit_b_16_at_384_and_bert_base() -> None:
    config = CoverTitleConfig(**paper())
    assert (config.cover_weight, config.num_classes, config.image_size) == (0.75, 5, 384)
    with torch.device("meta"):
        model = CoverTitle(config)
    vit, bert = model.cover_encoder.config, model.title_encoder.config
    for each in (vit, bert):
        assert (each.num_hidden_layers, each.hidden_size) == (12, 768)
        assert (each.num_attention_heads, each.intermediate_size) == (12, 3072)
    assert vit.patch_size == 16


def test_published_encoders_are_loaded_by_name(ranker, tmp_path: Path) -> None:
    published = ranker()
    for name in ("cover_encoder", "title_encoder"):
        getattr(published.model, name).save_pretrained(tmp_path / name)
    names = {f"{n}_name": str(tmp_path / n) for n in ("cover_encoder", "title_encoder")}
    own = ranker(**names)
    for parameter in own.model.parameters():
        nn.init.zeros_(parameter)
    load_pretrained(own.model)
    for name in ("cover_encoder", "title_encoder"):
        expected = getattr(published.model, name).state_dict()
        found = getattr(own.model, name).state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in expected)
    swapped = ranker(cover_encoder_name=str(tmp_path / "title_encoder"))
    with pytest.raises(ValueError, match="found a bert, expected a vit"):
        load_pretrained(swapped.model)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"vision": "resnet"}, "vision: found 'resnet'"),
        ({"language": "gpt"}, "language: found 'gpt'"),
        ({"cover_weight": 1.2}, "cover_weight: found 1.2"),
        ({"feature_size": 0}, "feature_size: found 0"),
        ({"max_title_tokens": 500}, "max_title_tokens: found 500, expected at most"),
        ({"image_std": [1, 1, 0]}, "image_std: found"),
        ({"dropout": 1.0}, "dropout: found 1.0"),
    ],
)
def test_a_config_that_makes_no_network_is_refused(fields: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        CoverTitleConfig(**{**tiny(), **fields})
