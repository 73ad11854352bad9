import subprocess
import sys

import pytest
import torch

from limelight.models.baselines.deepctr_library import MOST_IDS, NETWORK_CLASSES, build_network

# Records every question to the network and every thread, and lets none through.
SPY = """
import socket, sys, threading
calls = []
def refuse(*args, **kwargs):
    calls.append(args)
    raise OSError("no network")
class Refused(socket.socket):
    __init__ = refuse
socket.socket, socket.getaddrinfo = Refused, refuse
threading.Thread.start = lambda thread: (calls.append(thread), thread.run())
"""
BUILD = """
import torch
from limelight.models.baselines.deepctr_library import build_network
build_network("wdl", {"room_id": 3}, embedding_width=4, seed=0, device=torch.device("cpu"))
"""


def run_python(program: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout


def test_building_a_network_opens_no_connection_and_starts_no_thread() -> None:
    assert run_python(SPY + BUILD + "print(len(calls), 'requests' in sys.modules)") == "0 False\n"


def test_the_library_alone_would_have_asked_the_package_index() -> None:
    printed = run_python(SPY + "import deepctr_torch\nprint(len(calls))")
    # A thread and at least one connection, and what the library prints when that fails.
    assert int(printed.splitlines()[-1]) >= 2


def test_the_librarys_own_module_is_there_afterwards() -> None:
    program = BUILD + "import deepctr_torch.utils\nprint(deepctr_torch.utils.__file__)"
    assert "deepctr_torch" in run_python(program)


def test_a_library_that_is_imported_already_is_taken_as_it_is() -> None:
    program = SPY + "import deepctr_torch\nbefore = len(calls)\n" + BUILD
    assert run_python(program + "print(len(calls) - before)").splitlines()[-1] == "0"


def test_importing_the_baselines_does_not_import_the_library() -> None:
    program = """
import sys
import limelight.models.baselines.id_baseline, limelight.models.baselines.kuairand
print([name for name in ("deepctr_torch", "sklearn", "pyarrow") if name in sys.modules])
"""
    assert run_python(program) == "[]\n"


def test_a_missing_library_is_named_with_what_to_install() -> None:
    program = """
import importlib.abc, sys
class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "deepctr_torch":
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Hidden())
from limelight.models.baselines.deepctr_library import import_deepctr
try:
    import_deepctr()
except ImportError as error:
    print(error, "deepctr_torch.utils" in sys.modules)
"""
    expected = (
        "deepctr_torch: found no such package, expected the extra of the ID baselines:"
        " pip install 'limelight[baselines]' False\n"
    )
    assert run_python(program) == expected


@pytest.mark.parametrize("name", NETWORK_CLASSES)
def test_each_network_gives_a_rate_for_each_row(name) -> None:  # type: ignore[no-untyped-def]
    cpu = torch.device("cpu")
    sizes = {"streamer_id": 3, "room_id": 5}
    network = build_network(name, sizes, embedding_width=4, seed=0, device=cpu)
    rates = network(torch.tensor([[0.0, 0.0], [2.0, 4.0], [1.0, 3.0]]))
    assert rates.shape == (3, 1)
    assert ((rates > 0) & (rates < 1)).all()


def test_building_a_network_leaves_torchs_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    build_network("difm", {"room_id": 3}, embedding_width=4, seed=0, device=torch.device("cpu"))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("name", "sizes", "width", "message"),
    [
        ("ffm", {"room_id": 3}, 4, "name: found 'ffm', expected one of wdl, deepfm, difm, dcn-m"),
        ("wdl", {"room_id": 3}, 0, "wdl: embedding_width: found 0, expected 1 or more"),
        ("difm", {"room_id": 3}, 6, "difm: embedding_width: found 6, expected a multiple of 4"),
        ("wdl", {}, 4, "wdl: vocabulary_sizes: found no columns, expected at least one"),
        ("wdl", {"room_id": 0}, 4, "wdl: room_id: found a vocabulary of 0, expected 1 to 16777216"),
        (
            "wdl",
            {"room_id": MOST_IDS + 1},
            4,
            "wdl: room_id: found a vocabulary of 16777217, expected 1 to 16777216",
        ),
    ],
)
def test_what_cannot_be_built_is_refused(name, sizes, width, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError) as caught:
        build_network(name, sizes, embedding_width=width, seed=0, device=torch.device("cpu"))
    assert str(caught.value) == message
