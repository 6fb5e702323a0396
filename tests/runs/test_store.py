"""Finished runs on disk: whole or not there, the first wins, and what is broken is never used."""

import json
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import fakes
import numpy as np
import pandas as pd
import pytest

from seapkg import files
from seapkg.errors import BrokenFile, RequestError, SeapkgError
from seapkg.runs.run import Run
from seapkg.runs.store import Store

FILES = {"run.json", "curves.csv", "users.npz", "state.npz"}


@pytest.fixture
def spec():
    return fakes.spec()


@pytest.fixture
def store(tmp_path, spec):
    return fakes.store_of(tmp_path / "store", spec)


def names_in(folder):
    return {path.name for path in folder.iterdir()}


def test_a_run_is_a_folder_of_four_files_and_nothing_else(store, spec):
    assert names_in(store.root) == {spec.name}
    assert names_in(store.root / spec.name) == FILES


def test_what_is_read_is_what_was_kept(store, spec):
    run, fit = store.find(spec), fakes.fit()
    assert run.spec == spec and run.seed == 0 and run.config == spec.config
    assert run.test == fit.test and run.valid == fit.valid
    pd.testing.assert_frame_equal(run.curves, pd.DataFrame(fit.curves), check_exact=True)
    assert {name: list(values) for name, values in run.per_user.items()} == {
        name: list(values) for name, values in fit.per_user.items()
    }


def test_the_model_is_kept_bit_by_bit(store, spec):
    state = store.find(spec).arrays("state.npz")
    expected = fakes.model().state_dict()
    assert set(state) == set(expected)
    assert all(np.array_equal(state[name], expected[name].numpy()) for name in expected)


def test_the_record_tells_what_the_run_was_made_with(store, spec):
    record = json.loads((store.root / spec.name / "run.json").read_text())
    assert {"python", "torch", "numpy", "cpu", "threads", "package", "commit"} <= set(
        record["environment"]
    )
    assert record["data"] == {"source": "some/where/toy", "path": None, "provenance": "made up"}
    assert record["created"].endswith("+00:00")


def test_a_run_without_epochs_has_empty_curves(tmp_path, spec):
    run = Store(tmp_path).save(spec, fakes.files(spec, fakes.fit(n_epochs=0)))
    assert len(run.curves) == 0 and "valid/recall@20" in run.curves


def test_another_run_is_not_found(store):
    assert store.find(fakes.spec(seed=1)) is None


def test_the_first_to_finish_wins(store, spec):
    again = store.save(spec, fakes.files(spec, fakes.fit(0.9)))
    assert again.test["recall@20"] == 0.1
    assert names_in(store.root) == {spec.name}


def test_writers_that_finish_together_leave_one_whole_run(tmp_path, spec):
    together = threading.Barrier(4)

    def save(value):
        together.wait()
        return Store(tmp_path).save(spec, fakes.files(spec, fakes.fit(value)))

    with ThreadPoolExecutor(4) as writers:
        runs = list(writers.map(save, (0.1, 0.2, 0.3, 0.4)))
    assert len({run.test["recall@20"] for run in runs}) == 1
    assert names_in(tmp_path) == {spec.name}
    run = Store(tmp_path).find(spec)
    assert run.test["recall@20"] == pytest.approx(float(run.per_user["recall@20"][0]))


def test_a_writer_that_fails_leaves_nothing(tmp_path, spec):
    class Broken(dict):
        def items(self):
            yield "run.json", b"{}"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Store(tmp_path).save(spec, Broken())
    assert names_in(tmp_path) == set()


def test_half_written_runs_are_ignored_and_removed_after_a_day(store, spec):
    with files.temporary_folder(store.root) as alive:
        dead = shutil.copytree(store.root / spec.name, store.root / ".writing-0123")
        os.utime(dead, (0, 0))
        assert [run.name for run in store.list()] == [spec.name]
        store.prepare()
        assert alive.exists() and not dead.exists()


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_run_that_lacks_a_file_is_an_error_with_a_remedy(store, spec, name):
    (store.root / spec.name / name).unlink()
    with pytest.raises(RequestError, match=f"{name}.* train (the run )?again"):
        run = store.find(spec)
        run.curves if name == "curves.csv" else run.arrays(name)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"spec": 1}', '{"spec": {"model": "bpr"}}'])
