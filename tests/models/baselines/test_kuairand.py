from pathlib import Path

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from limelight.models.baselines.deepctr_library import NETWORK_CLASSES
from limelight.models.baselines.kuairand import column_rate, compare, measure, table
from limelight.models.baselines.kuairand_log import FEATURE_NAMES, DaySplit, read_day_split
from limelight.models.baselines.network_training import Rows, TrainingConfig

pytestmark = pytest.mark.usefixtures("one_thread")


def planted_split() -> DaySplit:
    """Clicks that follow from the user; the other columns say nothing."""

    def rows(seed: int) -> Rows:
        generator = np.random.default_rng(seed)
        ids = generator.integers(0, 5, (600, len(FEATURE_NAMES)))
        clicked = generator.random(600) < np.array([0.5, 0.1, 0.9, 0.2, 0.8])[ids[:, 0]]
        return Rows(ids, clicked.astype(np.float32))

    return DaySplit(dict.fromkeys(FEATURE_NAMES, 5), rows(0), rows(1), rows(2))


def test_the_auc_counts_pairs_in_the_right_order() -> None:
    generator = np.random.default_rng(0)
    clicks = generator.integers(0, 2, 60).astype(np.float32)
    predicted = generator.integers(1, 10, 60) / 10
    clicked, passed = predicted[clicks == 1], predicted[clicks == 0]
    pairs = [(one > other) + (one == other) / 2 for one in clicked for other in passed]
    found = measure(clicks, predicted)
    assert found.auc == pytest.approx(np.mean(pairs))
    statistic = mannwhitneyu(clicked, passed).statistic
    assert found.auc == pytest.approx(statistic / (len(clicked) * len(passed)))


def test_clicks_of_one_kind_leave_the_auc_undefined() -> None:
    with pytest.raises(ValueError, match=r"clicks: found 1.0 everywhere, expected both 0 and 1"):
        measure(np.ones(3), np.array([0.1, 0.2, 0.3]))


@pytest.mark.parametrize("name", NETWORK_CLASSES)
def test_both_ways_of_training_find_the_planted_rule(name) -> None:  # type: ignore[no-untyped-def]
    config = TrainingConfig(epochs=6, batch_rows=32, learning_rate=0.01)
    found = compare(name, planted_split(), config, seed=0)
    # Knowing the planted rates gives 0.82 on these rows.
    assert found.ours.auc > 0.75
    assert found.librarys.auc > 0.75
    assert found.librarys.log_loss == pytest.approx(found.ours.log_loss, abs=0.05)


def test_a_columns_rates_come_from_the_training_days_alone() -> None:
    split = planted_split()
    turned = DaySplit(
        split.vocabulary_sizes, split.train, split.test, Rows(split.test.ids, 1 - split.test.ctr)
    )
    found = column_rate(split, "user_id")
    assert found.auc > 0.75
    # The same predictions, held against the opposite clicks.
    assert column_rate(turned, "user_id").auc == pytest.approx(1 - found.auc)
    assert column_rate(split, "hour").auc == pytest.approx(0.5, abs=0.06)


def test_the_table_shows_mean_and_spread() -> None:
    split = planted_split()
    config = TrainingConfig(epochs=1, batch_rows=64)
    found = [compare("wdl", split, config, seed) for seed in range(2)]
    aucs = [one.ours.auc for one in found]
    row = table(split, {"wdl": found}).splitlines()[-1]
    spread = abs(aucs[0] - aucs[1]) / 2**0.5
    assert row.startswith(f"| W&D | {sum(aucs) / 2:.4f} ± {spread:.4f} |")


@pytest.mark.shared_data
def test_a_few_thousand_real_impressions_beat_the_constant(shared_data: Path) -> None:
    split = read_day_split(shared_data / "kuairand-pure", most_rows=6_000)
    found = compare("wdl", split, TrainingConfig(epochs=3, batch_rows=128), seed=0)
    assert found.ours.auc > 0.55
    assert found.librarys.auc == pytest.approx(found.ours.auc, abs=0.03)
