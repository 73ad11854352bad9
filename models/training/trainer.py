"""The training loop: one process or many, from the start or from a checkpoint.

What a step does depends on seed, epoch and step alone, besides the random state that a checkpoint
keeps; so on a CPU a run that was interrupted ends with the very weights of one that was not.
"""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Generic, cast

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import DistributedDataParallelKwargs, broadcast_object_list, gather_object
from torch import Tensor
from torch.optim import Adam, AdamW

from limelight.models.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from limelight.models.training.evaluation import Evaluation
from limelight.models.training.metrics_log import MetricsLog, defined
from limelight.models.training.network import TrainedNetwork
from limelight.models.training.run_settings import RunSettings
from limelight.models.training.sequences import Sequences
from limelight.models.training.settings import TrainingSettings
from limelight.models.training.task import (
    FoundT,
    NetworkT_co,
    RoomTask,
    StepLosses,
    TrainingTask,
)

CHECKPOINT = "checkpoint"
_LOG_EVERY_STEPS = 10
# Odd and large, so that neighbouring seeds, epochs and steps get generators far apart.
_SEED_STRIDES = (1_000_003, 10_007)
_SEEDS = 2**63
OPTIMIZERS: dict[str, type[Adam]] = {"adam": Adam, "adamw": AdamW}


@dataclass(frozen=True, slots=True)
class Trained(Generic[NetworkT_co, FoundT]):
    """The best epoch's outcome; the network holds its weights."""

    network: NetworkT_co
    best: FoundT
    best_epoch: int
    epochs: int
    total_steps: int


@dataclass(frozen=True, slots=True)
class StepSeen:
    """What a caller may show while training goes on; `watched` is the figure named `watches`."""

    epoch: int
    epochs: int
    step: int
    steps_an_epoch: int
    loss: float
    watches: str
    watched: float | None


def train(
    network: TrainedNetwork,
    training: Sequences,
    validation: Sequences,
    settings: TrainingSettings,
    *,
    on_step: Callable[[StepSeen], None] = lambda seen: None,
    resume: bool = False,
) -> Trained[TrainedNetwork, Evaluation]:
    """Train until the epochs are over or tau has stopped rising.

    Files in `settings.out`: `metrics.jsonl`, the newest `checkpoint`, and the weights of the best
    epoch by validation tau in `best.safetensors`.

    Args:
        network: its initial weights are the caller's, as is their seed.
        training, validation: with features, or with what the network's encoders want.
        on_step: called on the main process after each step.
        resume: go on from `settings.out`'s checkpoint if there is one.

    Raises:
        ValueError: the checkpoint is of another network, the loss is not finite, or a process
            would get no sequence.
    """
    if network.encoders is not None:
        network.encoders.requires_grad_(settings.fine_tune_encoders)
    task = RoomTask(network, training, validation, settings)
    return train_on(task, settings, on_step=on_step, resume=resume)


