"""Runs as tables: means and intervals by hand, the paper's numbers beside the right systems,
honest labels.
"""

import math

import fakes
import numpy as np
import pandas as pd
import pytest
from tiny import tiny

from seapkg.data.catalogue import KNOWN
from seapkg.studies import tables
from seapkg.studies.base import Arm, Result, Results, Study

PARTS = {"alignment": "solosim", "distancing": "club", "formulation": "paper"}


def runs_of(folder, *specs, values=None):
    store = fakes.store_of(folder, *specs, values=values)
    return [store.find(spec) for spec in specs]


def labelled(runs, label=None):
    """Pairs (label, run); the label is the model's name where none is given."""
    return [(label or run.model, run) for run in runs]


def results_of(groups, family=""):
    """Results of one dataset; `groups`: label -> runs."""
    arms = [Arm(label, "bpr", family=family) for label in groups]
    study = Study("toy", tuple(arms), {"toy": KNOWN["baby"]}, tables.differences)
    rows = [Result("toy", arm, None, run) for arm in arms for run in groups[arm.label] or [None]]
    return Results(study, rows)


def test_main_table_by_hand(tmp_path):
    specs = [fakes.spec(dataset="baby", seed=seed) for seed in range(3)]
    runs = runs_of(tmp_path, *specs, values=[0.1, 0.2, 0.3])
    (row,) = tables.main_table(labelled(runs), metrics=["recall@20"]).to_dict("records")
    assert row["mean"] == pytest.approx(0.2) and row["interval"] == pytest.approx(
        0.1 * 4.302652729911275 / math.sqrt(3)
    )
    assert (row["dataset"], row["model"], row["metric"]) == ("baby", "bpr", "recall@20")
    assert (row["seeds"], row["paper"], row["data"]) == (3, 0.0575, "made up")


def test_one_seed_has_no_interval(tmp_path):
    table = tables.main_table(labelled(runs_of(tmp_path, fakes.spec())))
    assert table["interval"].isna().all() and (table["seeds"] == 1).all()


def test_curves_are_tidy(tmp_path):
    frame = tables.curves(labelled(runs_of(tmp_path, fakes.spec(), fakes.spec(seed=1))))
    assert list(frame) == ["run", "model", "seed", "epoch", "metric", "value"]
    one = frame[
        (frame["seed"] == 1) & (frame["epoch"] == 1) & (frame["metric"] == "valid/recall@20")
    ]
    assert one["value"].tolist() == [0.2]
    assert set(frame["metric"]) >= {"loss", "loss/bpr", "seconds"}


def test_by_seed_has_a_row_for_each_run_and_metric(tmp_path):
    runs = runs_of(tmp_path, fakes.spec(), fakes.spec(seed=1), values=[0.1, 0.2])
    frame = tables.by_seed(labelled(runs), metrics=["recall@20"])
    assert frame["value"].tolist() == [0.1, 0.2] and frame["seed"].tolist() == [0, 1]


def test_nothing_makes_empty_tables():
    for table in (
        tables.curves([]),
        tables.by_seed([]),
        tables.main_table([]),
    ):
        assert len(table) == 0 and "model" in table


def group(folder, values, first_seed=0, **config):
    """Runs of SEA, one a value, with seeds from `first_seed` on."""
    seeds = range(first_seed, first_seed + len(values))
    specs = [fakes.spec("sea", seed=seed, **config) for seed in seeds]
    return runs_of(folder, *specs, values=values)


def test_differences_by_hand(tmp_path):
    whole = group(tmp_path / "a", [0.5, 0.4])
    less = group(tmp_path / "b", [0.4, 0.2], n_layers=1)
    table = tables.differences(results_of({"whole": whole, "less": less, "missing": []}))
    (row,) = table.to_dict("records")
    by_user = np.mean([0.1, 0.2]) * (1 + 0.01 * np.arange(5))  # what a fake run's users have
    assert (row["dataset"], row["change"], row["seeds"], row["data"]) == (
        "toy",
        "less",
        2,
        "made up",
    )
    assert row["mean"] == pytest.approx(0.3) and row["by_seed"] == pytest.approx([0.1, 0.2])
    assert row["difference"] == pytest.approx(by_user.mean(), rel=1e-6)
    assert row["low, users"] < row["difference"] < row["high, users"]
    assert row["high, seeds"] - row["low, seeds"] > row["high, users"] - row["low, users"]
    assert "system" not in table


def test_differences_pair_only_shared_seeds(tmp_path):
    whole = group(tmp_path / "a", [0.5, 0.4])
    less = group(tmp_path / "b", [0.1, 0.9], first_seed=1, n_layers=1)
    (row,) = tables.differences(results_of({"whole": whole, "less": less})).to_dict("records")
    assert row["by_seed"] == pytest.approx([0.3]) and row["mean"] == pytest.approx(0.1)
    assert math.isnan(row["Holm's p, seeds"]) and row["verdict"] == "one seed"


