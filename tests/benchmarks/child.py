"""One measurement in a process of its own, so that its peak memory is its own.

python child.py JSON        # the job; prints what it measured as JSON
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from statistics import median

import torch
from published import PublishedSEA
from shapes import SHAPES, Shape, grown, random_dataset

from seapkg.device import (
    describe_device,
    forget_peak_memory,
    keep_freed_memory,
    peak_memory_mb,
    precision_context,
)
from seapkg.models import build
from seapkg.runs.configure import configure
from seapkg.seeds import generator
from seapkg.training.batches import Batches
from seapkg.training.config import TrainingConfig
from seapkg.training.evaluate import Ranking, evaluate_ranking

N_WARM_UP = 2


class Clock:
    """Seconds by part; on CUDA each mark waits for the device."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.parts = device, {}
        self.last = self._now()

    def mark(self, part: str) -> None:
        now = self._now()
        self.parts.setdefault(part, []).append(now - self.last)
        self.last = now

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def training_steps(job: dict) -> dict:
    """Median seconds of building the model, of each part of a step, and of an epoch."""
    device = torch.device(job["device"])
    dataset = random_dataset(shape_of(job))
    clock = Clock(device)
    model = built_model(job, dataset, device).train()
    clock.mark("build")
    is_published = job["form"] == "published"
    if job["keep_memory"] or not is_published:  # the library does, the published code does not
        keep_freed_memory()
    steps = PublishedSEA(model, dataset) if is_published else model
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=1e-4, fused=None if is_published else True)
    batches = Batches(dataset, TrainingConfig(batch_size=job["batch_size"]), 0, device)
    forget_peak_memory(device)
    clock.last = clock._now()
    model.begin_epoch(generator(0, "model", device))
    clock.mark("epoch: begin")
    stream = itertools.chain.from_iterable(batches.epoch() for _ in itertools.count())
    whole_steps = []
    for step in range(job["steps"] + N_WARM_UP):
        batch = next(stream)
        clock.mark("epoch: draw" if step == 0 else "next batch")
        started = clock.last
        loss = timed_step(steps, optimiser, batch, clock)
        whole_steps.append(clock.last - started)
    parts = {part: median(times[N_WARM_UP:] or times) for part, times in clock.parts.items()}
    step = median(whole_steps[N_WARM_UP:])
    epoch = parts["epoch: begin"] + parts["epoch: draw"] + step * len(batches)
    return {"parts": parts, "step": step, "epoch": epoch, "final_loss": loss}


def timed_step(steps, optimiser: torch.optim.Optimizer, batch: tuple, clock: Clock) -> float:
    optimiser.zero_grad(set_to_none=True)
    loss = sum(steps.losses(*batch).values())
    clock.mark("forward")
    loss.backward()
    clock.mark("backward")
    steps.fit_auxiliary()
    clock.mark("auxiliary fit")
    optimiser.step()
    clock.mark("adam")
    return float(loss)


def evaluation(job: dict) -> dict:
    """Median seconds of one full ranking of the test split, the model's embedding included."""
    device = torch.device(job["device"])
    dataset = random_dataset(shape_of(job))
    keep_freed_memory()
    model = built_model(job, dataset, device).eval()
    ranking = Ranking(dataset, "test", device=device)
    clock = Clock(device)
    for _ in range(job["steps"] + 1):
        evaluate_ranking(model, ranking)
        clock.mark("evaluation")
    seconds = median(clock.parts["evaluation"][1:])
    return {"evaluation": seconds, "users": len(ranking.users)}


def built_model(job: dict, dataset, device: torch.device) -> torch.nn.Module:
    config = configure(job["model"], job["options"])[0]
    return build(job["model"], dataset, config, 0).to(device)


def shape_of(job: dict) -> Shape:
    return grown(job["shape"]) if isinstance(job["shape"], int) else SHAPES[job["shape"]]


def main() -> None:
    job = json.loads(sys.argv[1])
    torch.manual_seed(0)
    measurement = {"steps": training_steps, "evaluation": evaluation}[job["what"]]
    with precision_context(job["precision"]):
        measured = measurement(job)
    device = torch.device(job["device"])
    machine = {"peak_mb": peak_memory_mb(device), "device": describe_device(device)}
    print(json.dumps(measured | machine))


if __name__ == "__main__":
    main()
