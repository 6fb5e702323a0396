"""Speed and memory, measured by hand: `python tests/benchmarks COMMAND`.

sea          a step of SEA beside the published form, by part
models       seconds per epoch of each row of the main table, beside the published code
rearm        REARM's graphs, step, epoch and memory
evaluation   seconds of one full ranking of the test split
growth       SEA's parts against the number of items, as a table and a figure
million      one million items, four million pairs, SEAb, alignment over the batch's items
gpu          what needs a GPU: tests, the paper's Table 5, missing trainings (its --help says more)
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import pandas as pd
import torch

from seapkg.errors import look_up
from seapkg.models import find
from seapkg.runs.environment import cpu_model
from seapkg.studies.base import rows as table_rows

HERE = Path(__file__).parent
FIGURES = HERE.parents[1] / "figures" / "speed"
RELEASED = {"formulation": "released"}
#: The published code at Baby's shape, on a machine where our LightGCN took 1.08 s an epoch:
#: system -> seconds of an epoch and peak memory in GiB (None: not measured). MMSSL's batches are
#: of 1024; PAMD's pre-training takes 2.5 s more an epoch.
PUBLISHED = {
    "bpr": (0.70, None),
    "vbpr": (5.5, None),
    "lightgcn": (3.8, None),
    "mmgcn": (106, 1.78),
    "dualgnn": (65, 1.20),
    "lattice": (46, 2.81),
    "slmrec": (24.7, 1.15),
    "pamd": (18.9, 0.98),
    "layergcn": (12.0, 0.86),
    "bm3": (22.2, 1.29),
    "mmssl": (866, 3.19),
    "freedom": (19.5, None),
    "mgcn": (28.5, 1.55),
    "lgmrec": (63, 1.10),
}
LIGHTGCN_THEN = 1.08
#: Timed beside the rows of the main table.
VARIANTS = {"sea (released), b": ("sea", RELEASED | {"variant": "b"})}
SEA_FORMS = {
    "published": {"form": "published"},
    "published, memory kept": {"form": "published", "keep_memory": True},
    "ours": {},
    "ours, fast": {"precision": "fast"},
}
SEA_PARTS = ["forward", "backward", "auxiliary fit", "adam"]
REARM_PARTS = ["build", "forward", "backward", "adam"]


def sea(args) -> None:
    """The forms take turns, so that a slow minute of the machine meets all of them."""
    found = {form: [] for form in SEA_FORMS}
    for _ in range(args.rounds):
        for form, job in SEA_FORMS.items():
            found[form].append(measure(args, model="sea", options=RELEASED, **job))
    check_same_losses(found)
    rows = []
    for form, results in found.items():
        pairs = zip(found["published"], results, strict=True)
        ratio = median(published["step"] / ours["step"] for published, ours in pairs)
        rows.append({"form": form, **summary(results, SEA_PARTS), "times as fast": round(ratio, 1)})
    publish(f"sea-{args.shape}", f"SEAa, {circumstances(args, results[0])}", rows)


def models(args) -> None:
    """LightGCN takes turns with each model, so that a slow minute of the machine meets both."""
    chosen = {label: (system.name, options) for label, (system, options) in table_rows().items()}
    chosen |= VARIANTS
    if args.only:
        chosen = {label: look_up("model", label, chosen) for label in args.only}
    found = {label: [] for label in chosen}
    for _ in range(args.rounds):
        for label, (model, options) in chosen.items():
            lightgcn = measure(args, model="lightgcn", options={})
            ours = measure(args, model=model, options=options | pre_trained(model))
            found[label].append(ours | {"lightgcn": lightgcn["epoch"]})
    rows = []
    for label, results in found.items():
        row = {"model": label, **summary(results, ["build", "before training"])}
        row["products s"] = round(median(result.get("products", 0) for result in results), 2)
        rows.append(row | beside_published(label, results, args.shape))
    title = f"Training, {circumstances(args, results[0])}"
    publish(f"models-{args.shape}", title, rows, keep=not args.only)


def pre_trained(model: str) -> dict:
    """One epoch of pre-training, where the system has that option."""
    options = find(model).model.config_class.__dataclass_fields__
    return {"pretrain_epochs": 1} if "pretrain_epochs" in options else {}


def beside_published(label: str, results: list[dict], shape: str) -> dict[str, float]:
    """The published seconds and memory, and how many times as fast ours is: a median over rounds.

    The published seconds are scaled by LightGCN's epoch, then and now.
    """
    if shape != "baby" or label not in PUBLISHED:
        return {}
    seconds, memory = PUBLISHED[label]
    ratios = [seconds * each["lightgcn"] / LIGHTGCN_THEN / each["epoch"] for each in results]
    row = {"published s": seconds, "times as fast": round(median(ratios), 1)}
    return row if memory is None else row | {"published MB": round(1024 * memory)}


def rearm(args) -> None:
    preset = {"preset": args.shape} if args.shape in ("baby", "sports", "clothing") else {}
    rows = []
    for formulation in ("clean", "released"):
        options = preset | {"formulation": formulation}
        results = [measure(args, model="rearm", options=options) for _ in range(args.rounds)]
        rows.append({"formulation": formulation, **summary(results, REARM_PARTS)})
    publish(f"rearm-{args.shape}", f"REARM, {circumstances(args, results[0])}", rows)


def evaluation(args) -> None:
    rows = []
    for label in ("bpr", "lightgcn", "sea (released)"):
        system, options = table_rows()[label]
        job = {"what": "evaluation", "model": system.name, "options": options}
        results = [measure(args, **job) for _ in range(args.rounds)]
        seconds = median(result["evaluation"] for result in results)
        rows.append({"model": label, "seconds": seconds, "users": results[0]["users"]})
    title = f"Full ranking of the test split, {circumstances(args, results[0])}"
    publish(f"evaluation-{args.shape}", title, rows)


def million(args) -> None:
    options = RELEASED | {"variant": "b", "alignment_items": "batch"}
    result = measure(args, model="sea", options=options, shape="million", batch_size=65_536)
    seconds = result["parts"] | {"step": result["step"], "epoch": result["epoch"]}
    rows = [{"part": part, "seconds": value} for part, value in seconds.items()]
    rows.append({"part": "peak memory, MB", "seconds": result["peak_mb"]})
    title = f"1 000 000 items, 4 000 000 pairs, SEAb, batch 65 536, {processor()}"
    publish("million", f"{title}, {result['device']}", rows)


def growth(args) -> None:
    from growth import CASES, draw

    rows = []
    for n_items in args.items:
        for case, options in CASES.items():
            if case.startswith("a") and n_items > 100_000:
                continue  # Solosim over all items is quadratic in time: hours per step
            result = measure(args, model="sea", options=RELEASED | options, shape=n_items)
            parts = {part: result["parts"][part] for part in SEA_PARTS}
            sizes = {"items": n_items, "case": case}
            rows.append(sizes | {"epoch": result["epoch"], "peak_mb": result["peak_mb"]} | parts)
            print(rows[-1], flush=True)
    draw(rows, FIGURES)


def measure(args, **job) -> dict:
    """Runs one job of child.py in a process of its own and returns what it measured."""
    defaults = {
        "what": "steps",
        "form": "ours",
        "keep_memory": False,
        "precision": "exact",
        "shape": args.shape,
        "device": args.device,
        "steps": args.steps,
        "batch_size": None,  # the system's
    }
    environment = os.environ | {"OMP_NUM_THREADS": str(args.threads)}
    command = [sys.executable, str(HERE / "child.py"), json.dumps(defaults | job)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{job} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def summary(results: list[dict], parts: list[str] = ()) -> dict[str, float]:
    """Medians over rounds of the parts, of a step and of an epoch; the largest peak."""
    row = {part: median(result["parts"].get(part, 0) for result in results) for part in parts}
    row["step s"] = median(result["step"] for result in results)
    row["epoch s"] = round(median(result["epoch"] for result in results), 2)
    row["peak MB"] = round(max(result["peak_mb"] for result in results))
    return row


def publish(name: str, title: str, rows: list[dict], keep: bool = True) -> None:
    """Prints a table and, to keep it, writes it to figures/speed/NAME.md."""
    frame = pd.DataFrame(rows).round(4).astype(object)
    table = frame.where(frame.notna(), "").to_markdown(index=False)
    print(title, table, sep="\n\n", flush=True)
    if keep:
        FIGURES.mkdir(parents=True, exist_ok=True)
        (FIGURES / f"{name}.md").write_text(f"{title}\n\n{table}\n", encoding="utf-8")


def circumstances(args, result: dict) -> str:
    """The shape, the number of rounds and the machine, for a title."""
    rounds = f"median of {args.rounds} rounds"
    return f"shape of {args.shape}, {rounds}, {processor()}, {result['device']}"


def processor() -> str:
    return f"{cpu_model()} ({torch.backends.cpu.get_cpu_capability()})"


def check_same_losses(found: dict[str, list[dict]]) -> None:
    """Stops where a form did other work: all train the same model on the same batches."""
    expected = found["published"][0]["final_loss"]
    for form, results in found.items():
        tolerance = 0.02 if "fast" in form else 1e-3
        for result in results:
            if abs(result["final_loss"] / expected - 1) > tolerance:
                loss = result["final_loss"]
                sys.exit(f"{form} ended at a loss of {loss}, the published form at {expected}")


def main() -> None:
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser("tests/benchmarks", description=__doc__, formatter_class=raw)
    commands = {each.__name__: each for each in (sea, models, rearm, evaluation, growth, million)}
    parser.add_argument("command", choices=commands)
    parser.add_argument("--shape", default="baby", help="smoke, baby, sports or clothing")
    parser.add_argument(
        "--rounds", type=int, default=3, help="processes per row; medians are shown"
    )
    parser.add_argument("--steps", type=int, default=3, help="timed steps of two epochs in each")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="rows of `models`, not written")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--items", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    args = parser.parse_args()
    commands[args.command](args)


if __name__ == "__main__":
    if sys.argv[1:2] == ["gpu"]:
        import gpu

        sys.exit(gpu.main(sys.argv[2:]))
    main()
