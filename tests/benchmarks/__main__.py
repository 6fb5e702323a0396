"""Speed and memory, by hand: `python tests/benchmarks WHAT`. No timing runs in the tests or in CI.

sea          SEA's step against the published form's, in the same run, by part
models       seconds an epoch of each model
rearm        REARM's graphs, step, epoch and memory, as it is and as released
evaluation   seconds of one full ranking of the test split
growth       SEA's parts against the number of items, as a table and a figure
million      one million items, four million pairs, SEAb, alignment over the batch's items
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import torch

from seapkg.runs.environment import cpu_model

HERE = Path(__file__).parent
FIGURES = HERE.parents[1] / "figures" / "speed"
RELEASED = {"formulation": "released"}
MODELS = {
    "bpr": ("bpr", {}),
    "lightgcn": ("lightgcn", {}),
    "vbpr": ("vbpr", {}),
    "freedom": ("freedom", {}),
    "freedom, content loss": ("freedom", {"content_loss_weight": 1e-3}),
    "sea (released) a": ("sea", RELEASED | {"variant": "a"}),
    "sea (released) b": ("sea", RELEASED | {"variant": "b"}),
    "sea (paper) a": ("sea", {"formulation": "paper"}),
}


def measure(args, what: str = "steps", **job) -> dict:
    """Runs one job in a child process and returns what it measured."""
    defaults = {
        "what": what,
        "form": "ours",
        "keep_memory": None,
        "device": args.device,
        "steps": args.steps,
        "batch_size": 2048,
    }
    job = defaults | {"precision": "exact", "shape": args.shape, "options": {}} | job
    environment = os.environ | {"OMP_NUM_THREADS": str(args.threads)}
    command = [sys.executable, str(HERE / "child.py"), json.dumps(job)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{job} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def publish(name: str, title: str, rows: list[list[str]]) -> None:
    """Prints rows as a Markdown table, the first being the header, and keeps it in figures/speed/NAME.md."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = [
        " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    lines.insert(1, " | ".join("-" * width for width in widths))
    text = "\n".join([title, "", *(f"| {line} |" for line in lines), ""])
    print(text, flush=True)
    FIGURES.mkdir(parents=True, exist_ok=True)
    (FIGURES / f"{name}.md").write_text(text, encoding="utf-8")


def sea(args) -> None:
    """Forms take turns, so that a machine's bad minute meets all of them; ratios are medians over rounds."""
    forms = {
        "published": {"form": "published"},
        "published, memory kept": {"form": "published", "keep_memory": True},
        "ours": {},
        "ours, fast": {"precision": "fast"},
    }
    found = {name: [] for name in forms}
    for _ in range(args.rounds):
        for name, how in forms.items():
            found[name].append(measure(args, model="sea", options=RELEASED, **how))
    check_same_losses(found)
    parts = ["forward", "backward", "auxiliary fit", "adam"]
    rows = [["form", *parts, "step s", "epoch s", "peak MB", "times as fast"]]
    for name, results in found.items():
        ratios = [
            twin["step"] / own["step"]
            for twin, own in zip(found["published"], results, strict=True)
        ]
        middle = [f"{statistics.median(r['parts'][part] for r in results):.3f}" for part in parts]
        step, epoch = (statistics.median(r[key] for r in results) for key in ("step", "epoch"))
        peak = max(r["peak_mb"] for r in results)
        ratio = f"{statistics.median(ratios):.1f}"
        rows.append([name, *middle, f"{step:.3f}", f"{epoch:.1f}", f"{peak:.0f}", ratio])
    publish(f"sea-{args.shape}", f"SEAa, {where(args, results[0])}", rows)


def where(args, result: dict) -> str:
    """What was measured, on what: for a title."""
    return (
        f"shape of {args.shape}, median of {args.rounds} rounds, {processor()}, {result['device']}"
    )


def processor() -> str:
    """The processor's name and the widest instructions that torch finds on it."""
    return f"{cpu_model()} ({torch.backends.cpu.get_cpu_capability()})"


def check_same_losses(found: dict[str, list[dict]]) -> None:
    """All forms have trained the same model on the same batches: another last loss means other work was timed."""
    expected = found["published"][0]["final_loss"]
    for name, results in found.items():
        for result in results:
            if abs(result["final_loss"] / expected - 1) > (0.02 if "fast" in name else 1e-3):
                sys.exit(
                    f"{name} ended at a loss of {result['final_loss']}, the published form at {expected}"
                )


