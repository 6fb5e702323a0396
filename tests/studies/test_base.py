"""A study is a value: it plans its runs, says what it lacks, and makes its table."""

import fakes
import pytest
from tiny import tiny

import seapkg
from seapkg.data.catalogue import KNOWN
from seapkg.errors import RequestError
from seapkg.models.registry import systems
from seapkg.runs.configure import configure
from seapkg.runs.store import Store
from seapkg.runs.train import plan
from seapkg.runs.tuned import pinned, tuned
from seapkg.studies import (
    ablation,
    features,
    known_factors,
    paper_and_code,
    plug_in,
    rearm,
    studies,
    studies_of,
    variants,
)
from seapkg.studies.base import Arm, Study, arms_of, find_row, rows

CHANGES = {"whole": {}, "narrow": {"embed_dim": 4, "max_epochs": 2}}


def two_arms(data, seeds=(0, 1), max_epochs=1):
    return Study("toy", arms_of("bpr", CHANGES), [data], len, seeds, max_epochs)


def test_plans_are_datasets_times_arms_times_seeds_and_a_change_has_the_last_word():
    plans = two_arms(tiny()).plans()
    found = [(p.spec.seed, p.spec.config["embed_dim"], p.training.max_epochs) for p in plans]
    assert found == [(0, 64, 1), (1, 64, 1), (0, 4, 2), (1, 4, 2)]


def test_missing_runs_are_trained_and_results_are_grouped_by_arm(tmp_path):
    study, store = two_arms(tiny()), Store(tmp_path)
    assert len(study.missing(store)) == 4
    results = study.runs(store)
    assert study.missing(store) == [] and results.lacks() == ""
    by_label = results.of("arrays")
    assert {label: [run.seed for run in group] for label, group in by_label.items()} == {
        "whole": [0, 1],
        "narrow": [0, 1],
    }
    assert [label for label, _ in results] == ["whole", "whole", "narrow", "narrow"]


def test_a_missing_run_is_named_and_never_dropped_in_silence(tmp_path):
    store = Store(tmp_path)
    two_arms(tiny(), seeds=[0]).runs(store)
    results = two_arms(tiny()).runs(store, offline=True)
    assert [run.seed for run in results.all_runs] == [0, 0]
    assert [row.plan.spec.seed for row in results.rows if row.run is None] == [1, 1]
    assert "arrays" in results.lacks() and "narrow (1 runs)" in results.lacks()
    assert results.counts()["missing"].tolist() == [1, 1]


def test_known_data_that_is_not_here_is_looked_up_and_not_trained(tmp_path):
    study = two_arms(KNOWN["baby"])
    assert study.runs(Store(tmp_path)).counts()["missing"].sum() == 4


def test_datasets_may_have_names_of_their_own():
    worlds = {"small": tiny(), "large": tiny(n_users=20)}
    study = Study(
        "toy", arms_of("bpr", {"whole": {}}), worlds, len, {"small": [0], "large": [1, 2]}
    )
    assert [p.spec.seed for p in study.plans()] == [0, 1, 2]


def test_seeds_may_be_those_of_each_dataset():
    study = Study("toy", (Arm("bpr", "bpr"),), ["synthetic"], len, {"baby": [1]})
    with pytest.raises(RequestError, match="no seeds for synthetic, only for baby"):
        study.plans()


def test_one_seed_stands_for_all_where_nothing_is_trained():
    arms = (Arm("popularity", "popularity"), Arm("bpr", "bpr"))
    plans = Study("toy", arms, ["synthetic"], len, [2, 3]).plans()
    assert [p.spec.seed for p in plans] == [2, 2, 3]


def test_the_rows_of_the_main_table_are_those_of_the_registry_oldest_first():
    labels = [label for system in systems().values() for label in system.labels]
    assert list(rows()) == labels
    assert [arm.label for arm in seapkg.study("main_table", datasets=["synthetic"]).arms] == labels


