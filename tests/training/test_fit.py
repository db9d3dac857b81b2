import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_run
import torch
from tiny_run import PARAMS, PlainNet, TinyNet, make_config, make_split, run, validate_on
from torch import nn

from fer_repro.config import OptimiserConfig
from fer_repro.datasets.store import write_store
from fer_repro.errors import UserError
from fer_repro.pipeline.run import train_run
from fer_repro.training.checkpoint import Checkpoint, save_weights
from fer_repro.training.progress import Progress
from fer_repro.training.seeding import make_deterministic

STEPS = 6  # 45 samples in batches of 8


class Stop(Exception):  # noqa: N818
    """Stands for a kill."""


class StoppingCheckpoint(Checkpoint):
    """Saves after every step and dies at a chosen one."""

    def __init__(self, path, stamp, last):
        super().__init__(path, stamp)
        self.last, self.count = last, 0

    def save(self, state):
        super().save(state)
        self.count += 1
        if self.count == self.last:
            raise Stop


def same(first, second):
    return first.history == second.history and all(
        torch.equal(tensor, second.weights[name]) for name, tensor in first.weights.items()
    )


def test_equal_runs_are_bit_identical_and_seeds_differ(tmp_path):
    first = run(make_config(), Checkpoint(tmp_path / "a", "x"))
    second = run(make_config(), Checkpoint(tmp_path / "b", "x"))
    assert same(first, second)
    assert len(first.history) == 3
    assert first.images == 3 * 45
    assert list(first.weights) == list(tiny_run.TinyNet().state_dict())


@pytest.mark.parametrize("schedule", ["one_cycle", "plateau", "steps"])
@pytest.mark.parametrize("last", [1, 5, 6, 7, 8, 13, 20])
def test_a_run_stopped_at_any_step_resumes_bit_identically(tmp_path, schedule, last):
    config = make_config(schedule)
    whole = run(config, Checkpoint(tmp_path / "whole", "x"))
    with pytest.raises(Stop):
        run(config, StoppingCheckpoint(tmp_path / "state", "x", last))
    torch.manual_seed(99)
    resumed = run(config, Checkpoint(tmp_path / "state", "x"))
    assert same(whole, resumed)
    assert resumed.images < whole.images


@pytest.mark.parametrize("name", ["radam", "adamw", "sgd"])
def test_every_optimiser_resumes(tmp_path, name):
    config = make_config()
    optimiser = type(config.recipe.optimiser)(name, 0.01, 0.001, 0.9)
    config = make_config(optimiser=optimiser)
    whole = run(config, Checkpoint(tmp_path / "whole", "x"))
    with pytest.raises(Stop):
        run(config, StoppingCheckpoint(tmp_path / "state", "x", 10))
    assert same(whole, run(config, Checkpoint(tmp_path / "state", "x")))


def test_a_killed_process_resumes_bit_identically(tmp_path):
    def start(state, result, pause):
        command = [sys.executable, tiny_run.__file__, str(state), str(result), str(pause)]
        root = Path(tiny_run.__file__).parents[2]
        return subprocess.Popen(command, cwd=root, stderr=subprocess.DEVNULL)

    state, result = tmp_path / "state.pt", tmp_path / "result.pt"
    process = start(state, result, 0.2)
    until = time.monotonic() + 240
    while not state.exists() and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert state.exists()
    assert not result.exists()
    resumed_from = torch.load(state, weights_only=True)["state"]
    assert 0 < resumed_from["epoch"] * STEPS + resumed_from["step"] < 3 * STEPS
    assert start(state, result, 0.001).wait() == 0
    found = torch.load(result, weights_only=True)
    whole = run(make_config(), Checkpoint(tmp_path / "whole", "x"))
    assert found["history"] == whole.history
    assert all(torch.equal(found["weights"][name], tensor) for name, tensor in whole.weights.items())


