"""The command line: what it prints where, and the exit code of every way a command can end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny import tiny

import seapkg
from seapkg.__main__ import main, parser
from seapkg.commands.training import planned_run, settings
from seapkg.errors import RequestError
from seapkg.models import Recommender
from seapkg.models.bpr import BPR
from seapkg.runs.store import Store
from seapkg.runs.train import carry_out

FIELDS = [
    "run", "model", "dataset", "seed", "epochs", "best_epoch", "valid", "test", "seconds_per_epoch",
    "seconds_total", "peak_memory_mb", "device", "formulation",
]  # fmt: skip
REPOSITORY = Path(__file__).resolve().parents[1]
FEW = ["--set", "embed_dim=8", "--epochs", "2", "--device", "cpu"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A dataset on disk, in REARM's format, with features and names."""
    data, place = tiny("image", "text"), tmp_path_factory.mktemp("data") / "toy"
    place.mkdir()
    for split in ("train", "valid", "test"):
        np.save(place / f"{split}.npy", getattr(data, split).T)
    for modality, features in data.features.items():
        np.save(place / f"{modality}_feat.npy", features)
    rows = [f"{item}\tThing {item}" for item in range(data.n_items)]
    (place / "items.tsv").write_text("\n".join(["itemID\tname", *rows]) + "\n")
    return place


@pytest.fixture(scope="module")
def store(tmp_path_factory, folder):
    """A store with one run of bpr on the folder."""
    root = tmp_path_factory.mktemp("store")
    assert main(["train", "bpr", "--data", str(folder), *FEW, "--store", str(root)]) == 0
    return root


