"""A search tries what it says, never sees the test split, and goes on after a kill."""

import json

import pandas as pd
import pytest
import yaml
from tiny import planted, tiny

from seapkg.__main__ import main
from seapkg.errors import RequestError, TrainingFault
from seapkg.models import systems
from seapkg.options import describe_options
from seapkg.runs import search as module
from seapkg.runs import tuned, tuning
from seapkg.runs.configure import configure
from seapkg.runs.search import Search, best, search
from seapkg.runs.store import Store
from seapkg.runs.train import train
from seapkg.training import TrainingConfig
from seapkg.training.early_stopping import MONITOR, EarlyStopping
from seapkg.training.evaluate import Ranking
from seapkg.training.limits import PRUNED, TIME, Limits

FEW = {"max_epochs": 3, "embed_dim": 8}


class Here:
    """Workers in this process, so that a test can look at what they are given."""

    is_here = True

    def __init__(self):
        self.calls = []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        pass

    def running(self):
        return 1

    def call(self, function, *arguments, **options):
        self.calls.append(arguments)
        return function(*arguments, **options)


@pytest.fixture
def here(monkeypatch):
    team = Here()
    monkeypatch.setattr(module, "make_workers", lambda workers, scheduler: team)
    return team


def known(trials):
    """What must be the same wherever and whenever a search is done."""
    return [(one.number, one.options, one.valid, one.epochs, one.stopped) for one in trials]


def test_trial_0_is_the_best_known_setting_and_all_lie_in_the_ranges(here, tmp_path):
    what = Search("bpr", planted(), {**FEW, "batch_size": 16})
    trials = search(what, Store(tmp_path), 6)
    assert [one.number for one in trials] == list(range(6))
    default = configure("bpr", {})
    assert trials[0].options == {
        "learning_rate": default[1].learning_rate,
        "regularisation": default[0].regularisation,
    }
    assert all(1e-4 <= one.options["learning_rate"] <= 1e-2 for one in trials)
    assert {one.options["regularisation"] for one in trials} <= {2, 1, 0.1, 0.01, 1e-3, 1e-4, 1e-5}
    assert len({tuple(one.options.values()) for one in trials}) == 6
    assert best(trials).valid == max(one.valid for one in trials)


def test_a_search_in_two_halves_by_two_processes_is_the_search_in_one(here, tmp_path):
    what = Search("bpr", planted(), FEW)
    whole = search(what, Store(tmp_path / "whole"), 5)
    search(what, Store(tmp_path / "halves"), 2)
    assert known(search(what, Store(tmp_path / "halves"), 5)) == known(whole)
    assert known(search(what, Store(tmp_path / "halves"), 5)) == known(
        whole
    )  # nothing is left to do


def test_a_trial_that_a_kill_interrupted_is_made_again(here, tmp_path, monkeypatch):
    what, store = Search("bpr", planted(), FEW), Store(tmp_path)
    whole = search(what, Store(tmp_path / "whole"), 4)

    def killed(*arguments):
        raise KeyboardInterrupt

    search(what, store, 2)
    monkeypatch.setattr(here, "call", killed)
    with pytest.raises(KeyboardInterrupt):
        search(what, store, 3)
    assert known(search(what, store, 2)) == known(whole[:2])
    monkeypatch.undo()
    monkeypatch.setattr(module, "make_workers", lambda workers, scheduler: here)
    assert known(search(what, store, 4)) == known(whole)


def test_options_that_are_held_are_kept_with_those_that_were_searched(here, project):
    what = Search("bpr", planted(), {**FEW, "learning_rate": "0.02"})
    trials = search(what, Store(project / "store"), 2)
    tuning.keep(what, trials)
    kept = yaml.safe_load((project / tuned.FILE).read_text())["arrays"]["bpr"]
    assert kept == {"max_epochs": 3, "embed_dim": 8, "learning_rate": 0.02, **best(trials).options}


@pytest.mark.parametrize(("n_trials", "seconds"), [(0, 300.0), (2, 0.0)])
def test_a_search_without_trials_or_time_is_refused(here, tmp_path, n_trials, seconds):
    with pytest.raises(RequestError, match="at least one trial"):
        search(Search("bpr", planted(), FEW, seconds=seconds), Store(tmp_path), n_trials)


def test_a_trial_whose_training_fails_counts_and_the_others_go_on(here, tmp_path, monkeypatch):
    call = here.call

    def fails_once(*arguments):
        if len(here.calls) == 1:
            here.calls.append(arguments)
            raise TrainingFault("the loss is not finite")
        return call(*arguments)

    monkeypatch.setattr(here, "call", fails_once)
    trials = search(Search("bpr", planted(), FEW), Store(tmp_path), 4)
    assert [one.stopped == "failed" for one in trials] == [False, True, False, False]
    assert trials[1].valid is None and best(trials).valid is not None


def test_no_trial_can_read_the_test_split(here, tmp_path):
    data = tiny("image", "text")
    what = Search("vbpr", data, FEW)
    search(what, Store(tmp_path), 2)
    for planned, _ in here.calls:
        assert len(planned.dataset.test) == 0
        assert planned.spec.dataset_fingerprint == data.fingerprint
        with pytest.raises(RequestError, match="closed"):
            Ranking(planned.dataset, "test")


