"""The command `gpu`, on a CPU: each unit is done once, and what fails is named."""

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import gpu
import pytest

from seapkg.__main__ import main as seapkg
from seapkg.data import load
from seapkg.data.catalogue import Known
from seapkg.errors import SeapkgError
from seapkg.runs.store import Store
from seapkg.runs.train import plan

ROOT = Path(__file__).resolve().parents[2]
FEW = {"embed_dim": 8, "max_epochs": 2}
MEASURED = {"device": "cuda: a card", "epoch": 0.25, "peak_mb": 900.0, "final_loss": 1.0}


@pytest.fixture
def args(tmp_path):
    for name in ("table", "failed"):
        (tmp_path / name).mkdir()
    arguments = ["--out", str(tmp_path), "--device", "cpu", "--shape", "smoke", "--steps", "1"]
    return gpu._parser().parse_args(arguments)


def unit(name, log, error=None):
    def work(left):
        log.append(name)
        if error:
            raise error

    return gpu.Unit(name, work)


# The loop


def test_what_fails_is_named_and_the_rest_goes_on(args, capsys):
    log, fault = [], SeapkgError("a long\nstory")
    todo = [unit("a", log), unit("b", log, fault), unit("c", log)]
    assert gpu.work_through(todo, args.out, 1) == 1 and log == ["a", "b", "c"]
    assert "b: failed: story" in capsys.readouterr().err
    assert (args.out / "failed" / "b.txt").read_text() == "a long\nstory\n"
    assert gpu.work_through([unit("b", log)], args.out, 1) == 0
    assert not (args.out / "failed" / "b.txt").exists()


@pytest.mark.parametrize("error", [gpu.OutOfTime(), subprocess.TimeoutExpired("child", 1)])
def test_when_the_time_is_up_nothing_more_is_begun(args, capsys, error):
    log = []
    todo = [unit("a", log), unit("b", log, error), unit("c", log)]
    assert gpu.work_through(todo, args.out, 1) == 0 and log == ["a", "b"]
    assert "the time is up at b; the same command goes on" in capsys.readouterr().err


def test_without_time_a_child_is_not_even_started(args):
    with pytest.raises(subprocess.TimeoutExpired):
        gpu.output_of([sys.executable, "-c", "import time; time.sleep(60)"], -1)


# Table 5


def test_the_table_says_what_was_not_measured_and_compares_the_rest(args):
    (args.out / "table" / "baby-SEAa.json").write_text(json.dumps(MEASURED))
    slow = MEASURED | {"epoch": 5.0}
    (args.out / "table" / "baby-SEAa-published.json").write_text(json.dumps(slow))
    gpu.write_table(args.out, ["baby"])
    title, _, head, _, first, _, third, *_ = (args.out / "gpu.md").read_text().splitlines()
    assert title.endswith("cuda: a card")
    cells = [cell.strip() for cell in first.strip("|").split("|")]
    paper = "16.04 s, 3.42 GB"
    goal = "0.5 s, 1 GB, 20 times"
    assert cells == ["baby", "SEAa", "0.25", "0.90", "20.0", "yes", goal, paper]
    assert third.count("not measured") == 2


@pytest.mark.parametrize(
    ("device", "shapes", "is_kept"),
    [
        ("cuda: a card", gpu.SHAPES, True),
        ("cpu: x", gpu.SHAPES, False),
        ("cuda: a", ["baby"], False),
    ],
)
def test_only_a_gpu_and_the_papers_shapes_make_the_committed_table(
    args, monkeypatch, device, shapes, is_kept
):
    monkeypatch.setattr(gpu, "FIGURE", args.out / "figure.md")
    (args.out / "table" / "baby-SEAa.json").write_text(json.dumps(MEASURED | {"device": device}))
    gpu.write_table(args.out, list(shapes))
    assert gpu.FIGURE.exists() == is_kept


@pytest.mark.slow
def test_a_row_is_measured_once(args, monkeypatch):
    monkeypatch.setattr(gpu, "FORMS", {"SEAb": {}})
    assert gpu.work_through(gpu.measurements(args), args.out, 2) == 0
    assert gpu.measured(args.out, "smoke", "SEAb")["epoch"] > 0
    assert "not measured" not in (args.out / "gpu.md").read_text()
    assert list(gpu.measurements(args)) == []


