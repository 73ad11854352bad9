"""Which model a training file or a folder means."""

import json
from pathlib import Path

import pytest

from limelight.models.content import content_model, content_task_of


def test_a_task_nobody_knows_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(
        ValueError, match=r"task: found 'adctr', expected one of contentctr, ad_ctr"
    ):
        content_model("adctr")


@pytest.mark.parametrize(
    ("config", "task"),
    [
        ({"model_type": "limelight-ad-ctr"}, "ad_ctr"),
        ({"model_type": "limelight-contentctr"}, None),
        ({"model_type": "bert"}, None),
        ([], None),
    ],
)
def test_a_folder_tells_its_task_by_the_config(
    config: object, task: str | None, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert content_task_of(tmp_path) == task


def test_a_folder_without_a_config_has_no_task(tmp_path: Path) -> None:
    assert content_task_of(tmp_path) is None
