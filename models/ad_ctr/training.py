"""Training an ad network; the self-organizing one in rounds of pruning and fine-tuning.

Source: section 4.3, steps 1 to 5: train the all-connected fusion until the validation no longer
improves, remove the 5 % of connections with the smallest absolute weights, fine-tune, and so on
until no more parameters are left than the baseline has.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import prune

from limelight.models.ad_ctr.clips import ad_clips, category_names
from limelight.models.ad_ctr.config import NUM_CLASSES, AdCTRConfig, paper, tiny
from limelight.models.ad_ctr.figures import AdFigures, equal_count_edges
from limelight.models.ad_ctr.fusion import BaselineFusion, count_parameters
from limelight.models.ad_ctr.model import AdBatch, AdCTR
from limelight.models.ad_ctr.prediction import judge
from limelight.models.datasets.labelled_clip import LabelledClips
from limelight.models.training.run_settings import RunSettings, SettingsSection
from limelight.models.training.trainer import StepSeen, train_on

_PRESETS = {"paper": paper, "tiny": tiny}
_VALIDATION_SHARE = 0.1
ROUNDS = "rounds.json"


class AdDataSettings(SettingsSection):
    """Files of labelled clips; without `validation` a tenth of the training clips is held back."""

    train: Path
    validation: Path | None = None


class AdSettings(RunSettings):
    """One run. The defaults are the paper's (section 5.1), but for `patience` and the rounds'.

    `network` changes single fields of the preset's `AdCTRConfig`. Each round of pruning goes on for
    at most `round_epochs` epochs.
    """

    data: AdDataSettings
    preset: Literal["paper", "tiny"] = "paper"
    network: dict[str, Any] = Field(default_factory=dict)
    target: Literal["ctr", "play_rate"] = "ctr"
    fusion: Literal["baseline", "all-connected", "self-organizing"] = "self-organizing"
    predict: Literal["rate", "class"] = "rate"
    min_impressions: int = Field(0, ge=0, description="70,000 in the paper")
    prune_share: float = Field(0.05, gt=0, lt=1)
    round_epochs: int = Field(3, ge=1)

    batch_size: int = Field(8, ge=1, description="of all processes together")
    epochs: int = Field(60, ge=1)
    learning_rate: float = Field(1e-4, gt=0)
    patience: int | None = Field(6, ge=1)

    def resolved(self, folder: Path) -> "AdSettings":
        validation = self.data.validation
        data = AdDataSettings(
            train=folder / self.data.train,
            validation=None if validation is None else folder / validation,
        )
        return self.model_copy(update={"out": folder / self.out, "data": data})

    def network_config(self, **given: Any) -> AdCTRConfig:
        """The preset with `network`'s changes, and what the data and the settings give.

        Raises:
            ValueError: a field that is given elsewhere or does not exist, or a size it cannot have.
        """
        fields = {**_PRESETS[self.preset](), **self.network}
        for name in self.network:
            if name in given or name not in AdCTRConfig.__init__.__annotations__:
                raise ValueError(f"network.{name}: found {self.network[name]!r}, expected no such")
        for name in ("visual_size", "audio_size"):
            if name in self.network and self.network[name] != given.get(name, fields[name]):
                raise ValueError(f"network.{name}: expected {given[name]}")
        try:
            return AdCTRConfig(**{**fields, **given})
        except ValueError as error:
            raise ValueError(f"network.{error}") from error


@dataclass(frozen=True, slots=True)
class AdLosses:
    """A scalar: squared error of the rate, or cross entropy of the class."""

    total: Tensor


@dataclass(frozen=True, slots=True)
class Round:
    """A network between two prunings: `parameters` of its fusion in use, and its figures."""

    number: int
    parameters: int
    validation: AdFigures


class AdNetwork(nn.Module):
    """From a batch to its loss, in one `forward`."""

    def __init__(self, ad_ctr: AdCTR) -> None:
        super().__init__()
        self.ad_ctr = ad_ctr

    def forward(self, batch: AdBatch) -> AdLosses:
        logits = self.ad_ctr(batch).float()
        edges = self.ad_ctr.config.class_edges
        if not edges:
            return AdLosses((logits[:, 0].sigmoid() - batch.rates).square().mean())
        bounds = torch.tensor(edges, device=logits.device, dtype=torch.float64)
        classes = torch.bucketize(batch.rates.double(), bounds, right=True)
        return AdLosses(cross_entropy(logits, classes))


class AdTask:
    """Clips in a random order, judged by MAR or by the share of right classes."""

    def __init__(self, network: AdNetwork, training: AdBatch, validation: AdBatch) -> None:
        self.network = network
        self._training = training
        self._validation = validation
        self._is_rate = not network.ad_ctr.config.class_edges
        self.watches = "1 - MAR" if self._is_rate else "accuracy"

    def cuts(self, generator: torch.Generator) -> Tensor:
        return torch.randperm(len(self._training.rates), generator=generator)

    def batch(self, cuts: Tensor, generator: torch.Generator, device: torch.device) -> AdBatch:
        return self._training.rows(cuts).to(device)

    def evaluate(self) -> AdFigures:
        return judge(self.network.ad_ctr, self._validation)

    def about(self) -> str:
        rates = self._training.rates
        return f"{len(rates)} clips, rates adding up to {float(rates.double().sum()):.9g}"

    def watched(self, found: AdFigures) -> float:
        return 1 - found.mar if self._is_rate else found.accuracy


@dataclass(frozen=True, slots=True)
class TrainedAd:
    """What a run ends with; `rounds` has one entry where nothing was pruned."""

    model: AdCTR
    rounds: list[Round]
    best_epoch: int
    epochs: int
    steps: int


def train_ad(
    training: LabelledClips,
    validation: LabelledClips | None,
    settings: AdSettings,
    *,
    on_step: Callable[[StepSeen], None] = lambda seen: None,
    resume: bool = False,
) -> TrainedAd:
    """Train by the settings; files as `train_on`'s, those of each round in a folder of its own.

    Raises:
        ValueError: clips without rates or too much alike, or as in `train_on`.
    """
    if validation is None:
        training, validation = _held_back(training, settings.seed)
    categories = category_names(training)
    least = settings.min_impressions
    learned = ad_clips(training, settings.target, categories, min_impressions=least)
    held_out = ad_clips(validation, settings.target, categories, min_impressions=least)
    rates = learned.rates.numpy()
    config = settings.network_config(
        visual_size=learned.frames.shape[2],
        audio_size=learned.sounds.shape[2],
        fusion=settings.fusion,
        target=settings.target,
        categories=categories,
        class_edges=equal_count_edges(rates, NUM_CLASSES) if settings.predict == "class" else (),
        mean_rate=float(np.clip(rates.mean(dtype=np.float64), 1e-4, 1 - 1e-4)),
    )
    torch.manual_seed(settings.seed)
    network = AdNetwork(AdCTR(config))
    budget = _budget(network.ad_ctr)
    rounds: list[Round] = []
    epochs = steps = 0
    best_epoch = -1
    while True:
        number = len(rounds)
        own = settings.model_copy(
            update={
                "out": settings.out / f"round-{number:02d}",
                **({"epochs": settings.round_epochs} if number else {}),
            }
        )
        if number:
            _prune(network.ad_ctr.fusion, settings.prune_share, budget)
        task = AdTask(network, learned, held_out)
        ended = _ended(own.out)
        if resume and ended is not None:
            network.load_state_dict(load_file(own.out / "best.safetensors"))
            found, done_epochs, done_steps, best = ended
        else:
            trained = train_on(task, own, on_step=on_step, resume=resume)
            found, best = trained.best, trained.best_epoch
            done_epochs, done_steps = trained.epochs, trained.total_steps
            _write_end(own.out, found, done_epochs, done_steps, best)
        epochs, steps, best_epoch = epochs + done_epochs, steps + done_steps, best
        left = count_parameters(network.ad_ctr.fusion)
        rounds.append(Round(number, left, found))
        if settings.fusion != "self-organizing" or left <= budget:
            break
    _make_permanent(network.ad_ctr.fusion)
    network.ad_ctr.config.fusion_parameters = rounds[-1].parameters
    settings.out.mkdir(parents=True, exist_ok=True)
    trace = [asdict(each) for each in rounds]
    (settings.out / ROUNDS).write_text(json.dumps(_defined(trace), indent=2) + "\n")
    return TrainedAd(network.ad_ctr, rounds, best_epoch, epochs, steps)


def _held_back(clips: LabelledClips, seed: int) -> tuple[LabelledClips, LabelledClips]:
    """The clips, and a tenth of them to validate on, by chance."""
    order = np.random.default_rng(seed).permutation(len(clips))
    count = max(1, round(len(clips) * _VALIDATION_SHARE))
    if len(clips) <= count:
        raise ValueError(f"clips: found {len(clips)}, expected at least two to hold some back")
    return clips.select(np.sort(order[count:])), clips.select(np.sort(order[:count]))


def _budget(model: AdCTR) -> int:
    """The parameters of the baseline's fusion of the same sizes."""
    config = model.config
    inputs = 2 * config.embedding_size + len(config.categories)
    return count_parameters(BaselineFusion(inputs, config.conv_channels, config.outputs))


