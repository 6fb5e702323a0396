"""Finished trainings made up on the spot, to test what is kept of them."""

from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from seapkg.runs import archive
from seapkg.runs.spec import RunSpec
from seapkg.runs.store import Store

METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")


def spec(
    model="bpr",
    seed=0,
    dataset="toy",
    training=None,
    fingerprint="f" * 64,
    precision="exact",
    **config,
):
    config = {"embed_dim": 4, "regularisation": 1.0} | config
    training = training or {"learning_rate": 0.001, "max_epochs": 2}
    return RunSpec(model, config, training, dataset, fingerprint, seed, precision)


def fit(value=0.1, n_users=5, n_epochs=2):
    """A fit whose metrics all have `value`; the best epoch is the last."""
    metrics = dict.fromkeys(METRICS, value)
    curves = [
        {"epoch": epoch, "seconds": 0.5, "loss": 1 / (epoch + 1), "loss/bpr": 1 / (epoch + 1)}
        | {f"valid/{name}": value * (epoch + 1) for name in METRICS}
        for epoch in range(n_epochs)
    ]
    users = np.arange(n_users)
    by_user = {name: (value * (1 + 0.01 * users)).astype(np.float32) for name in METRICS}
    return SimpleNamespace(
        curves=curves, best_epoch=n_epochs - 1, epochs=n_epochs, valid=metrics, test=metrics,
        per_user={"users": users, **by_user}, seconds_total=1.25, seconds_per_epoch=0.5,
        peak_memory_mb=100.0, device="cpu: test",
    )  # fmt: skip


def model():
    torch.manual_seed(0)
    return nn.Linear(3, 2)


def data(provenance="made up", source="some/where/toy"):
    return SimpleNamespace(source=source, provenance=provenance)


def files(one, fitted=None, trained=None):
    """The files of a finished run."""
    fitted, trained = fitted or fit(), trained or model()
    return archive.pack(one, fitted, model=trained, dataset=data())


def store_of(folder, *specs, values=None) -> Store:
    """A store with a finished run of each spec."""
    store = Store(folder)
    for number, one in enumerate(specs):
        store.save(one, files(one, fit(values[number] if values else 0.1)))
    return store