def test_arms_choose_the_reference_and_the_order(tmp_path):
    groups = {
        label: group(tmp_path / label, [value], n_layers=number)
        for number, (label, value) in enumerate({"a": 0.1, "b": 0.2, "c": 0.4}.items())
    }
    table = tables.differences(results_of(groups, family="vbpr"), ["c", "b", "a"])
    assert table["change"].tolist() == ["b", "a"] and set(table["system"]) == {"vbpr"}
    assert [values[0] for values in table["by_seed"]] == pytest.approx([0.2, 0.3])


def test_the_nearest_arms_are_those_with_the_smallest_difference(tmp_path):
    values = {"ours": 0.30, "far": 0.50, "near": 0.29, "nearer": 0.305}
    groups = {
        label: group(tmp_path / label, [value, value + number / 1000], n_layers=number)
        for number, (label, value) in enumerate(values.items())
    }
    table = tables.differences(results_of(groups), nearest=2)
    assert table["change"].tolist() == ["nearer", "near"]


def test_all_rows_are_one_family_for_holm(tmp_path):
    whole = group(tmp_path / "a", [0.5, 0.4, 0.45])
    others = {
        f"less {number}": group(tmp_path / str(number), values, n_layers=number)
        for number, values in enumerate([[0.4, 0.31, 0.33], [0.49, 0.39, 0.43]])
    }
    alone = [
        tables.differences(results_of({"whole": whole, label: runs}))
        for label, runs in others.items()
    ]
    p_values = [table["Holm's p, seeds"].item() for table in alone]
    together = tables.differences(results_of({"whole": whole, **others}))["Holm's p, seeds"]
    smallest = min(p_values)
    assert sorted(together) == pytest.approx(sorted([2 * smallest, max(2 * smallest, *p_values)]))


def test_rows_that_are_not_shown_and_single_seeds_in_holms_family(tmp_path):
    values = {"ours": [0.30, 0.31, 0.33], "near": [0.29, 0.30, 0.31], "far": [0.5, 0.52, 0.51]}
    groups = {
        label: group(tmp_path / label, of, n_layers=number)
        for number, (label, of) in enumerate({**values, "single": [0.1]}.items())
    }
    whole = tables.differences(results_of(groups)).set_index("change")
    (row,) = tables.differences(results_of(groups), nearest=1).to_dict("records")
    assert row["change"] == "near" and row["Holm's p, seeds"] == whole.at["near", "Holm's p, seeds"]
    p_values = whole[[*tables.P_VALUES, tables.PERMUTED]]
    assert p_values.loc["single"].isna().all() and p_values.loc[["near", "far"]].notna().all(
        axis=None
    )
    del groups["single"]
    without = tables.differences(results_of(groups)).set_index("change")
    pd.testing.assert_frame_equal(without, whole.drop("single"))


def row_of(**changed):
    row = dict.fromkeys(tables.DIFFERENCES, 0.0)
    row |= {"difference": 0.1, "seeds": 3, "Holm's p, users": 0.01, "Holm's p, seeds": 0.01}
    return row | {"dataset": "toy", "change": "w/o Alignment", "data": "made up"} | changed


def table_of(**changed):
    ends = {"low, users": -0.05, "high, users": 0.25, "low, seeds": 0.05, "high, seeds": 0.15}
    row = row_of(**({"by_seed": [0.1] * 3} | ends | changed))
    table = pd.DataFrame([row])
    return table.assign(verdict=tables._verdicts(table))


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({"seeds": 1, "Holm's p, seeds": math.nan}, "one seed"),
        ({"Holm's p, seeds": 0.2}, "not shown"),
        ({"Holm's p, users": 0.2}, "not shown"),
        ({}, "loss"),
        ({"difference": -0.1}, "gain"),
    ],
)
def test_a_verdict_needs_both_users_and_seeds(changed, verdict):
    table = pd.DataFrame([row_of(**changed)])
    assert list(tables._verdicts(table)) == [verdict] and verdict in tables.WORDS


def test_differences_to_be_read_have_intervals_p_values_and_verdicts_in_words():
    table = table_of(**{"Holm's p, seeds": 1e-9})
    (row,) = tables.readable(table, "SEA minus", {"loss": "SEA ahead"}).to_dict("records")
    assert (row["change"], row["SEA minus"], row["seeds"]) == ("w/o Alignment", 0.1, 3)
    assert (row["over users"], row["p, users"]) == ("[-0.0500, +0.2500]", "0.0100")
    assert (row["over seeds"], row["p, seeds"]) == ("[+0.0500, +0.1500]", "<.0001")
    assert row["verdict"] == "SEA ahead" and row["data"] == "made up" and "system" not in row


def test_what_is_not_significant_names_the_detectable_difference():
    table = table_of(**{"Holm's p, users": 0.2, "detectable": 0.0123, tables.PERMUTED: 0.25})
    (row,) = tables.readable(table).to_dict("records")
    assert row["verdict"] == "not significant; detectable: .0123" and row["permuted"] == "0.2500"


