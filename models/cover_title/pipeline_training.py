"""Training by several processes that share the network's layers: GPipe (section 2.2.2).

torchrun starts the processes, each gets one stage. A batch goes through them in micro-batches, all
forward and then all backward, so its gradient is that of one process. Files are `train_on`'s, but
for a checkpoint of each stage, written at the end of each epoch.
"""

import json
import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, astuple, fields, replace
from typing import Any

import torch
import torch.distributed as dist
from accelerate import PartialState
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.distributed.pipelining import PipelineStage, ScheduleGPipe
from torch.nn.functional import cross_entropy

from limelight.models.cover_title.inputs import CoverTitleBatch
from limelight.models.cover_title.pipeline import Part, Stage, stages
from limelight.models.cover_title.settings import CoverTitleSettings
from limelight.models.cover_title.training import (
    CoverTitleFigures,
    CoverTitleNetwork,
    CoverTitleTask,
)
from limelight.models.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from limelight.models.training.metrics_log import MetricsLog, defined
from limelight.models.training.trainer import (
    OPTIMIZERS,
    StepSeen,
    Trained,
    in_batches,
    is_main_process,
    step_generator,
)

_LOG_EVERY_STEPS = 10
_SEED_STRIDE = 1_000_003


def train_in_pipeline(
    task: CoverTitleTask,
    settings: CoverTitleSettings,
    *,
    on_step: Callable[[StepSeen], None] = lambda seen: None,
    resume: bool = False,
) -> Trained[CoverTitleNetwork, CoverTitleFigures]:
    """Train until the epochs are over or the accuracy has stopped rising; float32.

    The first process gathers the weights after each epoch and evaluates; only its network holds the
    best weights in the end. Dropout is drawn by each process for itself.

    Raises:
        ValueError: another number of processes than stages, more stages than parts, batches that do
            not part into micro-batches, a loss that is not finite, or another run's checkpoint.
    """
    is_main_process()  # joins the processes that torchrun started
    state = PartialState()
    if state.num_processes != settings.pipeline_stages:
        raise ValueError(
            f"pipeline_stages: found {settings.pipeline_stages} for {state.num_processes}"
            f" processes, expected as many: torchrun --nproc_per_node {settings.pipeline_stages}"
        )
    run = _PipelineRun(task, settings, state, on_step)
    if resume:
        run.restore()
    return run.run()