def _prune(fusion: nn.Module, share: float, budget: int) -> None:
    """Remove a share of the connections, or fewer where that ends just at the budget."""
    connections = [
        (module, "weight")
        for module in fusion.modules()
        if isinstance(module, nn.Conv1d | nn.Linear)
    ]
    used = sum(int(_mask(module).sum()) for module, _ in connections)
    removed = min(max(1, round(share * used)), count_parameters(fusion) - budget)
    prune.global_unstructured(connections, prune.L1Unstructured, amount=removed)


def _mask(module: nn.Module) -> Tensor:
    weight = module.weight
    assert isinstance(weight, Tensor)
    mask = getattr(module, "weight_mask", None)
    return mask if isinstance(mask, Tensor) else torch.ones_like(weight)


def _make_permanent(fusion: nn.Module) -> None:
    """Weights with zeros in the place of weights and masks."""
    for module in fusion.modules():
        if hasattr(module, "weight_mask"):
            prune.remove(module, "weight")  # type: ignore[no-untyped-call]


def _ended(folder: Path) -> tuple[AdFigures, int, int, int] | None:
    """How a round ended, if it has."""
    path = folder / "round.json"
    if not path.exists():
        return None
    fields = json.loads(path.read_text(encoding="utf-8"))
    clips = int(fields["validation"].pop("clips"))
    figures = {n: np.nan if v is None else float(v) for n, v in fields["validation"].items()}
    return AdFigures(clips, **figures), fields["epochs"], fields["steps"], fields["best_epoch"]


def _write_end(folder: Path, found: AdFigures, epochs: int, steps: int, best_epoch: int) -> None:
    fields = {
        "validation": _defined(asdict(found)),
        "epochs": epochs,
        "steps": steps,
        "best_epoch": best_epoch,
    }
    unfinished = folder / "round.json.part"
    unfinished.write_text(json.dumps(fields))
    unfinished.replace(folder / "round.json")


def _defined(fields: Any) -> Any:
    """The same with None for NaN, which JSON cannot hold."""
    if isinstance(fields, dict):
        return {name: _defined(value) for name, value in fields.items()}
    if isinstance(fields, list):
        return [_defined(each) for each in fields]
    return None if isinstance(fields, float) and np.isnan(fields) else fields