# Trainings


def planned(monkeypatch, *plans):
    """Lets the profile ask for these runs, and the project have no run."""
    asked = {"04_main_table": list(plans)}

    def missing(_, store):
        return {name: [one for one in of if not store.find(one.spec)] for name, of in asked.items()}

    monkeypatch.setattr(gpu.plan, "missing", missing)
    monkeypatch.setattr(
        gpu, "jobs", lambda profile: [Namespace(name="04_main_table", parameters={})]
    )


@pytest.mark.slow
def test_missing_runs_are_trained_once_and_imported_and_absent_data_is_a_line(
    args, monkeypatch, tmp_path, capsys
):
    bpr = plan("bpr", "synthetic", **FEW)
    absent = plan("bpr", Known("distant", "f" * 64, 9, 9, 9))
    faulty = plan("bpr", "synthetic", **FEW | {"learning_rate": 1e30, "max_epochs": 20})
    planned(monkeypatch, faulty, bpr, bpr, absent)
    assert gpu.work_through(gpu.trainings(args), args.out, 2) == 1
    said = capsys.readouterr().err
    assert f"{faulty.spec.name}: failed: " in said and f"{bpr.spec.name}: done" in said
    assert "1 runs skipped: the dataset distant is not here" in said
    command = ["runs", "import", str(args.out), "--store", str(tmp_path / "mine")]
    assert seapkg(command) == 0
    assert Store(tmp_path / "mine").find(bpr.spec).record["epochs"] == 2
    names = [one.name for one in gpu.trainings(args)]
    assert bpr.spec.name not in names


@pytest.mark.slow
def test_a_training_that_runs_out_of_time_is_stopped_and_not_kept(args, monkeypatch):
    slow = plan("bpr", "synthetic", embed_dim=8, max_epochs=100_000, patience=100_000)
    planned(monkeypatch, slow)
    (one,) = gpu.trainings(args)
    with pytest.raises(gpu.OutOfTime):
        one.work(0.5)
    assert Store(args.out / "store").list() == []


def test_the_dearest_systems_come_first_seed_by_seed(monkeypatch, tmp_path):
    data = load("synthetic")
    plans = [
        plan(model, data, seed=seed, **FEW) for model in ("bpr", "lightgcn") for seed in (0, 1)
    ]
    monkeypatch.setattr(gpu, "DEAREST", [("lightgcn", "synthetic")])
    planned(monkeypatch, *plans)
    found = [(one.spec.model, one.spec.seed) for one in gpu.missing("paper", Store(tmp_path))]
    assert found == [("lightgcn", 0), ("lightgcn", 1), ("bpr", 0), ("bpr", 1)]


# A machine with torch, numpy, scipy, pandas, scikit-learn, matplotlib and small wheels

HEAVY = (
    "papermill", "nbformat", "nbclient", "jupyter", "jupyterlab", "jupyter_client", "ipykernel",
    "IPython", "optuna", "sqlalchemy", "alembic", "distributed", "dask", "pooch",
)  # fmt: skip
BLOCKED = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY}:
            raise ImportError(f"{{name}} is not on this machine")
sys.meta_path.insert(0, Blocked())
"""


def without_heavy(code, *arguments):
    """Runs code in a process that cannot import the heavy packages."""
    command = [sys.executable, "-c", BLOCKED + code, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)


@pytest.mark.slow
def test_training_and_the_command_need_no_notebook_no_search_and_no_cluster(tmp_path):
    code = """
sys.path.insert(0, "tests/benchmarks")
import gpu, seapkg
seapkg.train("bpr", "synthetic", store=sys.argv[1] + "/store", max_epochs=1)
print(*(one.spec.model for one in gpu.missing("smoke", gpu.Store(sys.argv[1]))))
sys.exit(gpu.main(["--out", sys.argv[1], "--device", "cpu", "--minutes", "0"]))
"""
    done = without_heavy(code, tmp_path)
    assert "sea" in done.stdout.split() and "the time is up at tests" in done.stderr
    assert len(Store(tmp_path / "store").list()) == 1
