"""Safeguards of a refactoring: what must be the same before and after, recorded from the code as it was.

    python tests/safeguards/record.py             # records everything anew
    python tests/safeguards/record.py planned     # only what is named: committed, planned, trajectories

committed_runs.json   every run in results/reference and the key that its spec has
planned_runs.json     profile -> topic (a notebook's name without its number) -> names of the runs it plans
trajectories.json     three-epoch trainings on the embedded data: loss terms, valid metrics by epoch, test metrics
redraw.sh             redraws figures/laptop in a scratch clone and shows which tables changed

`test_safeguards.py` compares with what was recorded; `bridge.py` holds all that is taken from the package. Record anew
only for a change of results that is meant, and say so in the commit: the diff of these files shows what it moved.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))  # this checkout's seapkg, whichever is installed

import bridge  # noqa: E402
import torch  # noqa: E402
from cases import cases  # noqa: E402


def committed() -> dict:
    return {name: bridge.recomputed_name(name).rsplit("-", 1)[-1] for name in bridge.committed_names()}


def planned() -> dict:
    return {profile: bridge.planned_names(profile) for profile in bridge.profiles()}


def trajectories() -> dict:
    found = {}
    for name, (model, options) in cases().items():
        found[name] = {"model": model, "options": options, **bridge.trajectory(model, options)}
    return {"machine": machine(), "cases": found}


def machine() -> dict[str, str]:
    """Where the bits were recorded: elsewhere they may differ."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    cpu = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())
    return {"cpu": cpu, "instructions": torch.backends.cpu.get_cpu_capability(), "torch": torch.__version__}


FILES = {"committed": committed, "planned": planned, "trajectories": trajectories}
NAMES = {"committed": "committed_runs", "planned": "planned_runs", "trajectories": "trajectories"}


def main() -> None:
    gc.freeze()  # a training collects garbage first, and half of the time would go into the imported libraries' objects
    for what in sys.argv[1:] or FILES:
        text = json.dumps(FILES[what](), indent=1, allow_nan=False)
        (HERE / f"{NAMES[what]}.json").write_text(text + "\n", encoding="utf-8")
        print(f"recorded {NAMES[what]}.json")


if __name__ == "__main__":
    main()