class _PipelineRun:
    def __init__(
        self,
        task: CoverTitleTask,
        settings: CoverTitleSettings,
        state: PartialState,
        on_step: Callable[[StepSeen], None],
    ) -> None:
        self._task = task
        self._settings = settings
        self._on_step = on_step
        self._rank, self._device = int(state.process_index), state.device
        self._last = settings.pipeline_stages - 1
        self._progress = Progress()
        self._watched: float | None = None
        model = task.network.cover_title
        self._parts: list[list[Part]] = stages(model, settings.pipeline_stages)
        self._stage = Stage(self._parts[self._rank]).to(self._device)
        if self._rank == 0:
            model.to(self._device)  # which evaluates
        # Without dropout processes draw nothing; with it no two draw the same.
        torch.manual_seed(settings.seed * _SEED_STRIDE + self._rank)
        self._optimizer = OPTIMIZERS[settings.optimizer](
            self._stage.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self._schedule = ScheduleGPipe(
            PipelineStage(self._stage, self._rank, settings.pipeline_stages, self._device),
            settings.micro_batches,
            loss_fn=lambda logits, labels: cross_entropy(logits.float(), labels),
        )

    def restore(self) -> None:
        folder = self._folder()
        found = torch.tensor([int(folder.exists())], device=self._device)
        dist.all_reduce(found, dist.ReduceOp.MIN)
        if not found.item():
            return
        self._progress = load_checkpoint(folder, self._stage, self._optimizer, 0, self._about())
        epochs = torch.tensor([1, -1], device=self._device) * self._progress.epoch
        dist.all_reduce(epochs, dist.ReduceOp.MAX)
        if epochs[0] != -epochs[1]:
            raise ValueError(
                f"{folder}: found stages after {int(-epochs[1])} to {int(epochs[0])} epochs,"
                " expected them to be equal: a crash came between; begin anew"
            )

    def run(self) -> Trained[CoverTitleNetwork, CoverTitleFigures]:
        settings, is_main = self._settings, self._rank == 0
        done = self._progress
        log = MetricsLog(settings.out, done.total_steps, done.epoch) if is_main else nullcontext()
        best: CoverTitleFigures | None = None
        with log as metrics:
            while self._progress.epoch < settings.epochs and not self._has_stopped():
                self._train_epoch(metrics)
                best = self._end_epoch(metrics) or best
        path = settings.out / "best.safetensors"
        if is_main and path.exists():
            self._task.network.load_state_dict(load_file(path))
        if best is None:
            best = self._evaluate()
        done = self._progress
        return Trained(self._task.network, best, done.best_epoch, done.epoch, done.total_steps)

    def _train_epoch(self, metrics: MetricsLog | None) -> None:
        settings, epoch = self._settings, self._progress.epoch
        cuts = self._task.cuts(step_generator(settings.seed, epoch, -1))
        batches = in_batches(cuts, settings.batch_size)
        if len(batches[0]) % settings.micro_batches:
            raise ValueError(
                f"batch_size: found {len(batches[0])} videos in all, expected a multiple of"
                f" micro_batches, {settings.micro_batches}"
            )
        self._stage.train()
        for step, rows in enumerate(batches):
            generator = step_generator(settings.seed, epoch, step)
            batch = self._task.batch(rows, generator, self._device)
            if settings.schedule == "cosine":
                share = (epoch + step / len(batches)) / settings.epochs
                for group in self._optimizer.param_groups:
                    group["lr"] = settings.learning_rate * 0.5 * (1 + math.cos(math.pi * share))
            loss = self._step(batch, epoch, step)
            total = self._progress.total_steps + 1
            self._progress = replace(self._progress, total_steps=total)
            if metrics is not None:
                if total % _LOG_EVERY_STEPS == 0:
                    metrics.write(total, loss_total=loss)
                watches, count = self._task.watches, len(batches)
                self._on_step(
                    StepSeen(epoch, settings.epochs, step + 1, count, loss, watches, self._watched)
                )

    def _step(self, batch: CoverTitleBatch, epoch: int, step: int) -> float:
        """One step of the optimizer; the batch's loss before it."""
        self._optimizer.zero_grad(set_to_none=True)
        inputs = {
            field.name: getattr(batch, field.name)
            for field in fields(batch)
            if field.name != "labels"
        }
        losses: list[Tensor] = []
        target: dict[str, Any] = {}
        if self._rank == self._last:
            target = {"target": batch.labels, "losses": losses}
        self._schedule.step(**target, **inputs)
        loss = torch.zeros((), device=self._device)
        if losses:
            loss = torch.stack(losses).detach().mean()
        dist.broadcast(loss, self._last)
        if not torch.isfinite(loss):
            raise ValueError(
                f"loss: found {float(loss)} in epoch {epoch}, step {step}, expected a finite"
                " number; lower learning_rate"
            )
        self._clip()
        self._optimizer.step()
        return float(loss)

    def _clip(self) -> None:
        """Limit the norm of all stages' gradients together."""
        gradients = [each.grad for each in self._stage.parameters() if each.grad is not None]
        squares = torch.zeros((), device=self._device)
        for gradient in gradients:
            squares += gradient.detach().square().sum()
        dist.all_reduce(squares)
        factor = (self._settings.clip_norm / (squares.sqrt() + 1e-6)).clamp(max=1)
        for gradient in gradients:
            gradient.mul_(factor)

    def _end_epoch(self, metrics: MetricsLog | None) -> CoverTitleFigures | None:
        """The figures if they are the best so far; the weights are then kept."""
        self._gather()
        found = self._evaluate()
        progress, watched = self._progress, self._task.watched(found)
        self._watched = watched
        if metrics is not None:
            metrics.write(progress.total_steps, epoch=progress.epoch, **asdict(found))
        rises = progress.best_tau is None or watched > progress.best_tau
        if rises:
            progress = replace(progress, best_tau=watched, best_epoch=progress.epoch)
            if self._rank == 0:
                self._save_best(found)
        self._progress = replace(progress, epoch=progress.epoch + 1)
        states = [torch.get_rng_state()]
        save_checkpoint(
            self._folder(), self._stage, self._optimizer, self._progress, states, self._about()
        )
        dist.barrier()
        return found if rises else None

    def _gather(self) -> None:
        """Bring the stages' weights to the first process."""
        for owner, parts in enumerate(self._parts):
            if owner == 0 or self._rank not in (0, owner):
                continue
            for each in Stage(parts).parameters():
                if self._rank == owner:
                    dist.send(each.data.contiguous(), 0)
                else:
                    received = torch.empty_like(each.data, device=self._device)
                    dist.recv(received, owner)
                    each.data.copy_(received)

    def _evaluate(self) -> CoverTitleFigures:
        """What the first process finds, told to all."""
        numbers = torch.zeros(len(fields(CoverTitleFigures)), dtype=torch.float64)
        if self._rank == 0:
            numbers = torch.tensor(astuple(self._task.evaluate()), dtype=torch.float64)
        numbers = numbers.to(self._device)
        dist.broadcast(numbers, 0)
        videos, *measured = numbers.tolist()
        return CoverTitleFigures(int(videos), *measured)

    def _save_best(self, found: CoverTitleFigures) -> None:
        out = self._settings.out
        out.mkdir(parents=True, exist_ok=True)
        weights = self._task.network.state_dict()
        tensors = {name: each.detach().cpu().contiguous() for name, each in weights.items()}
        save_file(tensors, out / "best.part")
        (out / "best.part").replace(out / "best.safetensors")
        (out / "best.json").write_text(json.dumps(defined(asdict(found)), indent=2))

    def _has_stopped(self) -> bool:
        patience, progress = self._settings.patience, self._progress
        return patience is not None and progress.epoch - 1 - progress.best_epoch >= patience

    def _folder(self) -> Any:
        return self._settings.out / f"checkpoint-stage-{self._rank}"

    def _about(self) -> dict[str, Any]:
        """What makes a run this one, as `train_on` sees it."""
        free = {"data", "out", "patience", "checkpoint_every_steps"}
        if self._settings.schedule == "constant":
            free.add("epochs")
        settings = self._settings.model_dump(mode="json", exclude=free)
        return {**settings, "stage": self._rank, "videos": self._task.about()}
