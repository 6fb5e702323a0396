"""Devices, precision and memory."""

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from seapkg import device
from seapkg.errors import RequestError

STATUS = Path("/proc/self/status")


def test_auto_is_the_cpu_where_there_is_no_cuda_and_cuda_where_there_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.choose_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device.choose_device("auto") == torch.device("cuda")


@pytest.mark.parametrize("name", ["gpu", "tpu:0", "", "mps", "meta", "cuda:x", "CPU "])
def test_a_device_that_is_none_is_refused_with_the_choices(name):
    with pytest.raises(RequestError, match="auto, cpu, cuda or cuda:N"):
        device.choose_device(name)


@pytest.mark.parametrize(("name", "count"), [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2)])
def test_a_device_that_is_not_there_is_refused_with_the_number_of_those_that_are(
    monkeypatch, name, count
):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(RequestError, match=f"{name} is not available: torch sees {count}"):
        device.choose_device(name)


def test_a_device_that_is_there_is_taken(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device.choose_device("cuda:1") == torch.device("cuda:1")
    assert device.choose_device("cpu") == torch.device("cpu")


def test_the_cpu_is_described_with_its_threads():
    described = device.describe_device(torch.device("cpu"))
    assert described.startswith("cpu: ") and f"{torch.get_num_threads()} threads" in described


@pytest.mark.parametrize(("precision", "inside"), [("exact", "highest"), ("fast", "medium")])
def test_the_precision_holds_inside_and_is_given_back_even_after_an_error(precision, inside):
    before = torch.get_float32_matmul_precision()
    for other in ("high", before):
        torch.set_float32_matmul_precision(other)
        with pytest.raises(KeyboardInterrupt), device.precision_context(precision):
            assert torch.get_float32_matmul_precision() == inside
            raise KeyboardInterrupt
        assert torch.get_float32_matmul_precision() == other


def test_an_unknown_precision_is_refused():
    with pytest.raises(RequestError, match="exact or fast"), device.precision_context("double"):
        pass


def test_only_linux_is_asked_to_keep_freed_memory(monkeypatch):
    asked = []
    monkeypatch.setattr(ctypes, "CDLL", lambda name: asked.append(name))
    for platform in ("darwin", "win32", "linux"):
        monkeypatch.setattr(sys, "platform", platform)
        device.keep_freed_memory()  # a C library without the setting is left alone
    assert asked == [None]


@pytest.mark.skipif(not STATUS.exists(), reason="reads the high-water mark where Linux keeps it")
def test_memory_that_was_freed_and_kept_is_not_counted_in_the_next_peak():
    code = """
import torch
from seapkg.device import forget_peak_memory, keep_freed_memory, peak_memory_mb
cpu = torch.device("cpu")
keep_freed_memory()
forget_peak_memory(cpu)
before = peak_memory_mb(cpu)
large = torch.ones(100_000_000)
grown = peak_memory_mb(cpu)
del large
forget_peak_memory(cpu)
print(grown - before, peak_memory_mb(cpu) - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    grown, left = map(float, done.stdout.split())
    assert grown > 350 and left < 100


@pytest.mark.skipif(not STATUS.exists(), reason="reads the high-water mark where Linux keeps it")
def test_the_peak_memory_of_the_process_is_in_megabytes():
    kibibytes = int(re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text())[1])
    peak = device.peak_memory_mb(torch.device("cpu"))
    assert kibibytes * 1024 / 1e6 * 0.99 < peak < 50_000  # a parent's peak may be passed on


def test_without_a_high_water_mark_the_peak_is_that_of_the_whole_process(tmp_path, monkeypatch):
    monkeypatch.setattr(device, "STATUS", tmp_path / "status")
    without_status = device.peak_memory_mb(torch.device("cpu"))
    (tmp_path / "status").write_text("Name:\tpython\nVmRSS:\t100 kB\n")
    assert 10 < without_status <= device.peak_memory_mb(torch.device("cpu")) < 1e5


@pytest.mark.skipif(not STATUS.exists(), reason="reads the memory in use where Linux shows it")
def test_a_training_in_a_library_call_leaves_the_settings_of_malloc_as_they_were(tmp_path):
    """A freed array of 400 MB goes back to the system; a process with the settings keeps it."""
    code = """
import re, sys, torch, seapkg
def held():
    return int(re.search(r"VmRSS:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1e3
seapkg.train("popularity", "synthetic", store=sys.argv[1], progress=False)
before = held()
large = torch.ones(100_000_000)
del large
print(held() - before)
"""
    environment = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert float(done.stdout) < 100
