"""A checkpoint gives back the very state, and a crash while writing leaves one to go on from."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim import Adam

from limelight.models.training.checkpoint import Progress, load_checkpoint, save_checkpoint


class Crash(Exception):
    pass


def small_network(width: int = 3, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, width), nn.Dropout(0.5), nn.Linear(width, 1))


def step(network: nn.Module, optimizer: Adam) -> None:
    optimizer.zero_grad()
    network(torch.ones(4, 2)).square().sum().backward()
    optimizer.step()


def a_run(steps: int = 3) -> tuple[nn.Sequential, Adam]:
    network = small_network()
    optimizer = Adam(network.parameters(), lr=0.01)
    for _ in range(steps):
        step(network, optimizer)
    return network, optimizer


def save(folder: Path, run: tuple[nn.Sequential, Adam], number: int) -> None:
    save_checkpoint(folder, *run, Progress(epoch=number), [torch.get_rng_state()])


def loaded(folder: Path, rank: int = 0) -> Progress:
    network = small_network(seed=1)
    return load_checkpoint(folder, network, Adam(network.parameters()), rank)


def test_what_is_loaded_goes_on_as_what_was_saved(tmp_path: Path) -> None:
    others = small_network(seed=1)
    their_optimizer = Adam(others.parameters(), lr=5.0)
    network, optimizer = a_run()
    progress = Progress(epoch=2, step=5, total_steps=25, best_tau=0.1 + 0.2, best_epoch=1)
    save_checkpoint(tmp_path / "state", network, optimizer, progress, [torch.get_rng_state()])
    # Dropout draws from the random state, so it must be the saved one for the steps to agree.
    for _ in range(3):
        step(network, optimizer)
    assert load_checkpoint(tmp_path / "state", others, their_optimizer, 0) == progress
    for _ in range(3):
        step(others, their_optimizer)
    for name, weight in network.state_dict().items():
        assert torch.equal(weight, others.state_dict()[name]), name


def test_each_process_gets_its_own_random_state(tmp_path: Path) -> None:
    network, optimizer = a_run()
    states = [torch.Generator().manual_seed(seed).get_state() for seed in (11, 12)]
    save_checkpoint(tmp_path / "state", network, optimizer, Progress(), states)
    for rank, seed in enumerate((11, 12)):
        loaded(tmp_path / "state", rank)
        expected = torch.rand(3, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(torch.rand(3), expected)


def test_nothing_is_pickled(tmp_path: Path) -> None:
    save(tmp_path / "state", a_run(), 0)
    names = sorted(path.name for path in (tmp_path / "state").iterdir())
    assert names == ["state.json", "state.safetensors"]
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_another_network_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "state", a_run(), 0)
    wider = small_network(width=4)
    with pytest.raises(ValueError, match=r"state: found another network \(sizes that differ\)"):
        load_checkpoint(tmp_path / "state", wider, Adam(wider.parameters()), 0)
    longer = nn.Sequential(*small_network(), nn.Linear(1, 1))
    with pytest.raises(ValueError, match=r"found another network .*3\.bias.*, expected this one"):
        load_checkpoint(tmp_path / "state", longer, Adam(longer.parameters()), 0)


def test_a_process_without_a_state_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "state", a_run(), 0)
    with pytest.raises(ValueError, match="found 1 processes, expected a state for number 1"):
        loaded(tmp_path / "state", rank=1)


def test_no_checkpoint_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"state: found no checkpoint, expected state\.json"
    ):
        loaded(tmp_path / "state")


def crash_at_call(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Path.rename crashes instead of renaming, from its number-th call on."""
    calls, rename = [], Path.rename

    def crashing(self: Path, target: Path) -> Path:
        calls.append(self)
        if len(calls) >= number:
            raise Crash
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", crashing)


@pytest.mark.parametrize("number", [1, 2])
def test_a_crash_at_either_rename_leaves_the_former_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    run = a_run()
    save(tmp_path / "state", run, 1)
    with monkeypatch.context() as patch:
        crash_at_call(patch, number)
        with pytest.raises(Crash):
            save(tmp_path / "state", run, 2)
    assert loaded(tmp_path / "state").epoch == 1
    save(tmp_path / "state", run, 3)
    assert loaded(tmp_path / "state").epoch == 3
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_second_crash_leaves_the_former_checkpoint_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run()
    save(tmp_path / "state", run, 1)
    for number in (2, 1):  # between the renames, then before the only one that is left
        with monkeypatch.context() as patch:
            crash_at_call(patch, number)
            with pytest.raises(Crash):
                save(tmp_path / "state", run, 2)
        assert loaded(tmp_path / "state").epoch == 1


def test_a_crash_while_writing_leaves_the_former_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run()
    save(tmp_path / "state", run, 1)

    def crash(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", crash)
        with pytest.raises(Crash):
            save(tmp_path / "state", run, 2)
    assert loaded(tmp_path / "state").epoch == 1


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    network = torch.nn.Linear(2, 2)
    optimizer = Adam(network.parameters())
    folder = tmp_path / "state"
    save_checkpoint(folder, network, optimizer, Progress(), [torch.get_rng_state()])
    whole = (folder / "state.safetensors").read_bytes()
    (folder / "state.safetensors").write_bytes(whole[:40])
    with pytest.raises(ValueError, match=r"state.safetensors: found .*expected a whole"):
        load_checkpoint(folder, network, optimizer, 0)
    (folder / "state.safetensors").write_bytes(whole)
    (folder / "state.json").write_text("{")
    with pytest.raises(ValueError, match=r"state.json: found .*expected JSON"):
        load_checkpoint(folder, network, optimizer, 0)