def test_a_trial_trained_anew_has_its_score(here, tmp_path):
    data = planted()
    trial = search(Search("bpr", data, FEW), Store(tmp_path), 3)[2]
    run = train("bpr", data, store=tmp_path, progress=False, **FEW, **trial.options)
    assert run.valid[MONITOR] == trial.valid and run.record["epochs"] == trial.epochs


def test_two_workers_finish_every_trial(tmp_path):
    trials = search(Search("bpr", planted(), FEW), Store(tmp_path), 5, workers=2)
    assert [one.number for one in trials] == list(range(5))
    assert all(one.epochs == 3 and one.stopped == "epochs" for one in trials)


def test_a_system_with_nothing_to_search_has_one_trial(here, tmp_path):
    trials = search(Search("popularity", tiny(), {}), Store(tmp_path), 8)
    assert [(one.number, one.options, one.epochs) for one in trials] == [(0, {}, 0)]


@pytest.mark.parametrize("name", systems())
def test_at_most_four_options_of_a_system_are_searched_and_training_first(name):
    space = Search(name, tiny("image", "text"), {}).space()
    is_trained = systems()[name].model.training_defaults.get("max_epochs") != 0
    of_model = [each.name for each in describe_options(systems()[name].model.config_class)]
    assert len(space) <= 4 and ("learning_rate" in space) == is_trained
    assert set(space) <= {"learning_rate", *of_model}
    options = [*describe_options(TrainingConfig)] + [
        *describe_options(systems()[name].model.config_class)
    ]
    assert len([each for each in options if each.search and is_trained]) <= 4  # none is left out


def curves_of(*values):
    stopping = EarlyStopping(patience=5)
    for value in values:
        stopping.record({}, {MONITOR: value})
    return stopping


def test_limits_end_a_training_at_the_bar_or_after_their_time():
    limits = Limits(seconds=10, bar=(None, 0.2, 0.3))
    assert limits.reached(curves_of(0.1), 5) == ""
    assert limits.reached(curves_of(0.1, 0.1), 5) == PRUNED
    assert limits.reached(curves_of(0.1, 0.2), 5) == ""
    assert limits.reached(curves_of(0.3, 0.1, 0.1), 5) == ""  # the best epoch counts
    assert limits.reached(curves_of(0.3, 0.1, 0.1), 10) == TIME
    assert limits.reached(curves_of(0, 0, 0.4, 0), 9) == ""  # no bar beyond the last


def test_the_bar_is_the_median_of_the_complete_trials(here, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "UNPRUNED_EPOCHS", 1)
    search(Search("bpr", planted(), FEW), Store(tmp_path), 5)
    bars = [limits.bar for _, limits in here.calls]
    assert bars[:3] == [(), (), ()] and len(bars[3]) == 3 and bars[3][0] is None


def test_a_search_stops_a_trial_after_its_time(here, tmp_path):
    what = Search("bpr", planted(), {"max_epochs": 1000, "patience": 1000}, seconds=1e-9)
    (trial,) = search(what, Store(tmp_path), 1)
    assert (trial.stopped, trial.epochs) == (TIME, 1)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project folder with two rows of tuned options and one trial by hand."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "results/reference").mkdir(parents=True)
    file = tmp_path / tuned.FILE
    file.parent.mkdir(parents=True)
    file.write_text("# a remark\nbaby:\n  bpr: {regularisation: 0.1}\n")
    table = "dataset,model,seed,options,best_epoch,epochs,valid_recall@20,trial,stopped,seconds\n"
    (tmp_path / "results/reference/tuning.csv").write_text(table + "tiny,bpr,0,by hand,1,2,.1,,,\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_kept_is_every_trial_and_the_best_options(here, project):
    what = Search("bpr", planted(), FEW)
    trials = search(what, Store(project / "store"), 3)
    for _ in range(2):  # again changes nothing
        tuning.keep(what, trials)
    table = pd.read_csv(project / "results/reference/tuning.csv")
    assert list(table["options"])[0] == "by hand" and len(table) == 4
    assert list(table["trial"].dropna()) == [0, 1, 2]
    text = (project / tuned.FILE).read_text()
    assert text.startswith("# a remark\n")
    kept = yaml.safe_load(text)
    assert kept == {
        "baby": {"bpr": {"regularisation": 0.1}},
        "arrays": {"bpr": {**FEW, **best(trials).options}},
    }


def test_the_command_prints_the_trials_and_the_best_as_json(tmp_path, capsys):
    arguments = ["tune", "itemknn", "--data", "synthetic", "--trials", "3", "--store"]
    assert main([*arguments, str(tmp_path)]) == 0
    *table, last = capsys.readouterr().out.splitlines()
    record = json.loads(last)
    assert len(table) == 4 and record["trials"] == 3 and record["model"] == "itemknn"
    assert set(record["options"]) == set(Search("itemknn", tiny(), {}).space())
