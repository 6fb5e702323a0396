"""The authors' logs and what another patience would have made of them."""

import pandas as pd
import pytest

from seapkg.errors import RequestError
from seapkg.experiments import paper

VALID = [0.1, 0.3, 0.2, 0.2, 0.4, 0.1]


def log(values):
    return pd.DataFrame({"epoch": range(len(values)), "valid/recall@20": values, "test/recall@20": values})


@pytest.mark.parametrize(
    ("patience", "epoch"),
    [(0, 1), (1, 1), (2, None)],  # with 2, epoch 4 is a new best, and the log ends one epoch too soon
)
def test_patience_by_hand(patience, epoch):
    row = paper.replay(log(VALID), patience)
    assert (None if row is None else row["epoch"]) == epoch


def test_a_log_that_ends_with_its_patience_used_up_has_a_result():
    assert paper.replay(log([0.3, 0.1, 0.1]), 2)["epoch"] == 0


def test_the_first_of_equal_values_is_the_best():
    assert paper.replay(log([0.3, 0.3, 0.3]), 1)["epoch"] == 0


@pytest.mark.parametrize(
    ("dataset", "patience", "recall"),
    [("baby", 20, 0.1033), ("sports", 20, 0.1145), ("clothing", 30, 0.0953), ("clothing", 20, 0.0947)],
)
def test_the_logs_give_the_papers_numbers(dataset, patience, recall):
    logs = paper.training_logs()
    own = logs[(logs["dataset"] == dataset) & (logs["model"] == "SEA")]
    assert paper.replay(own, patience)["test/recall@20"] == pytest.approx(recall, abs=5e-5)


def test_missing_logs_are_a_clear_error(tmp_path):
    with pytest.raises(RequestError, match="comes with the repository"):
        paper.training_logs(tmp_path / "none.csv")
