"""Freed memory stays with the process, so that the next step does not fault it in anew."""

import ctypes
import json
import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_run import make_config

from fer_repro.errors import UserError
from fer_repro.training import seeding as allocator
from fer_repro.training.checkpoint import fingerprint
from fer_repro.training.seeding import (
    choose_device,
    choose_precision,
    environment,
    make_deterministic,
    seed_everything,
)


def test_all_generators_are_seeded():
    def draw():
        seed_everything(3)
        return random.random(), np.random.random(), torch.rand(1).item()  # noqa: NPY002

    assert draw() == draw()


def test_threads_and_determinism_are_set():
    make_deterministic(make_config().runtime)
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()


def test_the_environment_is_plain_and_stable():
    runtime = make_config().runtime
    found = environment(runtime)
    assert found["packages"]["torch"] == torch.__version__.split("+")[0]
    assert found["threads"] == 1
    assert json.dumps(found) == json.dumps(environment(runtime))


def test_an_absent_device_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    runtime = make_config().runtime
    assert choose_device(replace(runtime, device="auto")) == "cpu"
    with pytest.raises(UserError, match=r"runtime.device is 'cuda'"):
        choose_device(replace(runtime, device="cuda"))


@pytest.mark.parametrize(
    ("amx", "avx512", "expected"),
    [(False, False, "32-true"), (True, False, "bf16-mixed"), (False, True, "bf16-mixed")],
)
def test_auto_takes_bf16_where_the_processor_multiplies_in_it(monkeypatch, amx, avx512, expected):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    config = make_config()
    assert choose_precision(replace(config, recipe=replace(config.recipe, precision="auto"))) == expected
    assert choose_precision(config) == "32-true"


def test_a_run_that_took_bf16_is_not_resumed_in_float32(monkeypatch):
    config = replace(make_config(), recipe=replace(make_config().recipe, precision="auto"))
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    plain = fingerprint(config, "data")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert fingerprint(config, "data") != plain


COUNT = """
import resource, sys, torch
from fer_repro.training.seeding import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def use():  # beyond 32 MiB the library never keeps memory by its own rule
    return [torch.ones(40 * 2**20 // 4) for _ in range(2)]
for _ in range(8):
    use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how):
    done = subprocess.run([sys.executable, "-c", COUNT, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the GNU C library's setting")
def test_memory_that_was_freed_is_not_faulted_in_again():
    if not hasattr(ctypes.CDLL(None), "mallopt"):
        pytest.skip("this C library has no mallopt")
    kept, usual = faults("kept"), faults("usual")
    assert kept < 0.5 * usual, (kept, usual)  # now and then something small lies in the way


def test_without_the_setting_nothing_happens(monkeypatch):
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: object())
    assert allocator.keep_freed_memory() is False
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: 1 / 0)
    assert allocator.keep_freed_memory() is False
