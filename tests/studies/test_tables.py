"""Runs as tables: means and intervals by hand, the paper's numbers beside the right systems, honest labels."""

import math

import fakes
import numpy as np
import pandas as pd
import pytest
from tiny import tiny

from seapkg.data.catalogue import KNOWN
from seapkg.errors import RequestError
from seapkg.studies import definitions, paper, tables

PARTS = {"alignment": "solosim", "distancing": "club", "formulation": "paper"}


def runs_of(folder, *specs, values=None):
    store = fakes.store_of(folder, *specs, values=values)
    return [store.find(spec) for spec in specs]


@pytest.fixture(scope="module")
def published():
    return paper.paper_numbers()


@pytest.mark.parametrize(
    ("model", "config", "name"),
    [
        ("bpr", {}, "MF-BPR"), ("lightgcn", {}, "lightgcn"), ("sea", PARTS, "SEA"),
        ("sea", PARTS | {"distancing": "negative_l2"}, "SEAb"), ("sea", PARTS | {"alignment": "info_nce"}, "SEAc"),
        ("sea", PARTS | {"alignment": "none"}, None), ("sea", PARTS | {"distancing_weight": 0}, None),
        ("vbpr", {"alignment": "none", "distancing": "none"}, "vbpr"), ("vbpr", PARTS, "vbpr + SEA"),
        ("vbpr", PARTS | {"distancing": "orthogonal"}, None),
        ("freedom", PARTS | {"content_in_score": True}, "freedom + SEA"),
        ("freedom", {"alignment": "none", "distancing": "none", "content_in_score": True}, None),
        ("freedom", {"alignment": "none", "distancing": "none", "content_in_score": False}, "freedom"),
    ],
)  # fmt: skip
def test_a_run_is_compared_with_the_system_it_trained(tmp_path, model, config, name):
    (run,) = runs_of(tmp_path, fakes.spec(model, **config))
    assert paper.published_name(run) == name


@pytest.mark.parametrize(
    ("model", "dataset", "config", "metric", "value"),
    [
        ("bpr", "baby", {}, "recall@20", 0.0575), ("lightgcn", "sports", {}, "recall@20", 0.0864),
        ("sea", "baby", PARTS, "ndcg@10", 0.0354),
        ("sea", "baby", PARTS | {"alignment": "info_nce"}, "recall@20", 0.1026),
        ("freedom", "baby", PARTS, "recall@20", 0.1013), ("popularity", "baby", {}, "recall@20", math.nan),
        ("bpr", "toy", {}, "recall@20", math.nan),
        ("sea", "baby", PARTS | {"alignment": "none"}, "recall@20", math.nan),
    ],
)  # fmt: skip
def test_the_papers_numbers(tmp_path, published, model, dataset, config, metric, value):
    (run,) = runs_of(tmp_path, fakes.spec(model, dataset=dataset, **config))
    assert paper.number(published, run, metric) == pytest.approx(value, nan_ok=True)


def test_main_table_by_hand(tmp_path, published):
    specs = [fakes.spec(dataset="baby", seed=seed) for seed in range(3)]
    runs = runs_of(tmp_path, *specs, values=[0.1, 0.2, 0.3])
    (row,) = tables.main_table(runs, published, metrics=["recall@20"]).to_dict("records")
    assert row["mean"] == pytest.approx(0.2) and row["interval"] == pytest.approx(
        0.1 * 4.302652729911275 / math.sqrt(3)
    )
    assert (row["dataset"], row["model"], row["metric"]) == ("baby", "bpr", "recall@20")
    assert (row["seeds"], row["paper"], row["data"]) == (3, 0.0575, "made up")


def test_one_seed_has_no_interval(tmp_path, published):
    table = tables.main_table(runs_of(tmp_path, fakes.spec()), published)
    assert table["interval"].isna().all() and (table["seeds"] == 1).all()


