"""A trained cover and title network, asked which cover and which title do best."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import BertTokenizer

from limelight.models.cover_title.inputs import Picture, checked, pixels, tokens
from limelight.models.cover_title.model import CoverTitle

_AT_ONCE = 64


class CoverTitleRanker:
    """Scores pairs of a cover and a title; either may be missing."""

    def __init__(self, model: CoverTitle, tokenizer: BertTokenizer) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.version = str(model.config.model_version)

    def scores(
        self, covers: Sequence[Picture | None], titles: Sequence[str]
    ) -> NDArray[np.float64]:
        """(n,) expected class of popularity, 0 to 4; see `probabilities`."""
        found = self.probabilities(covers, titles)
        scores: NDArray[np.float64] = found @ np.arange(found.shape[1], dtype=np.float64)
        return scores

    @torch.inference_mode()
    def probabilities(
        self, covers: Sequence[Picture | None], titles: Sequence[str]
    ) -> NDArray[np.float64]:
        """(n, 5) of each class of popularity, the least popular first.

        A cover object or title that comes several times is encoded once, so all pairs of some
        covers and titles cost little more than the covers and titles.

        Args:
            covers: n pictures of any size, (H, W, 3) uint8 RGB; None for no cover.
            titles: n; "" for none, and one whose characters the network has never seen counts as
                none.

        Raises:
            ValueError: other shapes, or not as many titles as covers.
        """
        pictures = list(covers)
        if len(pictures) != len(titles):
            raise ValueError(f"titles: found {len(titles)}, expected one for each of {len(covers)}")
        model, device = self.model, self.model.device
        cover = title = None
        has_cover = torch.tensor([each is not None for each in pictures], dtype=torch.bool)
        for at, picture in enumerate(pictures):
            if picture is not None:
                checked(picture, f"covers[{at}]")
        if model.cover_encoder is not None:
            cover = self._covers(pictures)
        distinct = list(dict.fromkeys(titles))
        ids, mask, says = tokens(self.tokenizer, distinct, model.config.max_title_tokens)
        place = {text: at for at, text in enumerate(distinct)}
        rows = torch.tensor([place[text] for text in titles], dtype=torch.int64)
        if model.title_encoder is not None and len(rows):
            encoded = [
                model.title_features(
                    ids[at : at + _AT_ONCE].to(device), mask[at : at + _AT_ONCE].to(device)
                )
                for at in range(0, len(ids), _AT_ONCE)
            ]
            title = torch.cat(encoded)[rows.to(device)]
        if not pictures:
            return np.zeros((0, model.config.num_classes))
        logits = model.fuse(cover, title, has_cover.to(device), says[rows].to(device))
        found: NDArray[np.float64] = logits.double().softmax(1).cpu().numpy()
        return found

    def _covers(self, pictures: list[Picture | None]) -> Tensor:
        """(n, F); zeros where there is none."""
        config, device = self.model.config, self.model.device
        # The list keeps every picture alive, so no two of them share an id.
        distinct = {id(each): each for each in pictures if each is not None}
        place = {key: at for at, key in enumerate(distinct)}
        squares = [
            pixels(
                torch.from_numpy(np.ascontiguousarray(each))[None].to(device),
                config.image_size,
                config.image_mean,
                config.image_std,
            )
            for each in distinct.values()
        ]
        size = int(config.feature_size)
        encoded = [torch.zeros(1, size, device=device)]  # for those without a cover
        for at in range(0, len(squares), _AT_ONCE):
            encoded.append(self.model.cover_features(torch.cat(squares[at : at + _AT_ONCE])))
        rows = [0 if each is None else place[id(each)] + 1 for each in pictures]
        return torch.cat(encoded)[torch.tensor(rows, dtype=torch.int64, device=device)]


def load_cover_title(folder: Path) -> CoverTitleRanker:
    """The network in a folder that `limelight train` wrote.

    Raises:
        OSError, ValueError: there is none, or not a whole one.
    """
    if not (folder / "tokenizer.json").is_file():
        raise FileNotFoundError(f"{folder}: found no tokenizer.json, expected a trained model")
    model = CoverTitle.from_pretrained(folder, use_safetensors=True)
    return CoverTitleRanker(model, BertTokenizer.from_pretrained(folder))


def save_tokenizer(tokenizer: BertTokenizer, folder: Path) -> None:
    """Beside the network, where `load_cover_title` looks."""
    tokenizer.save_pretrained(folder)