def test_an_unknown_row_study_or_parameter_is_refused_with_what_there_is():
    with pytest.raises(RequestError, match="unknown system 'bpt' .*did you mean 'bpr'"):
        find_row("bpt")
    with pytest.raises(RequestError, match="unknown study 'ablatoin' .*did you mean 'ablation'"):
        seapkg.study("ablatoin")
    with pytest.raises(TypeError, match="'seed'"):
        seapkg.study("ablation", datasets=["synthetic"], seed=1)


REQUIRED = {
    "cold_items": {"cold_on": []},
    "before_search": {"searched": []},
    "paradigms": {"ranked_on": []},
    "known_factors_by_share": {"swept": [], "shares": []},
    "known_factors": {},
    "rearm_rivals": {"compared_on": []},
    "sensitivity": {"datasets": [], "values": {}},
}


def test_only_the_main_table_the_ablation_and_the_features_follow_tuned_options():
    made = {name: seapkg.study(name, **REQUIRED.get(name, {"datasets": []})) for name in studies()}
    follow = {name for name in made if made[name].base in (tuned, features.tuned_on_original)}
    assert follow == {"main_table", "ablation", "features", "cold_items"}


@pytest.mark.parametrize("dataset", ["synthetic", "baby", "sports", "lfm2k"])
def test_every_base_option_is_one_that_the_system_has(dataset):
    for label, (system, options) in rows().items():
        for base in (pinned, tuned):
            configure(system.name, options | base(dataset, label))


@pytest.mark.parametrize(
    ("row", "changes"),
    [
        ("sea (released)", ablation.CHANGES),
        ("sea (released)", paper_and_code.CHANGES),
        ("sea (released)", known_factors.CHANGES),
        ("sea (released)", variants.CHANGES),
        ("sea (released)", rearm.SAMPLERS),
        ("rearm (clean)", rearm.PARTS),
        ("rearm (clean)", rearm.SAMPLERS),
        *plug_in.CHANGES.items(),
    ],
)
def test_every_change_sets_a_system_apart_from_the_unchanged_and_from_the_others(row, changes):
    system, options = find_row(row)
    configured = [configure(system.name, options | change) for change in changes.values()]
    assert all(one not in configured[:place] for place, one in enumerate(configured))


def test_sensitivity_moves_nothing_first_and_then_each_value():
    values = {"temperature": [0.1, 0.4], "alignment_weight": [0.0]}
    study = seapkg.study("sensitivity", datasets=["synthetic"], values=values)
    assert [(arm.label, dict(arm.changes)) for arm in study.arms] == [
        ("as chosen", {}),
        ("temperature=0.1", {"temperature": 0.1}),
        ("temperature=0.4", {"temperature": 0.4}),
        ("alignment_weight=0.0", {"alignment_weight": 0.0}),
    ]


def test_a_notebook_has_the_studies_that_name_it_with_its_parameters():
    parameters = {"datasets": ["synthetic"], "compared_on": ["synthetic"], "seeds": [4], "other": 1}
    found = studies_of("12_rearm", parameters)
    assert list(found) == ["rearm_parts", "rearm_rivals", "rearm_leak"]
    assert {p.spec.seed for study in found.values() for p in study.plans()} == {4}
    assert studies_of("00_start_here", parameters) == {}


def test_a_failed_run_is_missing_with_a_warning(tmp_path, caplog):
    wild = {"learning_rate": 1e30, "max_epochs": 20, "embed_dim": 8}
    arms = arms_of("bpr", {"tame": {}, "wild": wild})
    results = Study("toy", arms, [tiny()], len, [0], max_epochs=1).runs(Store(tmp_path))
    assert results.counts()["runs"].tolist() == [1, 0]
    assert "left out" in caplog.text and "wild (1 runs)" in results.lacks()


def test_a_study_makes_its_table(tmp_path):
    planned = [plan("bpr", tiny(), seed=seed, max_epochs=1) for seed in (0, 1)]
    store = fakes.store_of(tmp_path, *(p.spec for p in planned))
    study = seapkg.study(
        "main_table", datasets=[tiny()], systems=["bpr"], seeds=[0, 1], max_epochs=1
    )
    table = study.table(store, offline=True)
    assert table["seeds"].tolist() == [2] * 4 and table["model"].unique().tolist() == ["bpr"]
