"""Outputs of the authors' code on weights that key and shape alone determine (tests/goldens/fill.py)."""

import importlib.util
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

GOLDENS = Path(__file__).parent.parent / "goldens"


def _fill_module():
    spec = importlib.util.spec_from_file_location("goldens_fill", GOLDENS / "fill.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FILL = _fill_module()


@dataclass(frozen=True)
class Golden:
    official: dict
    shapes: dict[str, tuple[int, ...]]  # official key -> shape
    aliases: dict[str, str]  # overwritten key -> effective key
    inputs: dict[str, torch.Tensor]
    outputs: dict[str, torch.Tensor]
    overrides: dict[str, float] = field(default_factory=dict)  # official key -> value of the whole tensor
    feed: dict[str, float] = field(default_factory=dict)  # repeat: of every pixel, gain: afterwards

    def fed(self, name):
        """An input (N, C, h, w, ...) as the note says it was fed: pixels repeated, then scaled."""
        repeat = self.feed["repeat"]
        enlarged = self.inputs[name].repeat_interleave(repeat, 2).repeat_interleave(repeat, 3)
        return enlarged * self.feed["gain"]

    def state_dict(self, prefix=""):
        """The filled tensors whose keys begin with ``prefix``, float64; aliases share their twin's tensor."""
        keys = [key for key in self.shapes if key.startswith(prefix)]
        filled = {
            key: torch.from_numpy(np.asarray(FILL.fill(key, self.shapes[key])))
            for key in keys
            if key not in self.aliases
        }
        for key in filled.keys() & self.overrides.keys():
            filled[key] = torch.full_like(filled[key], self.overrides[key])
        return {key: filled[self.aliases.get(key, key)] for key in keys}

    def meta(self):
        """Tensors without memory, for tests of keys and shapes alone."""
        return {
            key: torch.empty(
                shape, device="meta", dtype=torch.int64 if key.endswith("tracked") else torch.float32
            )
            for key, shape in self.shapes.items()
        }


def read_golden(name):
    described = json.loads((GOLDENS / f"{name}.json").read_text())
    with np.load(GOLDENS / f"{name}.npz") as arrays:
        outputs = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    return Golden(
        official=described["official"],
        shapes={key: tuple(shape) for key, shape in described["state_dict"]},
        aliases=dict(described.get("aliases", [])),
        inputs={key: torch.from_numpy(FILL.image(key, shape)) for key, shape in described["inputs"].items()},
        outputs=outputs,
        overrides=described.get("overrides", {}),
        feed=described.get("feed", {}),
    )


@pytest.fixture(scope="session")
def rmn_golden():
    return read_golden("rmn_resmasking_dropout1")


@pytest.fixture(scope="session")
def blocks_golden():
    return read_golden("rmn_masking_blocks_c8")


@pytest.fixture(scope="session")
def fan_golden():
    return read_golden("fan_resnet18_self_relation")


@pytest.fixture(scope="session")
def ran_golden():
    return read_golden("ran_resnet18_6regions")


@pytest.fixture(scope="session", name="read_golden")
def reader_of_goldens():
    """``read_golden`` for tests that choose a golden by name."""
    return read_golden


@pytest.fixture(scope="session")
def fill():
    return FILL.fill


@pytest.fixture(scope="session")
def image():
    return FILL.image


@pytest.fixture(scope="session")
def options():
    """Makes the options of the distillation tests: those of the recipe, in a network of width 4."""
    from fer_repro.methods.distillation import DistillationOptions

    usual = {
        "width": 4, "fill": 0.0, "kl_weight": 0.7, "temperature": 20.0, "squared_temperature": True,
        "triplet_weight": 1.0, "margin": 0.2, "distance": "squared", "unit": True, "negatives": "every",
        "pretraining": "none",
    }  # fmt: skip
    return lambda **changed: DistillationOptions(**{**usual, **changed})