def train_on(
    task: TrainingTask[NetworkT_co, FoundT],
    settings: RunSettings,
    *,
    on_step: Callable[[StepSeen], None] = lambda seen: None,
    resume: bool = False,
) -> Trained[NetworkT_co, FoundT]:
    """Train on any task, as `train` does on rooms; the files and errors are the same."""
    accelerator = Accelerator(
        mixed_precision=_precision(settings),
        cpu=_is_on_cpu(),
        # A fusion may not look at the streamer, and BERT has a pooler that nobody asks.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    if settings.batch_size < accelerator.num_processes:
        raise ValueError(
            f"batch_size: found {settings.batch_size} for {accelerator.num_processes} processes,"
            " expected at least one sequence for each"
        )
    # Every process draws its own orders and dropout.
    torch.manual_seed((settings.seed * _SEED_STRIDES[0] + accelerator.process_index) % _SEEDS)
    trainable = [each for each in task.network.parameters() if each.requires_grad]
    optimizer = OPTIMIZERS[settings.optimizer](
        trainable, lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    run = _Run(task, optimizer, accelerator, settings, on_step)
    if resume:
        run.restore()
    return run.run()


def is_main_process() -> bool:
    """Whether this process is the only one, or the first of those that train together."""
    return bool(PartialState(cpu=_is_on_cpu()).is_main_process)


class _Run(Generic[NetworkT_co, FoundT]):
    def __init__(
        self,
        task: TrainingTask[NetworkT_co, FoundT],
        optimizer: Adam,
        accelerator: Accelerator,
        settings: RunSettings,
        on_step: Callable[[StepSeen], None],
    ) -> None:
        self._task = task
        self._network = task.network
        self._accelerator = accelerator
        self._settings = settings
        self._on_step = on_step
        self._progress = Progress()
        self._watched: float | None = None
        self._optimizer = optimizer
        self._prepared, self._prepared_optimizer = accelerator.prepare(task.network, optimizer)

    @property
    def _about(self) -> dict[str, Any]:
        """What makes a run this one: what may change when it goes on is left out."""
        free = {"data", "out", "patience", "checkpoint_every_steps"}
        if self._settings.schedule == "constant":
            free.add("epochs")
        return {
            **self._settings.model_dump(mode="json", exclude=free),
            "processes": self._accelerator.num_processes,
            "rooms": self._task.about(),
        }

    def restore(self) -> None:
        folder = self._settings.out / CHECKPOINT
        if not folder.exists() and not folder.with_name(CHECKPOINT + ".old").exists():
            return
        rank = self._accelerator.process_index
        self._progress = load_checkpoint(folder, self._network, self._optimizer, rank, self._about)

    def run(self) -> Trained[NetworkT_co, FoundT]:
        settings, is_main = self._settings, self._accelerator.is_main_process
        done = self._progress
        log = MetricsLog(settings.out, done.total_steps, done.epoch) if is_main else nullcontext()
        best: FoundT | None = None
        with log as metrics:
            while self._progress.epoch < settings.epochs and not self._has_stopped():
                self._train_epoch(metrics)
                # Every process must agree on which epoch is best, and so on when to stop.
                (found,) = broadcast_object_list([self._task.evaluate()])
                best = self._end_epoch(found, metrics) or best
        self._accelerator.wait_for_everyone()
        self._load_best()
        return Trained(
            network=self._network,
            best=best or self._task.evaluate(),
            best_epoch=self._progress.best_epoch,
            epochs=self._progress.epoch,
            total_steps=self._progress.total_steps,
        )

    def _has_stopped(self) -> bool:
        patience, progress = self._settings.patience, self._progress
        return patience is not None and progress.epoch - 1 - progress.best_epoch >= patience

    def _train_epoch(self, metrics: MetricsLog | None) -> None:
        epoch, done = self._progress.epoch, self._progress.step
        batches = self._batches(epoch)
        self._prepared.train()
        for step, cuts in enumerate(batches[done:], start=done):
            losses = self._step(cuts, epoch, step, len(batches))
            total = self._progress.total_steps + 1
            self._progress = replace(self._progress, step=step + 1, total_steps=total)
            if metrics is not None and total % _LOG_EVERY_STEPS == 0:
                metrics.write(total, **{n: float(v.detach()) for n, v in _parts(losses)})
            if self._accelerator.is_main_process:
                loss = float(losses.total.detach())
                self._on_step(
                    StepSeen(
                        epoch,
                        self._settings.epochs,
                        step + 1,
                        len(batches),
                        loss,
                        self._task.watches,
                        self._watched,
                    )
                )
            if total % self._settings.checkpoint_every_steps == 0:
                self._save()

    def _step(self, cuts: Tensor, epoch: int, step: int, steps_an_epoch: int) -> StepLosses:
        settings, accelerator = self._settings, self._accelerator
        share = cuts[accelerator.process_index :: accelerator.num_processes]
        # What is hidden from one process is not what is hidden from the others.
        generator = step_generator(settings.seed + accelerator.process_index, epoch, step)
        batch = self._task.batch(share, generator, accelerator.device)
        if settings.schedule == "cosine":
            done = (epoch + step / steps_an_epoch) / settings.epochs
            for group in self._optimizer.param_groups:
                group["lr"] = settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
        self._prepared_optimizer.zero_grad(set_to_none=True)
        losses: StepLosses = self._prepared(batch)
        if not torch.isfinite(losses.total):
            raise ValueError(
                f"loss: found {float(losses.total.detach())} in epoch {epoch}, step {step},"
                " expected a finite number; lower learning_rate or look for broken features"
            )
        accelerator.backward(losses.total)
        accelerator.clip_grad_norm_(self._prepared.parameters(), settings.clip_norm)
        self._prepared_optimizer.step()
        return losses

    def _batches(self, epoch: int) -> list[Tensor]:
        cuts = self._task.cuts(step_generator(self._settings.seed, epoch, -1))
        size, processes = self._settings.batch_size, self._accelerator.num_processes
        if len(cuts) < processes:
            raise ValueError(
                f"sequences: found {len(cuts)} for {processes} processes, expected at least one"
                " for each"
            )
        return in_batches(cuts, size)

    def _end_epoch(self, found: FoundT, metrics: MetricsLog | None) -> FoundT | None:
        """`found` if it is the best so far; its weights are then kept."""
        progress, tau = self._progress, self._task.watched(found)
        self._watched = tau
        # A validation set whose windows all are constant has no tau: then the last epoch is best.
        # But a network that has come to predict a constant is no better than one with a tau.
        rises = progress.best_tau is None or tau > progress.best_tau
        figures: dict[str, Any] = asdict(cast(Any, found))
        if metrics is not None:
            metrics.write(progress.total_steps, epoch=progress.epoch, **figures)
        if rises:
            best_tau = None if math.isnan(tau) else tau
            progress = replace(progress, best_tau=best_tau, best_epoch=progress.epoch)
            if self._accelerator.is_main_process:
                self._save_best(figures)
        self._progress = replace(progress, epoch=progress.epoch + 1, step=0)
        self._save()
        return found if rises else None

    def _save(self) -> None:
        states = gather_object([torch.get_rng_state()])
        if self._accelerator.is_main_process:
            folder = self._settings.out / CHECKPOINT
            save_checkpoint(
                folder, self._network, self._optimizer, self._progress, states, self._about
            )
        self._accelerator.wait_for_everyone()

    def _save_best(self, figures: dict[str, Any]) -> None:
        from safetensors.torch import save_file

        out = self._settings.out
        out.mkdir(parents=True, exist_ok=True)
        tensors = {n: t.detach().cpu().contiguous() for n, t in self._network.state_dict().items()}
        save_file(tensors, out / "best.part")
        (out / "best.part").replace(out / "best.safetensors")
        (out / "best.json").write_text(json.dumps(defined(figures), indent=2))

    def _load_best(self) -> None:
        from safetensors.torch import load_file

        path = self._settings.out / "best.safetensors"
        if path.exists():
            self._network.load_state_dict(load_file(path))


def in_batches(cuts: Tensor, size: int) -> list[Tensor]:
    """An epoch's cuts in batches; what does not fill the last one is left to other epochs."""
    if len(cuts) <= size:
        return [cuts]
    return [cuts[at : at + size] for at in range(0, len(cuts) - size + 1, size)]


def step_generator(seed: int, epoch: int, step: int) -> torch.Generator:
    """What a step may draw from; step -1 is for the epoch's order."""
    number = (seed * _SEED_STRIDES[0] + epoch) * _SEED_STRIDES[1] + step + 1
    return torch.Generator().manual_seed(number % _SEEDS)


def _parts(losses: StepLosses) -> Iterator[tuple[str, Tensor]]:
    for field in fields(cast(Any, losses)):
        yield f"loss_{field.name}", getattr(losses, field.name)


def _is_on_cpu() -> bool:
    """A hint for accelerate: without it, several processes without a GPU each think they are alone.

    Whoever asks first decides for the whole process, so everybody has to give the same.
    """
    return not torch.accelerator.is_available()


def _precision(settings: RunSettings) -> str:
    if settings.precision == "auto":
        return "bf16" if torch.cuda.is_available() else "no"
    return {"float32": "no", "bfloat16": "bf16"}[settings.precision]
