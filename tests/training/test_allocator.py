"""Freed memory stays with the process, so that the next step does not fault it in anew."""

import ctypes
import subprocess
import sys

import pytest

from fer_repro.training import seeding as allocator

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
