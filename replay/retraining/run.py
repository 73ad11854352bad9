"""One retraining run, stage by stage; each stage's outcome is in a file before the next begins.

    collect   the log's rooms, cut by time            rooms/
    notice    champion on the newest, and drift       champion.json, drift.json
    train     from the champion's weights             candidate/
    judge     both on the newest, the gate            evaluation.json, gate.json
    register  the candidate into the registry, as challenger
    shadow    both on live rooms, the second gate     shadow.json
    decide    promote, or withdraw

A run that is killed goes on at its stage. Until `register` nothing outside of its folder changes.
"""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from limelight.engine.encoders import load_text_encoder
from limelight.engine.errors import EncoderMismatch, LimelightError
from limelight.engine.network import BUNDLED_NETWORK, check_text_encoder, load_network
from limelight.engine.tiny_encoders import TINY
from limelight.models.datasets.labelled_room import LabelledRoom
from limelight.models.training.evaluation import predict
from limelight.models.training.network import TrainedNetwork
from limelight.models.training.sequences import Sequences
from limelight.models.training.settings import LossSettings
from limelight.models.training.trainer import StepSeen
from limelight.replay.evaluation.evaluate import evaluate_rooms
from limelight.replay.evaluation.result import EvaluationResult
from limelight.replay.evaluation.written import write_figures
from limelight.replay.feature_log.errors import EmptyInterval, MixedEncoders
from limelight.replay.feature_log.reading import FeatureLog
from limelight.replay.registry.code_version import code_version
from limelight.replay.registry.errors import ChangedMeanwhile
from limelight.replay.registry.lease import Lease, LeaseLost
from limelight.replay.registry.records import Change, Lineage
from limelight.replay.registry.registry import Registry
from limelight.replay.retraining.drift import (
    DISTRIBUTION,
    Drift,
    decoded_distribution,
    distribution,
    drift,
    encoded_distribution,
)
from limelight.replay.retraining.errors import RunFailed, TooLittleData
from limelight.replay.retraining.gate import Verdict, nothing_seen, offline_gate, shadow_gate
from limelight.replay.retraining.rooms import Cuts, RunRooms, collect, cut_by_time, load
from limelight.replay.retraining.shadow import shadowed_rooms
from limelight.replay.retraining.state import Outcome, RunState, Stage, load_state, save_state
from limelight.replay.retraining.training import (
    CANDIDATE,
    CHAMPION,
    ROOMS,
    prepare,
    settings_of,
    train_candidate,
    train_in_processes,
)
from limelight.replay.store import StoreFailed
from limelight.streams.kafka import BrokerUnavailable
from limelight.streams.settings import Settings

