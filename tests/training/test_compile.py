"""Training under ``runtime.compile``: traced, cut into graphs and differentiated, but without generated code.

Inductor's seconds per network are not worth it in every run of the tests; one slow test has them.
"""

import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from tiny_run import PARAMS, TinyNet, make_config, run
from torch import nn

from fer_repro.config import load_config
from fer_repro.layers.adacos_head import AdaCosHead
from fer_repro.layers.embedding import EmbeddingClassifier, HeadLoss
from fer_repro.layers.margin_heads import CONTROLS, control_head
from fer_repro.loading.frames import Clips
from fer_repro.loading.split import Split
from fer_repro.loading.views import Faces, Triplets
from fer_repro.methods.method import load_method
from fer_repro.methods.p2sgrad import P2SGradHead
from fer_repro.sections import read_section
from fer_repro.training.checkpoint import Checkpoint
from fer_repro.training.fit import fit
from fer_repro.training.processes import make_fabric
from fer_repro.training.seeding import make_deterministic, seed_everything

BATCH = 4
ITEMS = 7  # an epoch of two steps, the second with fewer items
EPOCHS = 2
ARMS = [
    pytest.param("rmn", "synthetic", "masked", marks=pytest.mark.slow),
    pytest.param("ran", "synthetic", "softmax_weights", marks=pytest.mark.slow),
    pytest.param("fan", "synthetic_clips", "self_relation", marks=pytest.mark.slow),
    ("adacos", "synthetic_pairs", "dynamic"),
    pytest.param("efficientnet", "synthetic_forgeries", "attention", marks=pytest.mark.slow),
    pytest.param("efficientnet", "synthetic_forgeries", "xception", marks=pytest.mark.slow),
]
HEADS = {
    "dynamic": lambda: AdaCosHead(6, 3),
    "fixed": lambda: AdaCosHead(6, 3, dynamic=False),
    "p2sgrad": lambda: P2SGradHead(6, 3),
    **{name: partial(control_head, name, 6, 3, 8.0, 0.2, 0.3) for name in CONTROLS},
}

QUICK_HEADS = ("dynamic", "p2sgrad", "arcface")


@pytest.fixture
def graphs(monkeypatch):
    """Compile without generating code; the list grows by the name of the compiler with each graph."""
    traced = []

    def tracing(graph, inputs):
        traced.append("aot_eager")
        return torch._dynamo.lookup_backend(traced[-1])(graph, inputs)

    torch._dynamo.reset()
    make_fabric(make_config())  # Fabric notes the arguments of compilations after its import
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=tracing))
    yield traced
    torch._dynamo.reset()


def random_split(classes, frames):
    """Seven faces, or seven clips of ``frames`` or one frame less."""
    counts = frames - np.arange(ITEMS) % 2 if frames > 1 else np.ones(ITEMS, np.int64)
    rows = np.arange(counts.sum())
    images = np.random.default_rng(0).integers(0, 256, (len(rows), 32, 32), np.uint8)
    targets = np.arange(ITEMS) % classes
    clips = Clips(rows, counts, targets, tuple(f"C{n}" for n in range(ITEMS))) if frames > 1 else None
    return Split(images, rows, rows, np.repeat(targets, counts), clips)


def options_of(method, config):
    return read_section(method.options, {**config.recipe.model, "pretraining": "none"}, "model")


def small_config(method, dataset, arm):
    changes = {"recipe.epochs": EPOCHS, "recipe.batch_size": BATCH, "recipe.image_size": 32}
    if method == "efficientnet":  # maps of one pixel, Adam's first steps and large ones let rounding grow
        changes |= {"recipe.image_size": 64, "recipe.optimiser.name": "sgd", "recipe.optimiser.lr": 1e-3}
    return load_config(PARAMS, method, dataset, arm, 0, overrides=changes, smoke=True)


def trained(network, loss, view, split, config, folder, compiled):
    config = replace(config, runtime=replace(config.runtime, compile=compiled, threads=1))
    make_deterministic(config.runtime)
    seed_everything(0)
    fabric, epochs = make_fabric(config), iter(range(1, 1 + EPOCHS))
    checkpoint = Checkpoint(folder / f"{compiled}.pt", "x")
    return fit(network, loss, view, split, config, fabric, lambda n: (1.0, next(epochs) / 10), checkpoint)