def test_runs_that_differ_in_more_than_the_seed_are_never_averaged(tmp_path, published):
    specs = [
        fakes.spec(seed=0),
        fakes.spec(seed=1),
        fakes.spec(seed=0, embed_dim=8),
        fakes.spec(seed=0, precision="fast"),
    ]
    table = tables.main_table(runs_of(tmp_path, *specs), published, metrics=["recall@20"])
    assert table["seeds"].tolist() == [2, 1, 1]
    assert (
        table["model"].is_unique
        and "embed_dim=8" in table["model"][1]
        and "precision=fast" in table["model"][2]
    )


def test_a_formulation_is_always_said(tmp_path, published):
    specs = [
        fakes.spec("sea", **PARTS),
        fakes.spec("sea", **PARTS | {"formulation": "released"}),
        fakes.spec("bpr"),
    ]
    table = tables.main_table(runs_of(tmp_path, *specs), published, metrics=["recall@20"])
    assert table["model"].tolist() == ["sea (paper)", "sea (released)", "bpr"]


def test_curves_are_tidy(tmp_path):
    frame = tables.curves(runs_of(tmp_path, fakes.spec(), fakes.spec(seed=1)))
    assert list(frame) == ["run", "model", "seed", "epoch", "metric", "value"]
    one = frame[
        (frame["seed"] == 1) & (frame["epoch"] == 1) & (frame["metric"] == "valid/recall@20")
    ]
    assert one["value"].tolist() == [0.2]
    assert set(frame["metric"]) >= {"loss", "loss/bpr", "seconds"}


def test_by_seed_has_a_row_for_each_run_and_metric(tmp_path, published):
    runs = runs_of(tmp_path, fakes.spec(), fakes.spec(seed=1), values=[0.1, 0.2])
    frame = tables.by_seed(runs, published, metrics=["recall@20"])
    assert frame["value"].tolist() == [0.1, 0.2] and frame["run"].tolist() == [
        run.name for run in runs
    ]
    assert tables.by_seed(runs, published, split="valid")["paper"].isna().all()


def test_compare_pairs_users_and_seeds_in_any_order(tmp_path):
    a = runs_of(tmp_path / "a", fakes.spec(seed=0), fakes.spec(seed=1), values=[0.3, 0.5])
    b = runs_of(
        tmp_path / "b", fakes.spec("sea", seed=1), fakes.spec("sea", seed=0), values=[0.2, 0.1]
    )
    difference = tables.compare(a, b)
    assert difference.mean == pytest.approx(0.25 * 1.02)
    assert (difference.n_users, difference.n_seeds) == (5, 2)


@pytest.mark.parametrize("other", [{"seed": 1}, {"fingerprint": "0" * 64}])
def test_compare_refuses_runs_that_do_not_pair(tmp_path, other):
    a, b = runs_of(tmp_path, fakes.spec(), fakes.spec("sea", **other))
    with pytest.raises(RequestError, match="pairs"):
        tables.compare([a], [b])


def test_a_missing_paper_table_is_a_clear_error(tmp_path):
    with pytest.raises(RequestError, match="comes with the repository"):
        paper.paper_numbers(tmp_path / "none.csv")


def test_nothing_makes_empty_tables(published):
    for table in (
        tables.curves([]),
        tables.by_seed([], published),
        tables.main_table([], published),
    ):
        assert len(table) == 0 and "model" in table


def test_what_changes_cost_by_hand(tmp_path):
    whole = runs_of(
        tmp_path / "a", *(fakes.spec("sea", seed=s) for s in range(2)), values=[0.5, 0.4]
    )
    less = runs_of(
        tmp_path / "b",
        *(fakes.spec("sea", seed=s, n_layers=1) for s in range(2)),
        values=[0.4, 0.2],
    )
    table = tables.costs_of_changes({"whole": whole, "less": less, "missing": []})
    (row,) = table.to_dict("records")
    by_user = np.mean([0.1, 0.2]) * (1 + 0.01 * np.arange(5))  # what a fake run's users have
    assert (row["dataset"], row["change"], row["seeds"], row["data"]) == (
        "toy",
        "less",
        2,
        "made up",
    )
    assert row["mean"] == pytest.approx(0.3)
    assert row["by_seed"] == pytest.approx([0.1, 0.2])
    assert row["difference"] == pytest.approx(by_user.mean(), rel=1e-6)
    assert row["low, users"] < row["difference"] < row["high, users"]
    assert row["high, seeds"] - row["low, seeds"] > row["high, users"] - row["low, users"]