def test_a_record_that_cannot_be_read_is_an_error_with_a_remedy(store, spec, text):
    (store.root / spec.name / "run.json").write_text(text)
    with pytest.raises(SeapkgError, match="run.json .*delete .* and train again"):
        store.find(spec)


def test_a_run_of_a_newer_release_is_told_from_a_broken_one(store, spec):
    path = store.find(spec).folder / "run.json"
    record = json.loads(path.read_text())
    record["spec"] |= {"results_version": 2, "flavour": "new"}
    path.write_text(json.dumps(record))
    with pytest.raises(BrokenFile, match="newer release of seapkg .*; update seapkg"):
        store.find(spec)


def test_a_record_without_metrics_is_an_error_with_a_remedy(store, spec):
    path = store.root / spec.name / "run.json"
    record = json.loads(path.read_text())
    record["test"] = {"recall@20": "high"}
    path.write_text(json.dumps(record))
    with pytest.raises(SeapkgError, match="delete"):
        store.find(spec)


def test_the_record_of_another_run_is_not_used(store, spec):
    other = fakes.spec(seed=7)
    shutil.copytree(store.root / spec.name, store.root / other.name)
    with pytest.raises(SeapkgError, match="another run"):
        store.find(other)


def test_a_run_made_under_another_default_keeps_its_name_and_is_not_taken_for_todays(store):
    now = fakes.spec("lightgcn", n_layers=2, embed_dim=64, regularisation=0.0001)
    run = store.save(now, fakes.files(now, fakes.fit()))
    record = json.loads((run.folder / "run.json").read_text())
    record["spec"]["config"]["n_layers"] = 7  # as if 7 had been the default when the run was made
    (run.folder / "run.json").write_text(json.dumps(record))
    assert run.name in [run.name for run in store.list()]
    with pytest.raises(SeapkgError, match="n_layers had another default"):
        store.find(now)


@pytest.mark.parametrize("name", ["users.npz", "state.npz", "curves.csv"])
def test_a_damaged_file_is_an_error_with_a_remedy(store, spec, name):
    (store.root / spec.name / name).write_bytes(b"")
    run = store.find(spec)
    with pytest.raises(SeapkgError, match=f"{name} .*delete"):
        run.curves if name == "curves.csv" else run.arrays(name)


def test_pickled_arrays_are_not_read(store, spec):
    np.savez(
        store.root / spec.name / "state.npz",
        x=np.array([{"a": 1}], dtype=object),
        allow_pickle=True,
    )
    with pytest.raises(SeapkgError, match="state.npz"):
        store.find(spec).arrays("state.npz")


def test_list_names_the_broken_and_shows_the_rest(store, spec, caplog):
    other = fakes.spec(seed=1)
    store.save(other, fakes.files(other, fakes.fit()))
    (store.root / spec.name / "run.json").unlink()
    assert [run.name for run in store.list()] == [other.name]
    assert spec.name in caplog.text


def test_a_run_is_found_by_name_key_or_the_beginning_of_either(store, spec):
    for name in (spec.name, spec.key, spec.name[:8], spec.key[:5]):
        assert store.get(name).name == spec.name


def test_a_beginning_that_fits_two_runs_lists_them(store, spec):
    other = fakes.spec(seed=1)
    store.save(other, fakes.files(other, fakes.fit()))
    with pytest.raises(RequestError, match=f"{spec.key}.*{other.key}|{other.key}.*{spec.key}"):
        store.get("bpr-toy")


@pytest.mark.parametrize("name", ["sea", "", ".", "../store"])
def test_a_run_that_is_not_there_is_a_request_error(store, name):
    with pytest.raises(RequestError, match="no run called"):
        store.get(name)


def test_an_empty_or_absent_store_has_no_runs(tmp_path):
    assert Store(tmp_path / "none").list() == []
    assert not (tmp_path / "none").exists()


def test_a_store_that_cannot_be_written_is_told_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="cannot be written"):
        Store(tmp_path / "file").prepare()


