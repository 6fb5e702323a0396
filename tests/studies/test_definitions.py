"""The main table asks for runs by name, with the options chosen on valid."""

import pytest
from tiny import tiny

from seapkg.data.catalogue import KNOWN, PROVENANCE
from seapkg.errors import RequestError
from seapkg.runs.configure import configure
from seapkg.runs.store import Store
from seapkg.studies import definitions


def test_every_chosen_option_is_one_the_model_has():
    for dataset, chosen in definitions.TUNED.items():
        for system in chosen:
            configure(*definitions.options(dataset, system))


def test_an_unknown_system_is_refused():
    with pytest.raises(RequestError, match="no system 'sae'"):
        definitions.options("baby", "sae")


def test_offline_gives_the_finished_runs_and_leaves_the_rest_out(tmp_path):
    store, data = Store(tmp_path), tiny()
    finished = definitions.runs(data, ["bpr"], [0], store=store, max_epochs=1)
    found = definitions.runs(
        data, ["bpr", "lightgcn"], [0, 1], store=store, offline=True, max_epochs=1
    )
    assert [run.name for run in found] == [run.name for run in finished]


def test_known_data_has_a_provenance():
    assert all(known.provenance and known.fingerprint in PROVENANCE for known in KNOWN.values())


def test_known_data_that_is_not_here_is_looked_up_and_not_trained(tmp_path, monkeypatch):
    monkeypatch.setenv("SEAPKG_DATA", str(tmp_path / "nothing"))
    monkeypatch.setattr("seapkg.data.catalogue.BESIDE_PACKAGE", tmp_path / "nothing")
    monkeypatch.chdir(tmp_path)
    assert (
        definitions.runs("baby", ["bpr"], [0], store=Store(tmp_path / "store"), offline=True) == []
    )
    assert definitions.runs("baby", ["bpr"], [0], store=Store(tmp_path / "store")) == []


def test_changes_are_asked_for_one_at_a_time_and_have_the_last_word(tmp_path):
    changes = {"whole": {}, "narrow": {"embed_dim": 4, "max_epochs": 2}}
    found = definitions.changed_runs(
        tiny(), "bpr", changes, [0, 1], store=Store(tmp_path), max_epochs=1
    )
    assert {label: [run.seed for run in group] for label, group in found.items()} == {
        "whole": [0, 1],
        "narrow": [0, 1],
    }
    assert {(run.config["embed_dim"], run.training["max_epochs"]) for run in found["whole"]} == {
        (64, 1)
    }
    assert {(run.config["embed_dim"], run.training["max_epochs"]) for run in found["narrow"]} == {
        (4, 2)
    }


@pytest.mark.parametrize(
    ("system", "changes"),
    [
        ("sea (released)", definitions.ABLATION),
        ("sea (released)", definitions.PAPER_AND_CODE),
        ("sea (released)", definitions.SEPARATIONS),
        ("sea (released)", definitions.VARIANTS),
        ("sea (released)", definitions.SAMPLERS),
        ("rearm (clean)", definitions.REARM_PARTS),
        ("rearm (clean)", definitions.SAMPLERS),
    ],
)
def test_every_change_sets_a_system_apart_from_the_unchanged_and_from_the_others(system, changes):
    model, own = definitions.options("baby", system)
    configured = [configure(model, own | change) for change in changes.values()]
    assert all(one != other for place, one in enumerate(configured) for other in configured[:place])


@pytest.mark.parametrize("system", definitions.PLUG_IN)
def test_every_plug_in_sets_the_system_apart(system):
    configured = [configure(system, change) for change in definitions.PLUG_IN[system].values()]
    assert all(one != other for place, one in enumerate(configured) for other in configured[:place])


def test_one_at_a_time_moves_nothing_first_and_then_each_value():
    changes = definitions.one_at_a_time({"temperature": [0.1, 0.4], "alignment_weight": [0.0]})
    assert list(changes.items()) == [
        ("", {}), ("temperature=0.1", {"temperature": 0.1}), ("temperature=0.4", {"temperature": 0.4}),
        ("alignment_weight=0.0", {"alignment_weight": 0.0}),
    ]  # fmt: skip


def test_seeds_may_be_those_of_each_dataset():
    seeds = {"synthetic": [0, 3], "baby": [1]}
    assert [plan.spec.seed for plan in definitions.plans("synthetic", ["bpr"], seeds)] == [0, 3]
    (group,) = definitions.changed_plans(KNOWN["baby"], "bpr", {"whole": {}}, seeds).values()
    assert [plan.spec.seed for plan in group] == [1]
    with pytest.raises(RequestError, match="given for baby, and none for synthetic"):
        definitions.plans("synthetic", ["bpr"], {"baby": [1]})


def test_popularity_hangs_on_no_seed_and_is_asked_for_once():
    assert [
        plan.spec.seed for plan in definitions.plans("synthetic", ["popularity", "bpr"], [2, 3])
    ] == [2, 2, 3]
