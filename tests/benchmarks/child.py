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
from torch.utils.flop_counter import FlopCounterMode

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

N_WARM_UP, N_EPOCHS = 2, 2


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
    """Median seconds of building the model, of each part of a step, and of an epoch.

    An epoch is its beginning, its first step (in which MICRO and LATTICE learn their graphs) and
    the other steps. A closed form has no steps: its fit is its building.
    """
    device = torch.device(job["device"])
    dataset = random_dataset(shape_of(job))
    is_published = job["form"] == "published"
    if job["keep_memory"] or not is_published:  # the library does, the published code does not
        keep_freed_memory()
    forget_peak_memory(device)
    clock = Clock(device)
    model = built_model(job, dataset, device).train()
    clock.mark("build")
    training = configure(job["model"], job["options"])[1]
    if training.max_epochs == 0:
        return {"parts": {"build": clock.parts["build"][0]}, "step": 0.0, "epoch": 0.0}
    source = generator(0, "model", device)
    model.before_training(source)
    clock.mark("before training")
    steps = PublishedSEA(model, dataset) if is_published else model
    trained = model.main_parameters()
    if is_published:
        optimiser = torch.optim.Adam(trained, lr=1e-4)
    else:
        optimiser = model.optimiser(trained, 1e-4, training.weight_decay)
    batch_size = job["batch_size"] or training.batch_size
    batches = Batches(dataset, TrainingConfig(batch_size=batch_size), 0, device)
    stream = itertools.chain.from_iterable(batches.epoch() for _ in itertools.count())

    def step() -> tuple[float, float]:
        """Seconds and loss of the next batch's step."""
        batch = next(stream)
        clock.mark("next batch")
        started = clock.last
        model.before_batch(*batch)
        clock.mark("before batch")
        loss = timed_step(steps, optimiser, batch, clock)
        return clock.last - started, loss

    model.begin_epoch(source)
    clock.mark("epoch: begin")
    for _ in range(N_WARM_UP):
        step()
    before, clock.parts = clock.parts, {}
    first_steps, other_steps = [], []
    for epoch in range(N_EPOCHS):
        model.begin_epoch(source, epoch)
        clock.mark("epoch: begin")
        first_steps.append(step())
        other_steps += [step() for _ in range(job["steps"])]
    parts = {part: median(times) for part, times in (before | clock.parts).items()}
    parts["epoch: draw"] = before["next batch"][0]  # of the negatives, with the first batch
    seconds = median(seconds for seconds, _ in other_steps)
    epoch = parts["epoch: begin"] + parts["epoch: draw"]
    epoch += median(seconds for seconds, _ in first_steps) + seconds * (len(batches) - 1)
    measured = {"parts": parts, "step": seconds, "epoch": epoch, "final_loss": other_steps[-1][1]}
    measured["peak_mb"] = peak_memory_mb(device)  # before the product below raises it
    with FlopCounterMode(display=False) as products:
        step()
    products = products.get_total_flops() * len(batches)
    return measured | {"products": products / product_rate(device)}


def product_rate(device: torch.device) -> float:
    """Floating-point operations in a second of a large product: what this machine does at best."""
    a, b = (torch.rand(size, device=device) for size in ((8192, 2048), (2048, 2048)))
    clock = Clock(device)
    for _ in range(5):
        a @ b
        clock.mark("product")
    return 2 * a.numel() * b.shape[1] / min(clock.parts["product"])


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
    print(json.dumps(machine | measured))


if __name__ == "__main__":
    main()
