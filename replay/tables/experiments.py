"""What the paper's tables compare, as settings: Table 1 methods, 3 modalities, 4 losses.

The numbers beside each are the paper's tau on KLive; its data is another, so only orders and
distances can be compared.
"""

from dataclasses import dataclass, field
from typing import Any

from limelight.models.contentctr.config import FUSIONS
from limelight.models.training.settings import LossSettings

CONTENTCTR = "ContentCTR"
ENERGY = "Comment energy"
BEFORE = "CTR of the segment before"
TRUTH = "true CTR (nobody knows it)"


@dataclass(frozen=True, slots=True)
class Experiment:
    """One row: a network and losses, or, with `baseline`, something that is no ContentCTR."""

    name: str
    paper_tau: float | None
    network: dict[str, Any] = field(default_factory=dict)
    loss: LossSettings = field(default_factory=LossSettings)
    baseline: str | None = None
    paper_ratio: float | None = None


PAPER_TAU = 0.5919
OURS = Experiment(CONTENTCTR, PAPER_TAU, paper_ratio=1.3011)

ID_BASELINES = (
    Experiment("W&D", 0.5619, baseline="wdl"),
    Experiment("DeepFM", 0.5542, baseline="deepfm"),
    Experiment("DIFM", 0.5697, baseline="difm"),
    Experiment("DCN-M", 0.5629, baseline="dcn-m"),
)

_VARIANT_NAMES = (
    "SelfAttention-plain",
    "SelfAttention-input",
    "CrossAttention-q",
    "CrossAttention-kv",
    "CrossAttention-qkv",
)
_VARIANT_TAUS = (0.5868, 0.5718, 0.5909, 0.5780, 0.5883)

METHODS = (
    Experiment(ENERGY, None, baseline="energy"),
    Experiment(BEFORE, None, baseline="before"),
    Experiment(TRUTH, None, baseline="truth"),
    *ID_BASELINES,
    *(
        Experiment(name, tau, {"fusion": fusion})
        for name, tau, fusion in zip(_VARIANT_NAMES, _VARIANT_TAUS, FUSIONS[1:], strict=True)
    ),
    OURS,
)

MODALITIES = (
    OURS,
    Experiment("w/o item", 0.5868, {"modalities": ["picture", "text"]}),
    Experiment("w/o text", 0.5718, {"modalities": ["picture", "streamer"]}),
    Experiment("w/o visual", 0.5447, {"modalities": ["text", "streamer"]}),
)


def _losses(pair: float, boundary: str = "below-actual") -> LossSettings:
    return LossSettings.model_validate({"align": 0.0, "pair": pair, "boundary": boundary})


LOSSES = (
    Experiment("Model1: point", 0.5761, loss=_losses(0.0), paper_ratio=1.2789),
    Experiment("Model2: point + pair 0", 0.5857, loss=_losses(0.2, "none"), paper_ratio=1.3164),
    Experiment("Model3: point + pair 1", 0.5872, loss=_losses(0.2), paper_ratio=1.3021),
    Experiment(
        "Model4: point + pair 2", 0.5256, loss=_losses(0.2, "wrong-order"), paper_ratio=1.3414
    ),
    Experiment("Model5: point + pair 3", 0.5824, loss=_losses(0.2, "between"), paper_ratio=1.2194),
    OURS,
)

TABLES = {
    "Table 1: methods": METHODS,
    "Table 3: modalities": MODALITIES,
    "Table 4: losses": LOSSES,
}


def all_experiments() -> list[Experiment]:
    """Each experiment once, those that the tables share included."""
    return list({each.name: each for table in TABLES.values() for each in table}.values())
