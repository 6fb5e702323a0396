"""One measurement in a process of its own, so that peak memory is its own: `python child.py JSON`, JSON out."""

from __future__ import annotations

import itertools
import json
import statistics
import sys
import time

import torch
from published import PublishedSEA
from shapes import SHAPES, Shape, grown, random_dataset

from seapkg.device import describe_device, forget_peak_memory, keep_freed_memory, peak_memory_mb
from seapkg.device import precision_context as precision
from seapkg.models import build
from seapkg.runs.configure import configure
from seapkg.seeds import generator
from seapkg.training.config import TrainingConfig
from seapkg.training.evaluate import Ranking, evaluate_ranking
from seapkg.training.fit import _Batches


class Clock:
    """Seconds by part; on CUDA the device is waited for at each mark."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.parts, self.last = device, {}, self._now(device)

    def mark(self, part: str) -> None:
        now = self._now(self.device)
        self.parts.setdefault(part, []).append(now - self.last)
        self.last = now

    @staticmethod
    def _now(device: torch.device) -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()


def training_steps(job: dict) -> dict:
    """Median seconds of each part of a training step, and of an epoch, from `job["steps"]` steps after two more; and
    the seconds it took to build the model, its graphs among them."""
    device = torch.device(job["device"])
    dataset = random_dataset(shape_of(job))
    built = Clock(device)
    model = (
        build(job["model"], dataset, configure(job["model"], job["options"])[0], 0)
        .to(device)
        .train()
    )
    built.mark("build")
    published = job["form"] == "published"
    if (
        job["keep_memory"] or not published
    ):  # the library's trainer does, the published code does not
        keep_freed_memory()
    steps = PublishedSEA(model, dataset) if published else model
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=1e-4, fused=None if published else True)
    batches = _Batches(dataset, TrainingConfig(batch_size=job["batch_size"]), 0, device)
    forget_peak_memory(device)
    clock, whole = Clock(device), []
    model.begin_epoch(generator(0, "model", device))
    clock.mark("epoch: begin")
    stream = (batch for _ in itertools.count() for batch in batches.epoch())
    for step in range(job["steps"] + 2):
        users, positives, negatives = next(stream)
        clock.mark("epoch: draw" if step == 0 else "next batch")
        started = clock.last
        optimiser.zero_grad(set_to_none=True)
        loss = sum(steps.losses(users, positives, negatives).values())
        clock.mark("forward")
        loss.backward()
        clock.mark("backward")
        steps.fit_auxiliary()
        clock.mark("auxiliary fit")
        optimiser.step()
        clock.mark("adam")
        whole.append(clock.last - started)
    parts = {
        part: statistics.median(seconds[2:] or seconds)
        for part, seconds in (built.parts | clock.parts).items()
    }
    step = statistics.median(whole[2:])
    epoch = parts["epoch: begin"] + parts["epoch: draw"] + step * len(batches)
    return {
        "parts": parts,
        "step": step,
        "batches": len(batches),
        "epoch": epoch,
        "final_loss": float(loss),
    }


def evaluation(job: dict) -> dict:
    """Median seconds of one full ranking of the test split, the model's embedding included."""
    device = torch.device(job["device"])
    dataset = random_dataset(shape_of(job))
    keep_freed_memory()
    model = (
        build(job["model"], dataset, configure(job["model"], job["options"])[0], 0)
        .to(device)
        .eval()
    )
    ranking = Ranking(dataset, "test", device=device)
    clock = Clock(device)
    for _ in range(job["steps"] + 1):
        evaluate_ranking(model, ranking)
        clock.mark("evaluation")
    return {
        "evaluation": statistics.median(clock.parts["evaluation"][1:]),
        "users": len(ranking.users),
    }


def shape_of(job: dict) -> Shape:
    return grown(job["shape"]) if isinstance(job["shape"], int) else SHAPES[job["shape"]]


def main() -> None:
    job = json.loads(sys.argv[1])
    torch.manual_seed(0)
    with precision(job["precision"]):
        measured = {"steps": training_steps, "evaluation": evaluation}[job["what"]](job)
    device = torch.device(job["device"])
    print(
        json.dumps(
            measured | {"peak_mb": peak_memory_mb(device), "device": describe_device(device)}
        )
    )


if __name__ == "__main__":
    main()
