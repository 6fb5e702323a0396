"""A pretended GPU: finds errors of device on a machine without one.

A tensor on `DEVICE` computes on the CPU, but refuses what CUDA refuses: tensors of two devices in
one operation (a number on the CPU aside), a generator of another device, conversion to NumPy. The
device is built on torch's extension for devices written in Python. What it cannot see: operations
and types that CUDA lacks, limits of CUDA's kernels, memory, speed and rounding.
"""

from contextlib import contextmanager
from typing import ClassVar
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

#: These may read from one device and write to another.
COPIES = ("copy_", "_to_copy")


class Pretended(Tensor):
    """A tensor that seems to be on `DEVICE`; `inner` has its values, on the CPU."""

    @staticmethod
    def __new__(cls, inner: Tensor):
        layout = {"layout": inner.layout, "dispatch_layout": True}
        if inner.layout == torch.strided:
            layout = {"strides": inner.stride(), "storage_offset": inner.storage_offset()}
        return Tensor._make_wrapper_subclass(
            cls, inner.size(), dtype=inner.dtype, device=DEVICE, **layout
        )

    def __init__(self, inner: Tensor) -> None:
        self.inner = inner

    def __repr__(self) -> str:
        return f"Pretended({self.inner})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


class Factories(TorchDispatchMode):
    """Lets `torch.zeros(..., device=DEVICE)` and its like make pretended tensors."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


class PretendedGenerator(torch.Generator):
    """A generator of the CPU's numbers that seems to be on the device it was made for."""

    #: By address: torch gives an operation another Python object of the same generator.
    devices: ClassVar[dict[int, torch.device]] = {}

    def __new__(cls, device="cpu"):
        return super().__new__(cls, device="cpu")

    def __init__(self, device="cpu") -> None:
        self.devices[self._cdata] = torch.device(device)

    @property
    def device(self) -> torch.device:
        return self.devices[self._cdata]


def _run(func, args: tuple, kwargs: dict):
    """Runs an operation on the CPU; its result seems to be where CUDA would have it."""
    leaves = tree_leaves((args, kwargs))
    devices = [leaf for leaf in leaves if isinstance(leaf, torch.device)]
    is_there = any(isinstance(leaf, Pretended) for leaf in leaves)
    if func is torch.ops.prim.layout.default:
        return args[0].inner.layout
    if DEVICE not in devices and not is_there:
        return func(*args, **kwargs)
    _check(func, leaves)
    out = func(*tree_map(_inner, args), **tree_map(_inner, kwargs))
    if devices and DEVICE not in devices:
        return out
    out = tree_map(lambda x: Pretended(x) if isinstance(x, Tensor) else x, out)
    return return_and_correct_aliasing(func, args, kwargs, out)


def _check(func, leaves: list) -> None:
    """Raises RuntimeError for an operation that CUDA would refuse."""
    name = func.overloadpacket.__name__
    is_pointwise = torch.Tag.pointwise in func.tags
    for leaf in leaves:
        if isinstance(leaf, torch._C.Generator):
            device = PretendedGenerator.devices.get(leaf._cdata, leaf.device)
            if device != DEVICE:
                raise RuntimeError(f"{name}: its generator is on {device}")
        if isinstance(leaf, Tensor) and not isinstance(leaf, Pretended) and name not in COPIES:
            if leaf.dim() or not is_pointwise:
                raise RuntimeError(f"{name}: a tensor {list(leaf.shape)} is on {leaf.device}")


def _inner(x):
    if isinstance(x, torch.device):
        return torch.device("cpu")
    return x.inner if isinstance(x, Pretended) else x


def _register() -> torch.device:
    """Makes the device known to torch, for the whole process."""
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

    _setup_privateuseone_for_python_backend("pretended")
    return torch.device("pretended", 0)


@contextmanager
def pretended_cuda():
    """Trainings inside run on `DEVICE`."""
    torch._C._set_only_lift_cpu_tensors(True)  # lets `torch.tensor` make pretended ones
    try:
        with (
            patch("seapkg.training.fit.choose_device", lambda name: DEVICE),
            patch("torch.Generator", PretendedGenerator),
            patch.dict("seapkg.kernels.blocked_softmax.BLOCK_BYTES", {DEVICE.type: 256 << 20}),
            patch.dict("seapkg.kernels.rank_one_attention.BLOCK_BYTES", {DEVICE.type: 256 << 20}),
            Factories(),
        ):
            yield
    finally:
        torch._C._set_only_lift_cpu_tensors(False)


DEVICE = _register()