@pytest.mark.parametrize(("seconds", "expected"), [(0.0, 3 * STEPS + 3), (1e9, 1)])
def test_checkpoints_are_written_when_they_are_due_and_at_the_end(tmp_path, seconds, expected):
    checkpoint = StoppingCheckpoint(tmp_path / "s", "x", last=0)
    whole = run(make_config(seconds=seconds), checkpoint)
    assert checkpoint.count == expected
    again = run(
        make_config(), Checkpoint(tmp_path / "s", "x"), validate=lambda network: pytest.fail("trained")
    )
    assert same(whole, again)


def test_a_finished_run_is_not_trained_again(tmp_path):
    first = run(make_config(), Checkpoint(tmp_path / "s", "x"))
    second = run(
        make_config(), Checkpoint(tmp_path / "s", "x"), validate=lambda network: pytest.fail("trained")
    )
    assert same(first, second)
    assert second.images == 0


def scripted(accuracies):
    """A validation that gives these accuracies in turn."""
    left = iter(accuracies)
    return lambda network: (1.0, next(left))


def test_selection_keeps_the_first_of_equal_epochs(tmp_path):
    fitted = run(make_config(epochs=4), Checkpoint(tmp_path / "s", "x"), scripted([0.1, 0.5, 0.5, 0.4]))
    assert fitted.best_epoch == 2
    assert fitted.best == 0.5
    assert [record["best"] for record in fitted.history] == [1, 1, 0, 0]


def test_early_stop_allows_that_many_epochs_without_gain(tmp_path):
    accuracies = [0.1, 0.5, 0.4, 0.5, 0.3, 0.9]
    fitted = run(make_config(epochs=6, early_stop=2), Checkpoint(tmp_path / "s", "x"), scripted(accuracies))
    assert len(fitted.history) == 5  # the third epoch in a row without gain stops


def test_epoch_accuracy_is_the_mean_over_samples(tmp_path):
    """Frozen weights, no augmentation effect: recomputed with a naive loop over single samples."""
    config = make_config(epochs=1)
    records = []
    outputs = []

    class Spy(nn.CrossEntropyLoss):
        def forward(self, logits, targets):
            outputs.append((logits.detach(), targets))
            return super().forward(logits, targets)

    run(config, Checkpoint(tmp_path / "s", "x"), log=records.append, loss=Spy())
    right, total, count = 0, 0.0, 0
    for logits, targets in outputs:
        for row, target in zip(logits, targets, strict=True):
            right += int(row.argmax() == target)
            total += float(nn.functional.cross_entropy(row[None].double(), target[None]))
            count += 1
    assert count == 45
    assert records[0]["train_accuracy"] == right / 45
    assert records[0]["train_loss"] == pytest.approx(total / 45, rel=1e-6)


def test_parameters_of_the_loss_are_trained_and_kept(tmp_path):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, logits, targets):
            return nn.functional.cross_entropy(logits * self.scale, targets)

    loss = Scaled()
    run(make_config(), Checkpoint(tmp_path / "s", "x"), loss=loss)
    assert loss.scale.item() != 1
    again = Scaled()
    run(make_config(), Checkpoint(tmp_path / "s", "x"), loss=again)
    assert again.scale.item() == loss.scale.item()


def test_a_diverged_run_names_the_rate(tmp_path):
    class Diverging(nn.CrossEntropyLoss):
        def forward(self, logits, targets):
            return super().forward(logits, targets) * float("nan")

    with pytest.raises(UserError, match=r"loss is nan in epoch 1; try a lower recipe.optimiser.lr"):
        run(make_config(), Checkpoint(tmp_path / "s", "x"), loss=Diverging())


def test_the_tiny_run_learns(tmp_path):
    fitted = run(
        make_config(epochs=12),
        Checkpoint(
            tmp_path / "s",
            "x",
        ),
        validate_on(make_split()),
    )
    assert fitted.best > 0.6