def command(*arguments, **options):
    """The command line in a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    start = [sys.executable, "-m", "seapkg", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(start, **pipes | {"env": environment, "cwd": REPOSITORY} | options)


def one_line(text):
    """The one line that `text` is, or a failure."""
    assert text.startswith("seapkg: ") and text.count("\n") == 1, text
    return text


def test_train_ends_stdout_with_one_json_record_of_the_promised_fields(folder, tmp_path, capsys):
    code = main(
        ["train", "bpr", "--data", str(folder), *FEW, "--seed", "3", "--store", str(tmp_path)]
    )
    out, err = capsys.readouterr()
    record = json.loads(out)
    assert code == 0 and out.count("\n") == 1
    assert list(record) == FIELDS
    assert (record["model"], record["dataset"], record["seed"], record["epochs"]) == (
        "bpr",
        "toy",
        3,
        2,
    )
    for split in ("valid", "test"):
        assert set(record[split]) == {"recall@10", "recall@20", "ndcg@10", "ndcg@20"}
        assert all(0 <= value <= 1 for value in record[split].values())
    assert record["formulation"] is None and record["device"].startswith("cpu")
    assert "epoch 1" in err and "Traceback" not in err
    assert (tmp_path / record["run"]).is_dir()


def test_sea_tells_its_formulation(folder, tmp_path, capsys):
    options = [
        "--set",
        "formulation=released",
        "club_steps=1",
        "--epochs",
        "1",
        "--store",
        str(tmp_path),
    ]
    assert main(["train", "sea", "--data", str(folder), *options]) == 0
    assert json.loads(capsys.readouterr().out)["formulation"] == "released"


def test_a_finished_run_is_printed_again_and_said_to_be_there(folder, store, capsys):
    main(["train", "bpr", "--data", str(folder), *FEW, "--store", str(store)])
    first = capsys.readouterr()
    assert "already" in one_line(first.err)
    (finished,) = (path.name for path in store.iterdir())
    assert json.loads(first.out)["run"] == finished


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lightgnc", "--data", "synthetic"], "did you mean 'lightgcn'"),
        (["bpr", "--data", "synthetic", "--set", "embed_dims=8"], "did you mean 'embed_dim'"),
        (["bpr", "--data", "synthetic", "--set", "embed_dim"], "key=value"),
        (["bpr", "--data", "synthetic", "--set", "embed_dim=wide"], "embed_dim"),
        (["bpr", "--data", "synthetic", "--set", "embed_dim=8", "--set", "embed_dim=9"], "twice"),
        (["bpr", "--data", "synthetic", "--set", "max_epochs=3", "--epochs", "2"], "--epochs"),
        (["bpr", "--data", "synthetic", "--set", "seed=1"], "--set does not take seed"),
        (["bpr", "--data", "synthetic", "--epochs", "-1"], "max_epochs"),
        (["bpr", "--data", "synthetic", "--seed", "-1"], "seed"),
        (["bpr", "--data", "synthetic", "--precision", "double"], "precision"),
        (["bpr", "--data", "synthetic", "--device", "abacus"], "device"),
        (["bpr", "--data", "no-such-data"], "no-such-data"),
        (["sea", "--data", "synthetic", "--set", "formulation=published"], "formulation"),
    ],
)
def test_a_wrong_request_is_one_clear_line_and_exit_code_2(arguments, said, tmp_path, capsys):
    code = main(["train", *arguments, "--store", str(tmp_path)])
    out, err = capsys.readouterr()
    assert code == 2 and out == "" and said in one_line(err)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["train", "bpr"],
        ["train", "bpr", "--data", "synthetic", "--seed", "x"],
        ["data"],
    ],
)
def test_a_malformed_command_is_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2 and "Traceback" not in capsys.readouterr().err


def test_a_fault_in_training_is_one_line_and_exit_code_1(folder, tmp_path, capsys):
    options = ["--set", "learning_rate=1e30", "--epochs", "20", "--store", str(tmp_path)]
    assert main(["train", "bpr", "--data", str(folder), *options]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("seapkg: ") and "epoch" in last
    assert [path.name[:12] for path in tmp_path.iterdir()] == [".failed-bpr-"]
    assert main(["runs", "--store", str(tmp_path)]) == 0
    assert " failed: the " in capsys.readouterr().err


def test_a_broken_run_is_one_line_with_a_remedy(folder, store, tmp_path, capsys):
    main(["train", "bpr", "--data", str(folder), *FEW, "--store", str(tmp_path)])
    (run,) = tmp_path.iterdir()
    (run / "run.json").write_text("{")
    capsys.readouterr()
    assert main(["train", "bpr", "--data", str(folder), *FEW, "--store", str(tmp_path)]) == 2
    assert f"delete {run} and train again" in one_line(capsys.readouterr().err)


def test_models_lists_each_with_description_needs_and_options(capsys):
    from seapkg.models import systems

    assert main(["models"]) == 0
    out = capsys.readouterr().out
    heads = [line for line in out.splitlines() if line[:1].strip() and ": " in line]
    assert [head.split(":")[0] for head in heads] == list(systems())
    assert all(
        ("needs item features" in head) == systems()[head.split(":")[0]].model.needs_features
        for head in heads
    )
    assert "    embed_dim = 64" in out and "    patience = 20  (int, >= 0)  " in out
    assert "    formulation = paper  (paper | released)  " in out


def test_data_check_describes_a_folder(folder, capsys):
    assert main(["data", "check", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "users" in out and "image features" in out


def test_data_get_of_an_unknown_name_says_what_is_known(capsys):
    assert main(["data", "get", "babi"]) == 2
    line = one_line(capsys.readouterr().err)
    assert "did you mean 'baby'" in line and "lfm2k" in line and "data/README.md" in line


def test_data_get_offline_downloads_nothing_and_says_what_is_missing(tmp_path, capsys):
    assert main(["data", "get", "lfm2k", "--offline", "--folder", str(tmp_path / "lfm2k")]) == 2
    out, err = capsys.readouterr()
    last = err.splitlines()[-1]
    assert (
        out == "" and "lfm2k.inter, text_feat.npy, audio_feat.npy" in last and "--offline" in last
    )
    assert not (tmp_path / "lfm2k").exists()


def test_recommend_prints_names(store, capsys):
    assert main(["recommend", "bpr", "--user", "2", "-k", "3", "--store", str(store)]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["rank", "item", "name", "score"] and len(rows) == 3
    for place, row in enumerate(rows, 1):
        rank, item, *name, _ = row.split()
        assert int(rank) == place and name == ["Thing", item]


def test_recommend_reads_the_data_where_it_is_told_to(folder, store, tmp_path, capsys):
    moved = shutil.copytree(folder, tmp_path / "moved")
    (moved / "items.tsv").write_text((folder / "items.tsv").read_text().replace("Thing", "Moved"))
    ask = ["recommend", "bpr", "--user", "2", "--store", str(store), "--data"]
    assert main([*ask, str(moved)]) == 0
    assert " Moved " in capsys.readouterr().out
    assert main([*ask, "synthetic"]) == 2
    assert "has changed since bpr-toy-" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize("value", [np.datetime64("2020-01-01"), b"text"])
def test_recommend_refuses_a_model_of_another_type(store, tmp_path, capsys, value):
    copied = shutil.copytree(store, tmp_path / "store")
    (state,) = copied.glob("*/state.npz")
    np.savez(state, users=np.array([value]))
    assert main(["recommend", "bpr", "--user", "2", "--store", str(copied)]) == 2
    assert "state.npz does not fit bpr" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("run", "user", "said"),
    [("sea", "0", "no run called"), ("bpr", "99", "no user 99"), ("bpr", "-1", "no user -1")],
)
def test_recommend_refuses_unknown_runs_and_users(store, capsys, run, user, said):
    assert main(["recommend", run, f"--user={user}", "--store", str(store)]) == 2
    assert said in one_line(capsys.readouterr().err)


def test_runs_is_a_table(store, capsys):
    assert main(["runs", "--store", str(store)]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split()[0] == "run" and "test R@20" in head
    assert row.strip().startswith("bpr-toy-")


def test_runs_import_takes_the_good_runs_and_refuses_the_damaged(store, tmp_path, capsys):
    (run,) = Store(store).list()
    shutil.copytree(store, tmp_path / "from")
    damaged = tmp_path / "from" / "bpr-toy-0123456789ab"
    shutil.copytree(run.folder, damaged)
    (tmp_path / "from" / "notes").mkdir()
    command = ["runs", "import", str(tmp_path / "from"), "--store", str(tmp_path / "to")]
    assert main(command) == 2
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == f"{run.name}  imported" and "1 of 2 runs are in" in out
    assert one_line(err).startswith("seapkg: refused: ") and damaged.name in err
    shutil.rmtree(damaged)
    assert main(command) == 0 and "already here" in capsys.readouterr().out
    assert [one.name for one in Store(tmp_path / "to").list()] == [run.name]


def test_runs_import_takes_the_store_before_or_after_its_name(store, tmp_path):
    to = tmp_path / "to"
    assert main(["runs", "--store", str(to), "import", str(store)]) == 0
    assert len(Store(to).list()) == 1


@pytest.mark.parametrize("name", ["", "absent"])
def test_runs_import_of_a_folder_without_runs_is_exit_code_2(tmp_path, capsys, name):
    assert main(["runs", "import", str(tmp_path / name), "--store", str(tmp_path / "to")]) == 2
    assert "has no folder of a run" in one_line(capsys.readouterr().err)


def test_no_runs_is_no_table_and_no_error(tmp_path, capsys):
    assert main(["runs", "--store", str(tmp_path / "none")]) == 0
    out, err = capsys.readouterr()
    assert out == "" and "no runs" in err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("lightgcn --data baby", {"n_layers": 2}),
        ("lightgcn --data baby --tuned", {"n_layers": 3, "regularisation": 1e-3}),
        ("lightgcn --data baby --tuned --set n_layers=1", {"n_layers": 1, "regularisation": 1e-3}),
        ("sea --data baby --tuned --set formulation=released", {"batch_size": 8192, "n_layers": 3}),
        ("sea --data lfm2k --tuned", {"formulation": "paper", "learning_rate": 3e-3}),
        ("rearm --data sports --tuned", {"formulation": "clean", "preset": "sports"}),
        ("lightgcn --data baby --tuned --epochs 4", {"max_epochs": 4, "n_layers": 3}),
    ],
)
def test_tuned_takes_the_options_of_dataset_and_system(arguments, expected, monkeypatch, tmp_path):
    monkeypatch.setenv("SEAPKG_DATA", str(tmp_path))
    spec = planned_run(parser().parse_args(["train", *arguments.split()])).spec
    found = {**spec.config, **spec.training}
    assert {name: found[name] for name in expected} == expected


def test_tuned_says_where_nothing_was_tuned(capsys):
    planned_run(parser().parse_args("train popularity --data synthetic --tuned".split()))
    assert "no options of popularity were tuned on synthetic" in one_line(capsys.readouterr().err)


def test_verify_finds_a_finished_run_equal_to_the_last_bit(store, capsys):
    assert main(["verify", "bpr", "--store", str(store)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-1].startswith("bpr-toy-") and out[-1].endswith(": equal to the last bit")
    assert any(line.split()[0] == "test/recall@20" for line in out)
    assert main(["verify", "bpr", "--epochs", "1", "--store", str(store)]) == 0
    assert "test/" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("factor", "code", "verdict"), [(1 + 1e-6, 0, "equal to rounding"), (1.1, 1, "different")]
)
def test_verify_tells_rounding_from_a_difference(factor, code, verdict, store, tmp_path, capsys):
    shutil.copytree(store, tmp_path, dirs_exist_ok=True)
    (folder,) = tmp_path.iterdir()
    curves = Store(tmp_path).get(folder.name).curves
    curves.assign(loss=curves["loss"] * factor).to_csv(folder / "curves.csv", index=False)
    assert main(["verify", "bpr", "--store", str(tmp_path)]) == code
    out = capsys.readouterr().out.splitlines()
    assert out[-1].endswith(f": {verdict}") and out[1].split()[0] == "loss"


def test_export_writes_vectors_and_the_best_items_of_every_user(store, tmp_path, capsys):
    assert main(["export", "bpr", "--out", str(tmp_path), "-k", "3", "--store", str(store)]) == 0
    vectors, table = map(Path, capsys.readouterr().out.split())
    arrays, rows = np.load(vectors), pd.read_csv(table)
    assert list(rows.columns) == ["user", "rank", "item", "score"]
    assert rows["user"].tolist() == np.repeat(np.arange(12), 3).tolist()
    scores = (arrays["users"] @ arrays["items"].T)[rows["user"], rows["item"]]
    np.testing.assert_allclose(rows["score"], scores, rtol=1e-5)
    best = Store(store).get("bpr").recommend(2, 3)
    assert rows[rows["user"] == 2]["item"].tolist() == best["item"].tolist()


def test_a_model_whose_score_is_no_dot_product_exports_no_vectors(store, tmp_path, monkeypatch):
    monkeypatch.setattr(BPR, "scorer", lambda model: Recommender.scorer(model))
    assert main(["export", "bpr", "--out", str(tmp_path), "--store", str(store)]) == 0
    assert [path.suffix for path in tmp_path.iterdir()] == [".csv"]


def test_export_of_a_committed_summary_says_that_it_has_no_model(store, tmp_path, capsys):
    shutil.copytree(store, tmp_path, dirs_exist_ok=True)
    (folder,) = tmp_path.iterdir()
    (folder / "state.npz").unlink()
    assert main(["export", "bpr", "--out", str(tmp_path), "--store", str(tmp_path)]) == 2
    assert "state.npz" in one_line(capsys.readouterr().err)


def test_compare_prints_the_main_table_of_a_folder(folder, tmp_path, capsys, monkeypatch):
    def sweep(plans, store, workers, scheduler):
        for plan in plans:
            carry_out(plan, store, progress=False)

    monkeypatch.setattr("seapkg.runs.sweep.sweep", sweep)  # its workers take seconds to start
    ask = ["compare", "--data", str(folder), "--epochs", "1", "--store", str(tmp_path)]
    assert main([*ask, "--systems", "popularity,bpr,vbpr", "--seeds", "2"]) == 0
    out = capsys.readouterr().out.replace(" ± ", "±")
    head, *rows = (line.split() for line in out.splitlines())
    assert head == ["model", "seeds", "recall@10", "recall@20", "ndcg@10", "ndcg@20"]
    assert {row[0]: row[1] for row in rows} == {"popularity": "1", "bpr": "2", "vbpr": "2"}
    assert {row[0]: "±" in row[3] for row in rows} == {
        "popularity": False,
        "bpr": True,
        "vbpr": True,
    }
    means = [float(row[3].split("±")[0]) for row in rows]
    assert means == sorted(means, reverse=True)


def test_compare_of_failed_runs_is_exit_code_1_and_names_them(
    folder, tmp_path, capsys, monkeypatch
):
    def sweep(plans, store, workers, scheduler):
        for plan in plans:
            store.mark_failed(plan.spec, "the loss is not finite")

    monkeypatch.setattr("seapkg.runs.sweep.sweep", sweep)
    ask = ["compare", "--data", str(folder), "--store", str(tmp_path), "--seeds", "1"]
    assert main([*ask, "--systems", "bpr"]) == 1
    assert capsys.readouterr().out == ""


def test_compare_takes_rows_and_systems_and_refuses_others(folder, tmp_path, capsys):
    from seapkg.commands.compare import _labels

    data = seapkg.load(folder)
    assert _labels(data, "sea,bpr") == ["sea (released)", "sea (paper)", "bpr"]
    assert _labels(data, "sea (paper),sea (paper)") == ["sea (paper)"]
    assert main(["compare", "--data", str(folder), "--systems", "bprr"]) == 2
    assert "did you mean 'bpr'" in one_line(capsys.readouterr().err)


def test_settings_keep_what_stands_behind_the_first_equals_sign():
    assert settings(["a=1", "b=x=y"], 3) == {"a": "1", "b": "x=y", "max_epochs": 3}
    with pytest.raises(RequestError):
        settings(["=1"])


def test_an_interrupt_ends_with_one_line_code_130_and_an_empty_store(tmp_path):
    endless = "--set", "patience=1000000", "max_epochs=1000000"
    # a job in the background ignores the signal unless it is told not to
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    training = command(
        "train", "lightgcn", "--data", "synthetic", "--store", tmp_path, *endless, **heard
    )
    seen = ""
    while "epoch 1" not in seen and training.poll() is None:
        seen += training.stderr.read(1)
    time.sleep(0.2)
    training.send_signal(signal.SIGINT)
    out, err = training.communicate(timeout=60)
    assert training.returncode == 130 and out == "" and "Traceback" not in seen + err
    assert (
        err.splitlines()[-1]
        == "seapkg: interrupted; the same command continues from its last checkpoint, if any"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_leaves_early_is_no_error():
    listing = command("models")
    listing.stdout.close()
    listing.wait(timeout=60)
    assert listing.stderr.read() == ""


def test_importing_the_package_imports_no_notebook_and_no_plotting():
    code = (
        "import sys, seapkg; light = set(sys.modules);"
        "seapkg.train, seapkg.load, seapkg.fit, seapkg.Dataset;"
        "heavy = {'matplotlib', 'papermill', 'jupyter_client', 'IPython', 'nbformat'};"
        "print(sorted(heavy & set(sys.modules)), 'torch' in light)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    assert done.stdout.split() == ["[]", "False"]


def test_every_public_name_is_there():
    import seapkg

    assert all(getattr(seapkg, name) is not None for name in seapkg.__all__)
    assert set(seapkg.__all__) <= set(dir(seapkg))
    with pytest.raises(AttributeError, match="no attribute 'tarin'"):
        seapkg.tarin  # noqa: B018


def test_claims_trains_what_one_claim_lacks_on_a_folder(folder, tmp_path, capsys):
    arguments = ["claims", "fig3", "--data", str(folder), "--epochs", "1", "--store", str(tmp_path)]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "w/o Alignment" in out and "w/o Distancing" in out and "w/o All" not in out
    assert out.splitlines()[-1].startswith("fig3 on toy: ")
    assert len(Store(tmp_path).list()) == 9  # SEA and two changes, three seeds each


def test_claims_prints_the_verdict_and_evidence_of_a_check(tmp_path, capsys):
    assert main(["claims", "table2_clothing", "--store", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("table2_clothing: does not hold (the authors' log gives 0.0947")
    assert "patience 20" in one_line(err)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("fig33", "unknown claim 'fig33' (did you mean 'fig3'?)"),
        ("eq15 --data synthetic", "no dataset"),
        ("--data synthetic", "need the name of a claim"),
    ],
)
def test_claims_refuses_in_one_line_with_exit_code_2(arguments, said, tmp_path, capsys):
    assert main(["claims", *arguments.split(), "--store", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
