import json
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_run import make_config

from fer_repro.errors import UserError
from fer_repro.training.seeding import choose_device, environment, make_deterministic, seed_everything


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