# Errors of the data: trying the same run again would meet them again.
_HOPELESS = (TooLittleData, EmptyInterval, MixedEncoders, EncoderMismatch, ChangedMeanwhile)
# Those of what surrounds the run pass; the same run is tried again.
_PASSING = (LeaseLost, StoreFailed, BrokerUnavailable)
# So often a stage may fail by any other.
MOST_FAILURES = 3
_LONGEST_REASON = 1_000


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run reaches outside of its folder.

    Args:
        announce: tells the engines what the registry says.
        tell: shows a line to whoever watches.
        lease: checked before the registry is changed.
        wait: sleeps so many seconds.
    """

    settings: Settings
    log: Callable[[], FeatureLog]
    registry: Registry
    announce: Callable[[], None]
    lease: Lease
    tell: Callable[[str], None]
    on_step: Callable[[StepSeen], None] = lambda seen: None
    now_ms: Callable[[], int] = lambda: int(time.time() * 1000)
    wait: Callable[[float], None] = time.sleep


class RetrainingRun:
    """A run in its folder, from the stage at which it stands to its end."""

    def __init__(self, folder: Path, around: Surroundings) -> None:
        self.folder = folder
        self.state = load_state(folder)
        self._around = around
        self._options = around.settings.retraining

    def run(self) -> RunState:
        """Go on until the run has ended.

        Raises:
            LimelightError, ValueError, OSError, RuntimeError: a stage failed. The run goes on there
                when it is run again, unless the data was the reason, or it was the third time: then
                it has ended as failed.
        """
        stages = {
            "collect": self._collect,
            "notice": self._notice,
            "train": self._train,
            "judge": self._judge,
            "register": self._register,
            "shadow": self._shadow,
            "decide": self._decide,
        }
        while self.state.stage != "ended":
            try:
                stages[self.state.stage]()
            except _HOPELESS as error:
                self._fail(error)
                raise
            except _PASSING:
                raise
            except (LimelightError, ValueError, RuntimeError) as error:
                # RuntimeError: torch's word for missing memory.
                if self.state.failures + 1 >= MOST_FAILURES:
                    self._fail(error)
                else:
                    self._advance(self.state.stage, failures=self.state.failures + 1)
                raise
        return self.state

    def _fail(self, error: Exception) -> None:
        self._withdraw(str(error))
        self._end("failed", str(error))

    def abandon(self) -> RunState:
        """End the run as it is; its challenger is withdrawn."""
        self._withdraw("the run was abandoned")
        self._end("abandoned", "by hand")
        return self.state

    def _collect(self) -> None:
        log = self._around.log()
        if self.state.cuts is None:
            self._begin_collecting(log)
        assert self.state.cuts is not None
        config = load_network(self.folder / CHAMPION).config
        texts = load_text_encoder(
            self._around.settings.engine.text_encoder,
            max_tokens=self._around.settings.engine.max_text_tokens,
            max_batch=self._around.settings.engine.text_batch,
        )
        check_text_encoder(config, texts)
        cuts = Cuts(*self.state.cuts)
        encoder = (config.frame_encoder_id, config.frame_encoder_revision)
        rooms = 0

        def count() -> None:
            nonlocal rooms
            rooms += 1
            if rooms % 100 == 0:
                self._around.tell(f"collect: {rooms} rooms")

        collect(log, cuts, self.folder / ROOMS, texts, encoder if all(encoder) else None, count)
        self._advance("notice")

    def _begin_collecting(self, log: FeatureLog) -> None:
        """Fix champion and cuts: one that is resumed finds another champion, or a log that grew."""
        change, options = self._around.registry.pointers(), self._options
        self._copy_champion(change)
        cuts = cut_by_time(
            log,
            self.state.until_ms,
            hours=options.hours,
            test_share=options.test_share,
            validation_share=options.validation_share,
        )
        champion = load_network(self.folder / CHAMPION).config.model_version
        self._advance("collect", champion=champion, pointer=change.champion, cuts=_tuple(cuts))

    def _copy_champion(self, change: Change) -> None:
        target = self.folder / CHAMPION
        shutil.rmtree(target, ignore_errors=True)
        name = self._around.settings.engine.model
        if change.champion is not None:
            source = self._around.registry.local_folder(change.champion)
        elif name == TINY:
            source = BUNDLED_NETWORK
        else:
            source = Path(name)
        unfinished_copy = target.with_suffix(".part")
        unfinished_copy.mkdir(exist_ok=True)
        for file in ("config.json", "model.safetensors"):
            if not (source / file).is_file():
                raise ValueError(
                    f"champion: found no {file} in {source}, expected a network to begin with"
                    " (LIMELIGHT_ENGINE_MODEL, or `limelight models promote`)"
                )
            shutil.copyfile(source / file, unfinished_copy / file)
        unfinished_copy.rename(target)

    def _notice(self) -> None:
        """How the champion does now, and what has changed since it learned."""
        rooms = self._rooms()
        said = self._said(CHAMPION, rooms.test)
        result = evaluate_rooms(rooms.judged({self.state.champion: said}))
        found = result.whole.models[self.state.champion]
        self._write("champion.json", {name: asdict(each) for name, each in found.measures.items()})
        tau, best = found.measures["tau"].value, self._best_tau()
        then = "" if best is None else f", the best champion was registered with {best:.4f}"
        self._around.tell(f"notice: champion {self.state.champion}: tau {tau:.4f}{then}")
        changed = self._drift(rooms.test, said)
        if changed is not None:
            self._write("drift.json", changed.as_json())
            told = ", ".join(f"{name} {changed.psi[name]:.2f}" for name in changed.drifted)
            self._around.tell(f"notice: drift (PSI of 0.25 and more): {told or 'none'}")
        if result.windows < (least := self._options.min_windows):
            reason = f"found {result.windows} windows to judge on, expected at least {least}"
            self._end("skipped", reason)
        elif self._is_good_enough(tau, best):
            self._end("skipped", f"the champion's tau is {tau:.4f}{then}")
        else:
            prepare(self.folder, self._options.config)
            self._advance("train")

    def _best_tau(self) -> float | None:
        """The best that the champion or one before it was registered with, None if unknown."""
        if self.state.pointer is None:
            return None
        registry = self._around.registry
        champions = {self.state.pointer, *registry.pointers().previous} - {None}
        # One that was deleted since says nothing.
        kept = [each for each in registry.versions() if each.name in champions]
        taus = [each.metrics.get("tau") for each in kept]
        return max((tau for tau in taus if isinstance(tau, float)), default=None)

    def _is_good_enough(self, tau: float, best: float | None) -> bool:
        limit = self._options.when_worse_by
        return bool(limit) and best is not None and best - tau < limit

    def _drift(self, rooms: list[LabelledRoom], said: list[np.ndarray]) -> Drift | None:
        if self.state.pointer is None:
            return None
        kept = self._around.registry.file(self.state.pointer, DISTRIBUTION)
        return None if kept is None else drift(decoded_distribution(kept), rooms, said)

    def _train(self) -> None:
        if not (self.folder / CANDIDATE).exists():
            shutil.rmtree(self.folder / f"{CANDIDATE}.part", ignore_errors=True)
            name = f"retrained-{self.state.id}"
            if self._options.processes > 1:
                train_in_processes(self.folder, name, self._options.processes)
            else:
                train_candidate(self.folder, name, self._around.on_step)
        config = load_network(self.folder / CANDIDATE).config
        self._advance("judge", candidate=config.model_version)

    def _judge(self) -> None:
        state, rooms = self.state, self._rooms()
        said = {
            state.candidate: self._said(CANDIDATE, rooms.test),
            state.champion: self._said(CHAMPION, rooms.test),
        }
        result = evaluate_rooms(rooms.judged(said))
        self._write("evaluation.json", asdict(result))
        verdict = offline_gate(result, state.champion, state.candidate, self._options)
        self._write("gate.json", verdict.as_json())
        self._tell_taus("judge", result)
        if verdict.passed:
            self._advance("register")
        else:
            self._end("rejected", verdict.reason)

    def _register(self) -> None:
        state, rooms, registry = self.state, self._rooms(), self._around.registry
        assert state.cuts is not None
        learned = [*rooms.training, *rooms.validation]
        lineage = Lineage(
            source=state.source,
            start_ms=state.cuts[0],
            end_ms=state.cuts[2],
            rooms=len({room.room_id for room in learned}),
            segments=sum(map(len, learned)),
            code=code_version(),
            config=settings_of(self.folder).model_dump(mode="json", exclude={"data", "out"}),
            parent=state.champion,
        )
        measures = self._read("evaluation.json")["whole"]["models"][state.candidate]["measures"]
        kept = ("evaluation.json", "gate.json")
        extra = {name: (self.folder / name).read_bytes() for name in kept}
        extra[DISTRIBUTION] = encoded_distribution(
            distribution(rooms.training, self._said(CANDIDATE, rooms.training))
        )
        self._around.lease.check()
        registry.register(
            self.folder / CANDIDATE,
            state.candidate,
            metrics={name: each["value"] for name, each in measures.items()},
            lineage=lineage,
            extra=extra,
        )
        self._around.tell(f"register: {state.candidate}")
        if self._options.shadow_s:
            self._challenge()
            self._advance("shadow", shadow_from_ms=self._around.now_ms())
        else:
            self._write("shadow.json", {"passed": True, "reason": "no shadow was asked for"})
            self._advance("decide")

    def _challenge(self) -> None:
        candidate = self.state.candidate

        def challenge(now: Change) -> Change:
            self._check_champion(now)
            return now.challenged(candidate, f"retraining run {self.state.id}")

        if self._around.registry.pointers().challenger != candidate:
            self._around.registry.change(challenge)
        self._around.announce()

    def _shadow(self) -> None:
        state, options = self.state, self._options
        assert state.shadow_from_ms is not None and state.cuts is not None
        while True:
            self._check_challenger(self._around.registry.pointers())
            waited_s = (self._around.now_ms() - state.shadow_from_ms) / 1000
            left_s = options.shadow_s - waited_s
            if left_s <= 0:
                verdict, windows = self._shadow_verdict()
                if windows >= options.min_shadow_windows or waited_s >= options.shadow_limit_s:
                    break
                self._around.tell(f"shadow: {windows} windows so far")
                left_s = options.shadow_limit_s - waited_s
            self._around.wait(max(0.1, min(left_s, options.shadow_s / 10, 60.0)))
        self._write("shadow.json", verdict.as_json())
        self._advance("decide")

    def _shadow_verdict(self) -> tuple[Verdict, int]:
        state = self.state
        assert state.cuts is not None
        rooms = shadowed_rooms(
            self._around.log(), state.champion, state.candidate, state.cuts[2], 2**62
        )
        if not rooms:
            return nothing_seen(self._options), 0
        result = evaluate_rooms(rooms, models=(state.candidate, state.champion))
        self._write("shadow-evaluation.json", asdict(result))
        self._tell_taus("shadow", result)
        return shadow_gate(result, state.champion, state.candidate, self._options), result.windows

    def _decide(self) -> None:
        state = self.state
        shadow = self._read("shadow.json")
        reason = f"{self._read('gate.json')['reason']}; then: {shadow['reason']}"[:_LONGEST_REASON]
        if not shadow["passed"]:
            self._withdraw(shadow["reason"])
            self._end("rejected", shadow["reason"])
            return

        def promote(now: Change) -> Change:
            if state.shadow_from_ms is None:
                self._check_champion(now)
            else:
                self._check_challenger(now)
            return now.promoted(state.candidate, f"run {state.id}: {reason}")

        self._around.lease.check()
        if self._around.registry.pointers().champion != state.candidate:
            self._around.registry.change(promote)
        self._around.announce()
        self._end("promoted", reason)

    def _check_champion(self, now: Change) -> None:
        if now.champion != self.state.pointer:
            raise ChangedMeanwhile(
                f"champion: found {now.champion or 'none'}, expected"
                f" {self.state.pointer or 'none'} as when the run began"
            )

    def _check_challenger(self, now: Change) -> None:
        self._check_champion(now)
        if now.challenger != self.state.candidate:
            raise ChangedMeanwhile(
                f"challenger: found {now.challenger or 'none'}, expected {self.state.candidate}"
                " until its shadow ends"
            )

    def _withdraw(self, reason: str) -> None:
        """Take the challenger's role from this run's candidate, if it has it."""
        if self.state.stage not in ("register", "shadow", "decide"):
            return
        candidate = self.state.candidate
        text = f"run {self.state.id}: {reason}"[:_LONGEST_REASON]

        def withdraw(now: Change) -> Change:
            return now.challenged(None, text) if now.challenger == candidate else now

        if self._around.registry.pointers().challenger == candidate:
            self._around.registry.change(withdraw)
        # In any case: an earlier try may have come no further than the registry.
        self._around.announce()

    def _rooms(self) -> RunRooms:
        return load(self.folder / ROOMS)

    def _said(self, network: str, rooms: list[LabelledRoom]) -> list[np.ndarray]:
        trained = TrainedNetwork(load_network(self.folder / network), LossSettings())
        buckets = int(trained.contentctr.config.num_streamers)
        return list(predict(trained, Sequences(rooms, buckets)))

    def _tell_taus(self, stage: str, result: EvaluationResult) -> None:
        taus = [
            f"{name} {each.measures['tau'].value:.4f}" for name, each in result.whole.models.items()
        ]
        self._around.tell(f"{stage}: tau of {', of '.join(taus)}")

    def _read(self, name: str) -> Any:
        try:
            return json.loads((self.folder / name).read_text())
        except ValueError as error:
            raise RunFailed(f"{self.folder / name}: found {error}, expected JSON") from error

    def _write(self, name: str, found: Any) -> None:
        write_figures(found, self.folder / name)

    def _advance(self, stage: Stage, **changes: Any) -> None:
        if stage != self.state.stage:
            changes["failures"] = 0
        self.state = self.state.model_copy(update={"stage": stage, **changes})
        save_state(self.folder, self.state)

    def _end(self, outcome: Outcome, reason: str) -> None:
        self._advance("ended", outcome=outcome, reason=reason)
        # What is large; the rest tells later what happened.
        for name in (ROOMS, "trained", CHAMPION, CANDIDATE):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        self._around.tell(f"{outcome}: {reason}")


def _tuple(cuts: Cuts) -> tuple[int, int, int, int]:
    return cuts.start_ms, cuts.validation_ms, cuts.test_ms, cuts.end_ms
