"""The runner of the notebooks is killed: nothing half-written is left to be read, and what was
trained is kept.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

import seapkg
from seapkg.runs.store import Store

CELLS = """
import time
from pathlib import Path
import seapkg
from seapkg.figures.gallery import save_table
run = seapkg.train("bpr", "synthetic", max_epochs=2, embed_dim=8, device="cpu", progress=False)
---
made = {"profile": profile, "notebook": "00_long", "runs": [run], "data": "synthetic"}
save_table(run.curves, "curves", caption="Curves.", **made)
---
if not Path("second").exists():
    Path("second").touch()
    time.sleep(600)
---
print("done")
""".strip().split("\n---\n")


@pytest.fixture
def place(tmp_path):
    """A workplace with one notebook that trains, draws, and the first time then takes very long."""
    (tmp_path / "seapkg").mkdir()
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "notebooks").mkdir()
    parameters = new_code_cell("profile = 'smoke'", metadata={"tags": ["parameters"]})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = new_notebook(
        cells=[parameters, *map(new_code_cell, CELLS)], metadata={"kernelspec": kernel}
    )
    nbformat.write(notebook, tmp_path / "notebooks" / "00_long.ipynb")
    return tmp_path


def start(place) -> subprocess.Popen:
    here = str(Path(seapkg.__file__).parents[1])
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), here]))
    unset = ("SEAPKG_STORE", "SEAPKG_FIGURES", "SEAPKG_DATA")
    own = {key: value for key, value in os.environ.items() if key not in unset} | {
        "PYTHONPATH": path
    }
    command = [sys.executable, "-m", "seapkg.studies.notebooks", "smoke"]
    return subprocess.Popen(command, cwd=place, env=own, start_new_session=True)


@pytest.mark.notebook
def test_killed_in_the_middle_of_a_notebook_and_started_again(place):
    copy = place / "results" / "notebooks" / "smoke" / "00_long.ipynb"
    killed = start(place)
    until = time.monotonic() + 300
    while not (place / "second").exists():
        assert killed.poll() is None and time.monotonic() < until, (
            "it ended before it could be killed"
        )
        time.sleep(0.1)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not copy.exists()
    assert {path.name for path in (place / "figures" / "smoke").glob("[!.]*")} == {
        "curves.csv", "curves.md", "index.md"
    }  # fmt: skip
    (run,) = Store(place / "results" / "runs").list()
    written = (run.folder / "run.json").stat().st_mtime_ns
    assert start(place).wait() == 0
    assert "done" in nbformat.read(copy, 4).cells[-1].outputs[0].text
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]
    assert (run.folder / "run.json").stat().st_mtime_ns == written  # it was not trained again