def models(args) -> None:
    rows = [["model", "epoch s", "step ms", "peak MB"]]
    for label, (model, options) in MODELS.items():
        results = [measure(args, model=model, options=options) for _ in range(args.rounds)]
        epoch, step = (statistics.median(r[key] for r in results) for key in ("epoch", "step"))
        rows.append(
            [
                label,
                f"{epoch:.2f}",
                f"{1000 * step:.1f}",
                f"{max(r['peak_mb'] for r in results):.0f}",
            ]
        )
    publish(f"models-{args.shape}", f"Training, {where(args, results[0])}", rows)


def rearm(args) -> None:
    parts = ["build", "forward", "backward", "adam"]
    rows = [["formulation", *parts, "step s", "epoch s", "peak MB"]]
    preset = {"preset": args.shape} if args.shape in ("baby", "sports", "clothing") else {}
    for formulation in ("clean", "released"):
        options = preset | {"formulation": formulation}
        results = [measure(args, model="rearm", options=options) for _ in range(args.rounds)]
        middle = [f"{statistics.median(r['parts'][part] for r in results):.3f}" for part in parts]
        epoch, step = (statistics.median(r[key] for r in results) for key in ("epoch", "step"))
        peak = max(r["peak_mb"] for r in results)
        rows.append([formulation, *middle, f"{step:.3f}", f"{epoch:.1f}", f"{peak:.0f}"])
    publish(f"rearm-{args.shape}", f"REARM, {where(args, results[0])}", rows)


def evaluation(args) -> None:
    rows = [["model", "seconds", "users"]]
    for label in ("bpr", "lightgcn", "sea (released) a"):
        model, options = MODELS[label]
        results = [
            measure(args, "evaluation", model=model, options=options) for _ in range(args.rounds)
        ]
        rows.append(
            [
                label,
                f"{statistics.median(r['evaluation'] for r in results):.3f}",
                str(results[0]["users"]),
            ]
        )
    publish(
        f"evaluation-{args.shape}",
        f"Full ranking of the test split, {where(args, results[0])}",
        rows,
    )


def million(args) -> None:
    options = RELEASED | {"variant": "b", "alignment_items": "batch"}
    result = measure(args, model="sea", options=options, shape="million", batch_size=65_536)
    rows = [
        ["part", "seconds"],
        *([part, f"{value:.3f}"] for part, value in result["parts"].items()),
    ]
    rows += [
        ["step", f"{result['step']:.3f}"],
        [f"epoch of {result['batches']} steps", f"{result['epoch']:.0f}"],
    ]
    rows += [["peak memory, MB", f"{result['peak_mb']:.0f}"]]
    publish(
        "million",
        f"1 000 000 items, 4 000 000 pairs, SEAb, batch 65 536, {processor()}, {result['device']}",
        rows,
    )


def growth(args) -> None:
    from growth import draw

    rows = []
    for n_items in args.items:
        cases = {
            "a, all items": {"variant": "a"},
            "b, batch items": {"variant": "b", "alignment_items": "batch"},
        }
        for case, options in cases.items():
            if case.startswith("a") and n_items > 100_000:
                continue  # Solosim over all items is quadratic in time: hours a step
            result = measure(args, model="sea", options=RELEASED | options, shape=n_items)
            rows.append(
                {
                    "items": n_items,
                    "case": case,
                    "epoch": result["epoch"],
                    "peak_mb": result["peak_mb"],
                }
            )
            rows[-1] |= {
                part: result["parts"][part]
                for part in ("forward", "backward", "auxiliary fit", "adam")
            }
            print(rows[-1], flush=True)
    FIGURES.mkdir(parents=True, exist_ok=True)
    draw(rows, FIGURES)


def main() -> None:
    parser = argparse.ArgumentParser(
        "tests/benchmarks", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = {
        command.__name__: command for command in (sea, models, rearm, evaluation, growth, million)
    }
    parser.add_argument("what", choices=commands)
    parser.add_argument("--shape", default="baby", help="smoke, baby, sports or clothing")
    parser.add_argument(
        "--rounds", type=int, default=3, help="child processes a row, medians are shown"
    )
    parser.add_argument("--steps", type=int, default=5, help="timed steps in each")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--items", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    args = parser.parse_args()
    commands[args.what](args)


if __name__ == "__main__":
    main()
