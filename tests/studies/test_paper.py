"""The authors' logs and what another patience would have made of them."""

import numpy as np
import pandas as pd
import pytest

from seapkg.models import systems
from seapkg.studies import paper
from seapkg.training.early_stopping import EarlyStopping

VALID = [0.1, 0.3, 0.2, 0.2, 0.4, 0.1]


def log(values):
    return pd.DataFrame(
        {"epoch": range(len(values)), "valid/recall@20": values, "test/recall@20": values}
    )


@pytest.mark.parametrize(
    ("patience", "epoch"),
    [
        (0, 1),
        (1, 1),
        (2, None),
    ],  # with 2, epoch 4 is a new best, and the log ends two epochs too soon
)
def test_patience_by_hand(patience, epoch):
    row = paper.replay(log(VALID), patience)
    assert (None if row is None else row["epoch"]) == epoch


def test_a_log_that_ends_with_its_patience_used_up_is_open_still():
    assert paper.replay(log([0.3, 0.1, 0.1]), 2) is None
    assert paper.replay(log([0.3, 0.1, 0.1, 0.1]), 2)["epoch"] == 0


@pytest.mark.parametrize("patience", [0, 1, 3])
def test_it_is_the_rule_by_which_training_stops(patience):
    random = np.random.default_rng(patience)
    for _ in range(50):
        values, progress, stopped = random.integers(0, 8, 12) / 8, EarlyStopping(patience), None
        for epoch, value in enumerate(values):
            progress.record({"epoch": epoch}, {"recall@20": value})
            if progress.is_over():
                stopped = progress.best_epoch
                break
        row = paper.replay(log(values), patience)
        assert (None if row is None else row["epoch"]) == stopped


def test_the_first_of_equal_values_is_the_best():
    assert paper.replay(log([0.3, 0.3, 0.3]), 1)["epoch"] == 0


def test_every_system_of_the_papers_main_table_is_in_the_registry():
    tables = pd.read_csv(paper.DATA / "paper_tables.csv")
    printed = set(tables.loc[tables["table"] == 2, "model"].str.lower())
    registered = {system.paper.lower() for system in systems().values()}
    assert len(printed) == 16 and sorted(printed - registered) == []


@pytest.mark.parametrize(
    ("dataset", "patience", "recall"),
    [
        ("baby", 20, 0.1033),
        ("sports", 20, 0.1145),
        ("clothing", 30, 0.0953),
        ("clothing", 20, 0.0947),
    ],
)
def test_the_logs_give_the_papers_numbers(dataset, patience, recall):
    logs = paper.training_logs()
    own = logs[(logs["dataset"] == dataset) & (logs["model"] == "SEA")]
    assert paper.replay(own, patience)["test/recall@20"] == pytest.approx(recall, abs=5e-5)


def test_table_5_has_a_row_a_dataset_and_system():
    costs = paper.paper_costs().set_index(["dataset", "system"])
    assert (
        costs.loc[("baby", "SEAa"), "seconds"] == 16.04
        and costs.loc[("sports", "SEAd"), "memory_gb"] == 3.94
    )
    assert costs.notna().all(axis=None)