def test_differences_in_words_and_for_one_seed_without_its_interval():
    assert tables.in_words(table_of()) == [
        "- **toy**, w/o Alignment: costs +0.1000, over users [-0.0500, +0.2500], "
        "over seeds [+0.0500, +0.1500] (3): a loss, over users and over seeds."
    ]
    nothing = dict.fromkeys(("Holm's p, seeds", "low, seeds", "high, seeds"), math.nan)
    alone = table_of(seeds=1, **nothing)
    (sentence,) = tables.in_words(alone.assign(system="vbpr", change="+ SEA"))
    assert (
        sentence.startswith("- **toy**, vbpr + SEA: costs") and "over seeds unknown (1)" in sentence
    )
    assert sentence.endswith("one seed, which cannot tell.")
    (row,) = tables.readable(alone).to_dict("records")
    assert row["over seeds"] == row["p, seeds"] == ""


def test_gains_are_losses_with_the_other_sign():
    (row,) = tables.as_gains(table_of(by_seed=[0.1, -0.2, 0.3])).to_dict("records")
    assert (row["difference"], row["low, users"], row["high, users"]) == (-0.1, -0.25, 0.05)
    assert (row["low, seeds"], row["high, seeds"]) == (-0.15, -0.05)
    assert row["by_seed"] == [-0.1, 0.2, -0.3]


def test_without_a_comparison_there_is_nothing_to_read_or_say():
    nothing = tables.differences(results_of({"whole": [], "less": []}))
    assert len(nothing) == 0 and list(nothing) == [*tables.DIFFERENCES, "verdict"]
    assert tables.in_words(nothing) == [] and len(tables.readable(tables.as_gains(nothing))) == 0


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([0.0574, 0.0575, 0.0576], "within"),
        ([0.09, 0.091, 0.092], "above"),
        ([0.01, 0.011, 0.012], "below"),
        ([0.0575], "one seed"),
    ],
)
def test_the_main_table_says_where_a_mean_lies_beside_the_papers_number(tmp_path, values, verdict):
    specs = [fakes.spec("bpr", dataset="baby", seed=seed) for seed in range(len(values))]
    table = tables.main_table(
        labelled(runs_of(tmp_path, *specs, values=values)), metrics=["recall@20"]
    )
    assert table["verdict"].tolist() == [verdict]


def test_systems_without_a_run_are_named_beside_the_papers_number(tmp_path):
    runs = runs_of(tmp_path, fakes.spec("bpr", dataset="baby"), fakes.spec("bpr", dataset="toy"))
    arms = (Arm("bpr", "bpr"), Arm("sea (released)", "sea (released)"))
    rows = [Result(run.dataset, arms[0], None, run) for run in runs]
    data = {name: tiny() for name in ("baby", "toy", "clothing")}
    results = Results(Study("toy", arms, data, len), rows)
    full = tables.with_not_run(results, metrics=["recall@20"])
    missing = full[full["verdict"] == "not run"].set_index(["dataset", "model"])["paper"]
    assert missing["baby", "sea (released)"] == 0.1033
    assert math.isnan(missing["toy", "sea (released)"]) and missing["clothing", "bpr"] == 0.0279
    assert ("baby", "bpr") not in missing and len(full) == 2 * 3
    assert full["dataset"].tolist() == [name for name in data for _ in arms]


def test_a_cell_is_the_mean_with_its_interval_or_the_hours_that_nobody_has_spent(
    tmp_path, monkeypatch
):
    hours = {"baby": {"bpr": 1.0, "sea (released)": 12.5}, "toy": {"sea (released)": 0.25}}
    monkeypatch.setattr(tables, "_hours", lambda: hours)
    specs = [fakes.spec("bpr", dataset="baby", seed=seed) for seed in range(3)]
    runs = runs_of(tmp_path, *specs, fakes.spec("bpr", dataset="toy"), values=[0.1, 0.2, 0.3, 1])
    arms = (Arm("bpr", "bpr"), Arm("sea (released)", "sea (released)"))
    rows = [Result(run.dataset, arms[0], None, run) for run in runs]
    study = Study("toy", arms, {name: tiny() for name in ("baby", "toy", "sports")}, len)
    full = tables.with_not_run(Results(study, rows), metrics=["recall@20"])
    table = tables.side_by_side(full, "dataset").set_index("model")
    assert table.index.tolist() == ["bpr", "sea (released)"]
    assert table.columns.tolist() == ["baby", "toy", "sports"]
    assert table.loc["bpr", ["baby", "toy"]].tolist() == [".2000 ± .2484 (.0575)", "1.0000"]
    assert table.loc["sea (released)"].tolist() == [
        "not measured: 12.5 h (.1033)",
        "not measured: 0.25 h",
        "not run (.1145)",
    ]


def test_sizes_are_counted_and_set_beside_the_papers():
    small, known = tiny(), KNOWN["baby"]
    table = tables.sizes([small, known]).set_index("dataset")
    assert table.loc["arrays", ["users", "items", "interactions"]].tolist() == [12, 16, 72]
    assert table.loc["arrays", "sparsity, %"] == pytest.approx(100 * (1 - 72 / 192), abs=0.01)
    assert (
        table.loc["baby", "the paper's"] == "the same" and table.loc["arrays", "the paper's"] == ""
    )