def assert_alike(found, expected):
    assert [list(record) for record in found.history] == [list(record) for record in expected.history]
    for record, other in zip(found.history, expected.history, strict=True):
        assert record["train_loss"] == pytest.approx(other["train_loss"], rel=1e-3)
    assert list(found.weights) == list(expected.weights)
    for name, tensor in expected.weights.items():
        assert torch.allclose(found.weights[name].double(), tensor.double(), rtol=1e-2, atol=1e-3), name


def both(make, loss, view, split, config, folder):
    """Train the same network plainly and compiled."""
    for compiled in (False, True):
        torch.manual_seed(0)
        yield trained(make(), loss, view, split, config, folder, compiled)


@pytest.mark.parametrize(("name", "dataset", "arm"), ARMS)
def test_every_method_trains_compiled_as_it_does_plainly(graphs, tmp_path, name, dataset, arm):
    method, config = load_method(name), small_config(name, dataset, arm)
    options = options_of(method, config)
    view = method.view(options)
    classes = 2 if dataset == "synthetic_forgeries" else 3
    split = random_split(classes, 4 if view.in_clips else 1)
    plain, found = both(
        lambda: method.build_model(arm, options, classes, pretrained=False),
        method.build_loss(options, config.recipe.label_smoothing),
        view,
        split,
        config,
        tmp_path,
    )
    assert_alike(found, plain)
    assert graphs


def tiny_trunk():
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


@pytest.mark.parametrize(
    "name", [name if name in QUICK_HEADS else pytest.param(name, marks=pytest.mark.slow) for name in HEADS]
)
def test_every_head_trains_compiled_as_it_does_plainly(graphs, tmp_path, name):
    config = small_config("adacos", "synthetic_pairs", "dynamic")
    plain, found = both(
        lambda: EmbeddingClassifier(tiny_trunk(), HEADS[name]()),
        HeadLoss(),
        Faces(),
        random_split(3, 1),
        config,
        tmp_path,
    )
    assert_alike(found, plain)
    assert len(graphs) <= 4  # trunk and head, once for each size of a batch or once for all


@pytest.mark.slow
def test_triplets_train_compiled_as_they_do_plainly(graphs, tmp_path):
    method, config = (
        load_method("efficientnet"),
        small_config("efficientnet", "synthetic_forgeries", "attention_siamese"),
    )
    step, options = method.first_step, options_of(method, config)
    plain, found = both(
        lambda: step.build("attention_siamese", options),
        step.build_loss(config.recipe.triplets.margin, config.recipe.triplets.every),
        Triplets(ITEMS),
        random_split(2, 1),
        config,
        tmp_path,
    )
    assert_alike(found, plain)
    assert graphs


class Stop(Exception):  # noqa: N818
    """Stands for a kill."""


class StoppingCheckpoint(Checkpoint):
    """Dies once it has saved for the ninth time, within the second epoch."""

    count = 0

    def save(self, state):
        super().save(state)
        self.count += 1
        if self.count == 9:
            raise Stop


def test_a_compiled_run_resumes_and_keeps_the_names_of_its_weights(graphs, tmp_path):
    config = make_config(seconds=0.0, ema=0.9)
    plain = run(config, Checkpoint(tmp_path / "plain", "x"))
    config = replace(config, runtime=replace(config.runtime, compile=True))
    whole = run(config, Checkpoint(tmp_path / "whole", "x"))
    with pytest.raises(Stop):
        run(config, StoppingCheckpoint(tmp_path / "state", "x"))
    kept = torch.load(tmp_path / "state", weights_only=True)["modules"]["network"]
    resumed = run(config, Checkpoint(tmp_path / "state", "x"))
    assert resumed.history == whole.history
    assert all(torch.equal(tensor, resumed.weights[name]) for name, tensor in whole.weights.items())
    assert [record["val_loss"] for record in whole.history] == pytest.approx(
        [record["val_loss"] for record in plain.history], rel=1e-3
    )
    assert list(kept) == list(whole.weights) == list(TinyNet().state_dict())
    assert graphs


@pytest.mark.slow
def test_adacos_trains_with_generated_code(tmp_path):
    if not (shutil.which("g++") or shutil.which("c++")):
        pytest.skip("inductor needs a C++ compiler")
    torch._dynamo.reset()
    plain, found = both(
        lambda: EmbeddingClassifier(tiny_trunk(), AdaCosHead(6, 3)),
        HeadLoss(),
        Faces(),
        random_split(3, 1),
        small_config("adacos", "synthetic_pairs", "dynamic"),
        tmp_path,
    )
    assert_alike(found, plain)
    assert plain.weights["head.scale"] != AdaCosHead(6, 3).scale
