"""Running notebooks: parameters checked first, a failure told with its cell and stopping no
other, clean copies.
"""

import ast
import json
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from seapkg.errors import RequestError
from seapkg.studies import notebooks
from seapkg.studies.notebook_files import declared
from seapkg.studies.profiles import parameters as profile_parameters

COMMITTED = Path(__file__).parents[2] / "notebooks"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A project folder with an empty folder of notebooks."""
    (tmp_path / "seapkg").mkdir()
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def add(place, name, *sources, parameters="profile = 'smoke'"):
    """Writes a notebook of a title, the parameters cell (unless None) and code cells."""
    cells = [new_markdown_cell(f"# {name}", id="title")]
    if parameters is not None:
        cells.append(new_code_cell(parameters, id="parameters", metadata={"tags": ["parameters"]}))
    cells += [new_code_cell(source, id=f"cell-{number}") for number, source in enumerate(sources)]
    path = place / "notebooks" / f"{name}.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata=METADATA), path)
    return path


def test_parameters_are_the_values_assigned_in_the_tagged_cell(place):
    source = "profile = 'smoke'   # which\nseeds = [\n    0,\n    1,\n]\nprint(profile)\n"
    assert declared(add(place, "00_a", "other = 1", parameters=source)) == {
        "profile": "smoke",
        "seeds": [0, 1],
    }


def profile(place, name, text="{}"):
    """Writes a profile of the project folder."""
    folder = place / "notebooks" / "profiles"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(text)


def test_every_notebook_gets_the_profile_and_its_own_settings(place):
    add(place, "00_a")
    add(place, "01_b", parameters="profile = 'smoke'\nn = 1\noffline = False")
    profile(place, "smoke", "01_b: {n: 5}")
    profile(place, "paper")
    first, second = notebooks.jobs("smoke", offline=True)
    assert first.given == {"profile": "smoke"}
    assert second.given == {"profile": "smoke", "n": 5, "offline": True}
    assert [job.given for job in notebooks.jobs("paper")] == [{"profile": "paper"}] * 2


def test_a_parameter_that_is_not_declared_is_refused_before_anything_runs(place):
    add(place, "00_a", parameters="profile = 'smoke'\nseeds = [0]")
    profile(place, "smoke", "00_a: {seed: 1}")
    with pytest.raises(
        RequestError, match=r"00_a.ipynb declares no parameter 'seed' \(did you mean 'seeds'\?\)"
    ):
        notebooks.jobs("smoke")


def test_a_notebook_without_parameters_is_refused(place):
    add(place, "00_a", parameters=None)
    with pytest.raises(RequestError, match="declares no parameter 'profile'"):
        notebooks.jobs("smoke")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["smok"], "did you mean 'smoke'"), (["smoke", "--only", "00_b"], "did you mean '00_a'")],
)
def test_a_wrong_request_is_exit_code_2(place, capsys, arguments, said):
    add(place, "00_a")
    assert notebooks.main(arguments) == 2
    assert said in capsys.readouterr().err


def test_no_notebooks_is_exit_code_2(place):
    assert notebooks.main([]) == 2


def test_list_shows_notebooks_and_runs_none(place, capsys):
    add(place, "00_a", "1 / 0")
    assert notebooks.main(["--list"]) == 0
    assert capsys.readouterr().out == "00_a  {'profile': 'smoke'}\n"


@pytest.fixture
def ran(place, capsys):
    """A place in which one notebook failed and two did not, with what was printed."""
    add(
        place,
        "00_first",
        "import sys, os; print(sys.executable); print(os.getcwd()); print(profile)",
    )
    add(
        place,
        "01_broken",
        "x = 1",
        "# the cell\n# that fails\nraise ValueError('no such luck')",
        "y = 2",
    )
    add(place, "02_last", "from IPython import get_ipython\nx = 6 * 7\nx")
    code = notebooks.main([])
    return place, code, capsys.readouterr().out


@pytest.mark.notebook
def test_a_failed_notebook_stops_no_other_and_is_told_with_cell_and_traceback(ran):
    place, code, out = ran
    lines = out.splitlines()
    assert code == 1
    assert [line.split()[-1] for line in lines[:3]] == ["ok", "failed", "ok"]
    assert "01_broken failed: " in out and "# that fails" in out
    assert "ValueError: no such luck" in out
    copies = place / "results" / "notebooks" / "smoke"
    # the kernel is this Python, works in the project folder, and has the profile's parameters
    text = nbformat.read(copies / "00_first.ipynb", 4).cells[-1].outputs[0].text
    assert text.splitlines() == [sys.executable, str(place), "smoke"]
    # copies hold outputs and neither clocks nor kernel names
    for path in copies.iterdir():
        written = path.read_text()
        assert "papermill" not in json.dumps(json.loads(written)["metadata"])
        assert "start_time" not in written and "iopub" not in written
    last = nbformat.read(copies / "02_last.ipynb", 4)
    assert dict(last.metadata) == METADATA
    assert [cell.execution_count for cell in last.cells if cell.cell_type == "code"] == [1, 2, 3]
    assert last.cells[-1].outputs[0].data["text/plain"] == "42"


@pytest.mark.notebook
def test_workers_train_what_is_missing_first_and_outcomes_stay_in_order(place, capsys, monkeypatch):
    trained = []
    monkeypatch.setattr(notebooks, "sweep", lambda plans, *_, **__: trained.extend(plans) or [])
    parameters = "profile = 'smoke'\ndatasets = ['synthetic']\nsystems = ['bpr']\nseeds = [0]"
    parameters += "\nwithout = []"  # smoke sets it
    add(place, "00_asks_nothing", "import os; print(os.environ['OMP_NUM_THREADS'])")
    add(place, "04_main_table", "1 / 0", parameters=parameters)
    add(place, "05_also_nothing", "2")
    assert notebooks.main(["--workers", "2"]) == 1
    assert [plan.spec.model for plan in trained] == ["bpr"]
    out = capsys.readouterr().out.splitlines()[:3]
    assert [line.split()[0] for line in out] == [
        "00_asks_nothing",
        "04_main_table",
        "05_also_nothing",
    ]
    copies = place / "results" / "notebooks" / "smoke"
    assert nbformat.read(copies / "00_asks_nothing.ipynb", 4).cells[-1].outputs[0].text == "1\n"
    trained.clear()
    notebooks.main(["--workers", "2", "--offline", "--only", "04_main_table"])
    assert trained == []


@pytest.mark.notebook
def test_a_kernel_that_dies_is_a_failure_like_any_other(place, capsys):
    add(place, "00_dies", "import os; os._exit(1)")
    add(place, "01_lives", "1")
    assert notebooks.main([]) == 1
    out = capsys.readouterr().out
    assert (
        "00_dies failed" in out and "DeadKernelError" in out and out.splitlines()[1].endswith("ok")
    )


@pytest.mark.notebook
def test_writing_back_is_stable_and_needs_success(place):
    good, bad = add(place, "00_good", "2 + 2"), add(place, "01_bad", "1 / 0")
    untouched = bad.read_bytes()
    assert notebooks.main(["--write-back"]) == 1
    first = good.read_bytes()
    assert b'"4"' in first and bad.read_bytes() == untouched
    assert notebooks.main(["--write-back", "--only", "00_good"]) == 0
    assert good.read_bytes() == first
    assert [cell.id for cell in nbformat.read(good, 4).cells] == [
        "title",
        "parameters",
        "injected-parameters",
        "cell-0",
    ]


@pytest.mark.parametrize("path", sorted(COMMITTED.glob("*.ipynb")), ids=lambda path: path.stem)
def test_what_a_committed_notebook_shows_was_run_with_its_profiles_parameters(path):
    cells = nbformat.read(path, 4).cells
    (cell,) = [cell for cell in cells if "injected-parameters" in cell.metadata.get("tags", [])]
    given = {
        line.targets[0].id: ast.literal_eval(line.value) for line in ast.parse(cell.source).body
    }
    assert given == {"profile": "laptop"} | profile_parameters("laptop").get(path.stem, {})


def test_a_parameter_is_read_and_never_evaluated(place):
    path = add(place, "00_a", parameters="profile = 'smoke'\nseeds = list(range(3))")
    with pytest.raises(ValueError, match="malformed node"):
        declared(path)


def test_the_plan_is_shown_and_nothing_runs(place, capsys):
    add(place, "00_a", "raise SystemError")
    assert notebooks.main(["smoke", "--plan"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("0 run(s) to train")