def test_the_log_tells_of_every_epoch(tmp_path, capsys):
    run(make_config(epochs=2), Checkpoint(tmp_path / "s", "x"))
    lines = [line for line in capsys.readouterr().err.splitlines() if "epoch" in line]
    assert len(lines) == 2
    assert lines[0].startswith("synthetic/rmn/1/masked  epoch 1/2  loss ")
    assert "images/s" in lines[0]
    assert lines[1].endswith("0 s left")


def test_long_trainings_say_so_and_log_by_time(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    progress = Progress("fer2013/rmn/0/masked", 51, 599, 28709, faster="a GPU would help")
    for _ in range(3):
        clock[0] += 66.68
        progress.step()
    said = capsys.readouterr().err.splitlines()
    assert said[0] == (
        "fer2013/rmn/0/masked: about 24 days for this arm on this machine: 30548 steps at 66.7 s, "
        "and validation; a GPU would help"
    )
    assert said[1:] == [
        f"fer2013/rmn/0/masked  step {n} of 30549  66.7 s a step  24 days left" for n in (1, 2, 3)
    ]


def test_short_trainings_log_no_steps(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    progress = Progress("synthetic/rmn/0/masked", 2, 20, 600)
    for _ in range(40):
        clock[0] += 1.0
        progress.step()
    assert capsys.readouterr().err == ""


def trained_weights(tmp_path, name, **recipe):
    """The last weights of a run without dropout's and batch norm's dependence on how a batch is cut."""
    config = make_config("constant", epochs=2, optimiser=OptimiserConfig("sgd", 0.05, 0.0, 0.9), **recipe)
    torch.manual_seed(0)
    return run(config, Checkpoint(tmp_path / name, "x"), scripted([0.1, 0.9]), network=PlainNet()).weights


def test_a_batch_in_parts_is_one_step_of_the_whole_batch(tmp_path):
    whole = trained_weights(tmp_path, "one", batch_size=15)
    parts = trained_weights(tmp_path, "three", batch_size=15, accumulate=4)  # unequal parts
    for name, tensor in whole.items():
        assert torch.allclose(tensor, parts[name], atol=1e-5), name
    halves = trained_weights(tmp_path, "half", batch_size=4)
    assert not torch.allclose(whole["head.weight"], halves["head.weight"], atol=1e-4)


def test_a_clipped_gradient_has_that_norm(tmp_path):
    """Plain gradient descent moves by rate times the clipped norm."""
    sgd = OptimiserConfig("sgd", 0.5, 0.0, 0.0)
    network = PlainNet()
    before = [parameter.detach().clone() for parameter in network.parameters()]
    config = make_config("constant", epochs=1, batch_size=45, optimiser=sgd, clip_norm=0.01)
    run(config, Checkpoint(tmp_path / "s", "x"), network=network)
    moved = [after.detach() - start for start, after in zip(before, network.parameters(), strict=True)]
    assert torch.cat([each.flatten() for each in moved]).norm() == pytest.approx(0.5 * 0.01, rel=1e-3)


def test_the_average_of_weights_is_judged_and_kept(tmp_path):
    """Recomputed by the naive loop over the weights after each step."""
    seen, states = [], []

    class Spy(Checkpoint):
        def save(self, state):
            states.append({k: v.clone() for k, v in state["modules"]["network"].items()})
            super().save(state)

    def validate(network):
        seen.append(network.head.weight.detach().clone())
        return 1.0, float(len(seen))

    config = make_config(epochs=2, ema=0.4)
    fitted = run(config, Spy(tmp_path / "s", "x"), validate)
    steps = [states[i] for i in (*range(6), *range(7, 13))]  # one save a step and one an epoch
    average = steps[0]["head.weight"]
    for count, state in enumerate(steps[1:], 1):
        kept = min(0.4, (1 + count) / (10 + count))  # 0.18, 0.25, ... 0.4 from the fifth on
        average = kept * average + (1 - kept) * state["head.weight"]
    assert torch.allclose(fitted.weights["head.weight"], average, atol=1e-6)
    assert torch.equal(fitted.weights["head.weight"], seen[-1])
    assert not torch.allclose(fitted.weights["head.weight"], steps[-1]["head.weight"], atol=1e-4)


def test_the_arms_rate_is_the_one_that_trains(tmp_path):
    config = make_config("constant")
    tuned = replace(config, recipe=replace(config.recipe, arm_rate=0.25))
    found = run(tuned, Checkpoint(tmp_path / "s", "x"))
    assert {record["lr"] for record in found.history} == {0.25}


@pytest.mark.parametrize("last", [3, 9])
def test_average_parts_and_clipping_resume_bit_identically(tmp_path, last):
    config = make_config(ema=0.9, accumulate=2, clip_norm=0.5)
    whole = run(config, Checkpoint(tmp_path / "whole", "x"))
    with pytest.raises(Stop):
        run(config, StoppingCheckpoint(tmp_path / "state", "x", last))
    assert same(whole, run(config, Checkpoint(tmp_path / "state", "x")))


def test_mixed_precision_resumes(tmp_path):
    config = make_config()
    config = replace(config, recipe=replace(config.recipe, precision="bf16-mixed"))
    whole = run(config, Checkpoint(tmp_path / "whole", "x"))
    with pytest.raises(Stop):
        run(config, StoppingCheckpoint(tmp_path / "state", "x", 9))
    assert same(whole, run(config, Checkpoint(tmp_path / "state", "x")))
    assert whole.history != run(make_config(), Checkpoint(tmp_path / "full", "x")).history


def test_the_pace_of_every_epoch_is_told(tmp_path):
    fitted = run(make_config(), Checkpoint(tmp_path / "s", "x"))
    assert [pace["epoch"] for pace in fitted.paces] == [1, 2, 3]
    for pace in fitted.paces:
        assert 0 < pace["data_share"] < 1
        assert pace["images_per_second"] == pytest.approx(45 / pace["seconds"], rel=0.2)
        assert 50 < pace["memory_mb"] < 50_000
    assert fitted.seconds == pytest.approx(sum(pace["seconds"] for pace in fitted.paces))


def test_faster_algorithms_are_allowed_when_determinism_is_not_asked_for():
    runtime = make_config().runtime
    make_deterministic(replace(runtime, deterministic=False))
    assert not torch.are_deterministic_algorithms_enabled()
    make_deterministic(runtime)
    assert torch.are_deterministic_algorithms_enabled()


class FrozenNormNet(TinyNet):
    """Batch norm that stays in evaluation mode normalises nothing by what it sees."""

    def train(self, mode=True):
        super().train(mode)
        self.body[1].eval()
        return self


class CountingNet(TinyNet):
    """Notes how many images every training pass sees."""

    def forward(self, images):
        if self.training:
            self.seen.append(len(images))
        return super().forward(images)


@pytest.mark.parametrize(
    ("count", "batch_size", "accumulate", "parts"),
    [
        (34, 32, 2, [17, 17]),  # no last batch of two in halves
        (35, 32, 2, [17, 18]),
        (36, 32, 2, [16, 16, 2, 2]),
        (37, 32, 3, [12, 12, 13]),
        (33, 32, 1, [33]),
        (4, 4, 2, [2, 2]),
        (2, 32, 1, [2]),
    ],
)
def test_every_part_holds_two_items_for_batch_norm(tmp_path, count, batch_size, accumulate, parts):
    network = CountingNet()
    network.seen = []
    config = make_config(epochs=1, batch_size=batch_size, accumulate=accumulate)
    run(config, Checkpoint(tmp_path / "s", "x"), network=network, split=make_split(count))
    assert network.seen == parts


@pytest.mark.parametrize(
    ("count", "batch_size", "accumulate", "least"),
    [(45, 1, 1, 2), (45, 8, 5, 10), (45, 8, 9, 18), (1, 8, 1, 2), (3, 8, 2, 4)],
)
def test_batch_norm_over_single_items_is_refused(tmp_path, count, batch_size, accumulate, least):
    config = make_config(epochs=1, batch_size=batch_size, accumulate=accumulate)
    with pytest.raises(UserError, match=r"batch norm needs two items in each part") as caught:
        run(config, Checkpoint(tmp_path / "s", "x"), split=make_split(count))
    for message in (f"{count} training items", f"batch_size {batch_size}", f"accumulate {accumulate}"):
        assert message in str(caught.value)
    assert f"of {least} or more" in str(caught.value)


@pytest.mark.parametrize("make", [PlainNet, FrozenNormNet])
def test_single_items_train_without_batch_norm(tmp_path, make):
    config = make_config(epochs=1, batch_size=1)
    fitted = run(config, Checkpoint(tmp_path / "s", "x"), network=make(), split=make_split(3))
    assert fitted.images == 3
    run(
        make_config(epochs=1, batch_size=1),
        Checkpoint(tmp_path / "t", "x"),
        network=make(),
        split=make_split(1),
    )


def test_more_parts_than_items_are_refused_without_batch_norm(tmp_path):
    config = make_config(epochs=1, batch_size=4, accumulate=5)
    with pytest.raises(UserError, match=r"batch_size 4 and accumulate 5 .*each part needs an item"):
        run(config, Checkpoint(tmp_path / "s", "x"), network=PlainNet())


@pytest.mark.parametrize("changes", [{"batch_size": 32, "accumulate": 2}, {"batch_size": 1}])
def test_a_run_trains_on_pairs_of_images_or_says_why_not(tmp_path, changes):
    counts = (34, 4, 4)
    images = np.random.default_rng(0).integers(0, 256, (42, 32, 32)).astype(np.uint8)
    samples = pd.DataFrame({"image": range(42), "label": np.arange(42) % 2, "subject": "", "clip": ""})
    samples["split"] = np.repeat(["train", "val", "test"], counts)
    write_store(tmp_path / "prepared" / "synthetic", "synthetic", ("happy", "sad"), images, samples, {})
    roots = {f"{name}_root": tmp_path / name for name in ("ckpt", "timings", "out", "prepared")}
    small = {"recipe.model.width": 4, "recipe.epochs": 1, "recipe.tta_copies": 0, "recipe.image_size": 32}
    overrides = {**small, "runtime.threads": 1, **{f"recipe.{key}": value for key, value in changes.items()}}

    def train():
        return train_run(PARAMS, "rmn", "synthetic", 0, overrides=overrides, arms=["no_mask"], **roots)

    if changes["batch_size"] > 1:
        assert train().metrics["no_mask"]["epochs"] == 1
        return
    with pytest.raises(UserError, match=r"batch_size 1 and accumulate 1 .*batch norm needs two items"):
        train()
    assert not list(tmp_path.glob("out/**/*.*"))


@pytest.mark.parametrize("selection", ["accuracy", "loss"])
@pytest.mark.parametrize("found", [(float("nan"), 1.0), (float("inf"), 1.0), (1.0, float("nan"))])
def test_a_network_that_diverged_in_its_last_step_is_not_chosen(tmp_path, selection, found):
    """Its training loss is still finite, and the largest of NaN would be the first class: all right, here."""
    calls = []

    def validate(network):
        calls.append(network)
        return (1.0, 0.5) if len(calls) == 1 else found

    with pytest.raises(
        UserError, match=r"validation gives loss .* in epoch 2; try a lower recipe.optimiser.lr"
    ):
        run(make_config(selection=selection), Checkpoint(tmp_path / "state", "x"), validate=validate)


def test_weights_that_are_not_finite_are_not_written(tmp_path):
    with pytest.raises(UserError, match=r"weights.safetensors: 1 of 2 numbers of 'b' are not finite"):
        save_weights(
            tmp_path / "weights.safetensors", {"a": torch.ones(2), "b": torch.tensor([1, torch.nan])}
        )
    assert list(tmp_path.iterdir()) == []