def test_exported_runs_are_a_reference_without_models_and_places(store, spec, tmp_path):
    store.export(store.list(), tmp_path / "reference")
    folder = tmp_path / "reference" / spec.name
    assert names_in(folder) == FILES - {"state.npz"}
    assert json.loads((folder / "run.json").read_text())["data"] == {
        "source": "toy", "path": None, "provenance": "made up"
    }  # fmt: skip
    assert str(tmp_path) not in (folder / "run.json").read_text()


def test_the_reference_is_read_where_the_store_has_no_run(store, spec, tmp_path):
    store.export(store.list(), tmp_path / "reference")
    both = Store(tmp_path / "empty", reference=tmp_path / "reference")
    run = both.find(spec)
    assert run.test["recall@20"] == 0.1 and [run.name for run in both.list()] == [spec.name]
    assert both.get(spec.key).name == spec.name
    with pytest.raises(RequestError, match="has no state.npz, as a committed summary"):
        run.recommend(0)


def test_the_store_comes_before_the_reference(store, spec, tmp_path):
    other = fakes.store_of(tmp_path / "other", spec, values=[0.7])
    other.export(other.list(), tmp_path / "reference")
    both = Store(store.root, reference=tmp_path / "reference")
    assert both.find(spec).test["recall@20"] == 0.1
    assert len(both.list()) == 1


def test_the_default_store_is_the_project_s_with_its_reference(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEAPKG_STORE", raising=False)
    assert (Store().root, Store().reference) == (
        tmp_path / "results" / "runs",
        tmp_path / "results" / "reference",
    )
    monkeypatch.setenv("SEAPKG_STORE", str(tmp_path / "mine"))
    assert Store().root == tmp_path / "mine"
    assert Store(tmp_path / "his").reference is None


def test_the_project_folder_is_the_repository_around_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "seapkg").mkdir()
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.delenv("SEAPKG_STORE", raising=False)
    assert Store().root == tmp_path / "results" / "runs"


def test_summary_has_the_fields_of_the_command_line(store, spec):
    assert list(store.find(spec).summary()) == [
        "run", "model", "dataset", "seed", "epochs", "best_epoch", "valid", "test",
        "seconds_per_epoch", "seconds_total", "peak_memory_mb", "device", "formulation",
    ]  # fmt: skip


def test_a_run_says_what_it_is(store, spec):
    assert spec.name in repr(store.find(spec)) and isinstance(store.find(spec), Run)


# Runs of another store


@pytest.fixture
def mine(tmp_path):
    return Store(tmp_path / "mine")


def test_a_run_of_another_store_is_taken_with_its_model(store, spec, mine):
    run = mine.take(store.root / spec.name)
    assert run.folder == mine.root / spec.name and names_in(run.folder) == FILES
    assert run.record == store.find(spec).record


def test_a_summary_of_a_run_is_taken_without_a_model(store, spec, mine, tmp_path):
    store.export(store.list(), tmp_path / "summaries")
    run = mine.take(tmp_path / "summaries" / spec.name)
    assert names_in(run.folder) == FILES - {"state.npz"}


def test_a_run_that_is_here_already_stays(store, spec, tmp_path):
    other = fakes.store_of(tmp_path / "other", spec, values=[0.9])
    assert store.take(other.root / spec.name).test["recall@20"] == 0.1


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_damaged_run_is_not_taken(store, spec, mine, name):
    (store.root / spec.name / name).write_bytes(b"\x00 damaged")
    with pytest.raises(BrokenFile, match=name):
        mine.take(store.root / spec.name)
    assert mine.list() == []


def test_a_run_whose_name_does_not_fit_its_spec_is_not_taken(store, spec, mine):
    path = store.root / spec.name / "run.json"
    record = json.loads(path.read_text())
    record["spec"]["seed"] = 7
    path.write_text(json.dumps(record))
    with pytest.raises(BrokenFile, match="refused: its spec belongs to a run bpr-toy-"):
        mine.take(path.parent)


def test_a_run_that_lost_epochs_is_not_taken(store, spec, mine):
    path = store.root / spec.name / "curves.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(BrokenFile, match="not one row for each epoch"):
        mine.take(path.parent)
