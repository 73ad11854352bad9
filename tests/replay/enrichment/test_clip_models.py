"""The bundled models load where nothing but the plain installation is."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from limelight.engine.settings import EngineSettings
from limelight.replay.enrichment.bundled import PARTS
from limelight.replay.enrichment.clip_models import BUNDLED, load_clip_models
from limelight.streams.settings import EnrichmentSettings

EXTRAS = ("accelerate", "deepctr_torch", "faiss", "gensim", "h5py", "lightgbm", "pyarrow")
EXTRAS += ("ray", "scipy", "sklearn", "xgboost")
SCRIPT = f"""
import sys
for name in {EXTRAS!r}:
    sys.modules[name] = None
from limelight.engine.settings import EngineSettings
from limelight.replay.enrichment.clip_models import load_clip_models
from limelight.streams.settings import EnrichmentSettings
models = load_clip_models(EnrichmentSettings(), EngineSettings())
assert not models.missing, models.missing
print(*sorted(models.versions))
"""


def test_asking_the_models_needs_no_extra() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", SCRIPT],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == sorted(PARTS)


def test_every_part_is_bundled_with_its_record(clip_models) -> None:
    assert {folder.name for folder in BUNDLED.iterdir()} == set(PARTS)
    for part in PARTS:
        assert (BUNDLED / part / "training.json").is_file()
        # Each version says which weights it is of.
        assert len(clip_models.versions[part].rpartition("-")[2]) == 8


@pytest.mark.parametrize("damage", [b"", b"\x00" * 64])
def test_damaged_weights_leave_their_part_out(damage: bytes, tmp_path: Path) -> None:
    shutil.copytree(BUNDLED / "topics", tmp_path / "topics")
    (tmp_path / "topics/model.safetensors").write_bytes(damage)
    settings = EnrichmentSettings(topics_model=str(tmp_path / "topics"), ctr_model="")
    models = load_clip_models(settings, EngineSettings())
    assert models.missing == {"topics": "its model cannot be loaded", "ctr": "no model is set"}
    assert models.topics is None and models.popularity is not None