def test_what_changes_cost_pairs_only_shared_seeds(tmp_path):
    whole = runs_of(tmp_path / "a", *(fakes.spec("sea", seed=s) for s in (0, 1)), values=[0.5, 0.4])
    less = runs_of(
        tmp_path / "b", *(fakes.spec("sea", seed=s, n_layers=1) for s in (1, 2)), values=[0.1, 0.9]
    )
    (row,) = tables.costs_of_changes({"whole": whole, "less": less}).to_dict("records")
    assert row["by_seed"] == pytest.approx([0.3]) and row["mean"] == pytest.approx(0.1)
    assert math.isnan(row["p, seeds"])


def cost_row(**changed):
    row = dict.fromkeys(tables.COSTS_OF_CHANGES, 0.0)
    return row | {"difference": 0.1, "seeds": 3, "p, users": 0.01, "p, seeds": 0.01} | changed


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"seeds": 1, "p, seeds": math.nan}, "one seed"),
        ({"p, seeds": 0.2}, "nothing measurable"),
        ({"p, users": 0.2}, "nothing measurable"),
        ({}, "a loss"),
        ({"difference": -0.1}, "a gain"),
    ],
)
def test_a_verdict_needs_both_users_and_seeds(changed, said):
    (row,) = tables.judged([pd.DataFrame([cost_row(**changed)])]).to_dict("records")
    assert said in row["verdict"]


def test_all_tables_judged_together_are_one_family_for_holm():
    first = pd.DataFrame([cost_row(**{"p, users": 0.02, "p, seeds": math.nan, "seeds": 1})])
    second = pd.DataFrame(
        [cost_row(**{"p, users": 0.01}), cost_row(**{"p, users": 0.03, "p, seeds": 0.04})]
    )
    table = tables.judged([first, pd.DataFrame(columns=tables.COSTS_OF_CHANGES), second])
    assert table["Holm's p, users"].tolist() == pytest.approx([0.04, 0.03, 0.04])
    assert table["Holm's p, seeds"].tolist() == pytest.approx([math.nan, 0.02, 0.04], nan_ok=True)
    assert table["difference"].dtype == float and "p, users" not in table
    assert [row[:7] for row in table["verdict"]] == ["cannot ", "a loss,", "a loss,"]


def test_nothing_to_judge_is_an_empty_table_with_a_verdict_column():
    table = tables.judged([])
    assert len(table) == 0 and "verdict" in table and "Holm's p, users" in table


def judged_row(**changed):
    ends = {"low, users": -0.05, "high, users": 0.25, "low, seeds": 0.05, "high, seeds": 0.15}
    words = {
        "dataset": "toy",
        "change": "w/o Alignment",
        "data": "made up",
        "by_seed": [0.1, 0.1, 0.1],
    }
    return tables.judged([pd.DataFrame([cost_row(**(ends | words | changed))])])


def test_costs_for_the_eye_have_intervals_and_p_values_in_words():
    (row,) = tables.readable(judged_row(**{"p, seeds": 1e-9}), "SEA minus").to_dict("records")
    assert (row["change"], row["SEA minus"], row["seeds"], row["data"]) == (
        "w/o Alignment",
        0.1,
        3,
        "made up",
    )
    assert (row["over users"], row["p, users"]) == ("[-0.0500, +0.2500]", "0.0100")
    assert (row["over seeds"], row["p, seeds"]) == ("[+0.0500, +0.1500]", "<.0001")
    assert row["verdict"].startswith("a loss") and "system" not in row


