"""What a run is about, as the training loop sees it; ContentCTR's own is to predict rooms' CTR."""

from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from limelight.models.training.evaluation import Evaluation, evaluate, measured_ctrs, predict
from limelight.models.training.network import TrainedNetwork
from limelight.models.training.sequences import Batch, Sequences, blurred
from limelight.models.training.settings import TrainingSettings

NetworkT_co = TypeVar("NetworkT_co", bound=nn.Module, covariant=True)
# A dataclass of numbers.
FoundT = TypeVar("FoundT")


class StepLosses(Protocol):
    """A dataclass of scalars: what is minimised, and its parts for the log."""

    @property
    def total(self) -> Tensor: ...


class TrainingTask(Protocol[NetworkT_co, FoundT]):
    """Where sequences come from, what learns from them, and how well it has learned.

    `network` takes what `batch` gives and returns `StepLosses`. `watches` names, for people, the
    figure that `watched` gives.
    """

    @property
    def watches(self) -> str: ...

    @property
    def network(self) -> NetworkT_co: ...

    def cuts(self, generator: torch.Generator) -> Tensor:
        """(n, ...): an epoch's sequences in the order in which they are learned from."""

    def batch(self, cuts: Tensor, generator: torch.Generator, device: torch.device) -> Any:
        """The sequences of some cuts."""

    def evaluate(self) -> FoundT:
        """The figures of the network as it is, on what is held out."""

    def about(self) -> str:
        """What tells these sequences from others: a run goes on with no other ones."""

    def watched(self, found: FoundT) -> float:
        """The figure that says which epoch was best: the higher the better, NaN for none."""


class RoomTask:
    """Sequences of labelled rooms, judged by tau."""

    watches = "tau"

    def __init__(
        self,
        network: TrainedNetwork,
        training: Sequences,
        validation: Sequences,
        settings: TrainingSettings,
    ) -> None:
        self.network = network
        self._training = training
        self._validation = validation
        self._settings = settings

    def cuts(self, generator: torch.Generator) -> Tensor:
        return self._training.cuts(self._settings.sequence_length, generator)

    def batch(self, cuts: Tensor, generator: torch.Generator, device: torch.device) -> Batch:
        return blurred(
            self._training.batch(cuts, self._settings.sequence_length),
            unknown_streamer_rate=self._settings.unknown_streamer_rate,
            missing_modality_rate=self._settings.missing_modality_rate,
            generator=generator,
        ).to(device)

    def evaluate(self) -> Evaluation:
        window = int(self.network.contentctr.config.window_length)
        predicted = predict(self.network, self._validation)
        return evaluate(predicted, measured_ctrs(self._validation), window)

    def about(self) -> str:
        return self._training.fingerprint()

    def watched(self, found: Evaluation) -> float:
        return found.tau