def test_costs_in_words_and_for_one_seed_without_its_interval():
    assert tables.in_words(judged_row()) == [
        "- **toy**, w/o Alignment: costs +0.1000, over users [-0.0500, +0.2500], over seeds [+0.0500, +0.1500], "
        "3 seeds: a loss, over users and over seeds."
    ]
    alone = {"seeds": 1} | dict.fromkeys(("p, seeds", "low, seeds", "high, seeds"), math.nan)
    (said,) = tables.in_words(judged_row(**alone).assign(system="vbpr", change="+ SEA"))
    assert (
        said.startswith("- **toy**, vbpr + SEA: costs")
        and "over seeds" not in said
        and "]: cannot" in said
    )
    (row,) = tables.readable(judged_row(**alone)).to_dict("records")
    assert row["over seeds"] == row["p, seeds"] == ""


def test_what_was_lost_turned_round_is_what_was_gained():
    (row,) = tables.as_gains(judged_row(by_seed=[0.1, -0.2, 0.3])).to_dict("records")
    assert (row["difference"], row["low, users"], row["high, users"]) == (-0.1, -0.25, 0.05)
    assert (row["low, seeds"], row["high, seeds"], row["by_seed"]) == (
        -0.15,
        -0.05,
        [-0.1, 0.2, -0.3],
    )


def test_without_a_comparison_there_is_nothing_to_read_or_say():
    nothing = tables.judged([])
    assert tables.in_words(nothing) == [] and len(tables.readable(tables.as_gains(nothing))) == 0


@pytest.mark.parametrize(
    ("values", "verdict"),
    [([0.0574, 0.0575, 0.0576], "within"), ([0.09, 0.091, 0.092], "above"), ([0.01, 0.011, 0.012], "below"),
     ([0.0575], "one seed")],
)  # fmt: skip
def test_the_main_table_says_where_a_mean_lies_beside_the_papers_number(
    tmp_path, published, values, verdict
):
    specs = [fakes.spec("bpr", dataset="baby", seed=seed) for seed in range(len(values))]
    table = tables.main_table(
        runs_of(tmp_path, *specs, values=values), published, metrics=["recall@20"]
    )
    assert table["verdict"].tolist() == [verdict]


def test_systems_without_a_run_are_named_beside_the_papers_number(tmp_path, published):
    clean = fakes.spec("rearm", dataset="baby", formulation="clean")
    runs = runs_of(
        tmp_path, fakes.spec("bpr", dataset="baby"), clean, fakes.spec("bpr", dataset="toy")
    )
    table = tables.main_table(runs, published, metrics=["recall@20"])
    systems = ["bpr", "sea (released)", "rearm (clean)"]
    full = tables.with_not_run(table, systems, published, metrics=["recall@20"])
    missing = full[full["verdict"] == "not run"].set_index(["dataset", "model"])["paper"]
    assert missing["baby", "sea (released)"] == 0.1033 and math.isnan(
        missing["toy", "sea (released)"]
    )
    assert missing["clothing", "bpr"] == 0.0279
    assert ("baby", "bpr") not in missing and ("baby", "rearm (clean)") not in missing
    assert (full["dataset"] == "baby").sum() == 3 and len(full) == 3 * 4
    assert full["dataset"].tolist() == sorted(
        full["dataset"], key=list(dict.fromkeys(full["dataset"])).index
    )


def test_every_system_of_the_main_table_is_labelled_as_it_is_asked_for(tmp_path):
    data = tiny("image", "text")
    specs = [definitions.plans(data, [system], [0])[0].spec for system in definitions.SYSTEMS]
    labels = tables.group_labels(runs_of(tmp_path, *specs))
    assert list(labels.values()) == list(definitions.SYSTEMS)


def test_sizes_are_counted_and_set_beside_the_papers():
    small, known = tiny(), KNOWN["baby"]
    table = tables.sizes([small, known]).set_index("dataset")
    assert table.loc["arrays", ["users", "items", "interactions"]].tolist() == [12, 16, 72]
    assert table.loc["arrays", "sparsity, %"] == pytest.approx(100 * (1 - 72 / 192), abs=0.01)
    assert (
        table.loc["baby", "the paper's"] == "the same" and table.loc["arrays", "the paper's"] == ""
    )
