"""Cascade algebra and Gabor kernels equal independent float64 numbers, the kernels those of OpenCV."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fer_repro.layers.gabor import gabor_kernel
from fer_repro.measures.cascades import hard_decision, independent_accuracy, soft_decision
from fer_repro.methods.cascade import decided_classes, soft_logarithms

TOLERANCE = 1e-9
GOLDENS = Path(__file__).parents[1] / "goldens"
GOLDEN = json.loads((GOLDENS / "cascade_gabor.json").read_text())
CLASSES = GOLDEN["classes"]
LABELS = np.array(GOLDEN["labels"])
KEPT = [GOLDEN["paper_order"], ["sad", "neutral", "surprise", "happy"]]


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDENS / "cascade_gabor.npz") as found:
        return {key: found[key] for key in found.files}


def same(ours, golden):
    assert ours.shape == golden.shape
    assert np.linalg.norm(ours - golden) <= TOLERANCE * np.linalg.norm(golden)


def given(golden, order):
    return np.stack([golden[f"p_{name}"] for name in order], axis=1), golden["q"]


def decided(order):
    return [CLASSES.index(name) for name in order]


@pytest.mark.parametrize("order", KEPT, ids="_".join)
def test_soft_and_hard_decisions(golden, order):
    stages, rest = given(golden, order)
    same(soft_decision(stages, rest, decided(order)), golden[f"soft_{'_'.join(order)}"])
    answers = hard_decision(stages, rest, decided(order))
    assert (answers == golden[f"hard_{'_'.join(order)}_tau0.5"]).all()


@pytest.mark.parametrize("order", KEPT, ids="_".join)
def test_the_networks_logarithms_are_the_soft_decision(golden, order):
    stages, rest = (torch.from_numpy(each) for each in given(golden, order))
    found = soft_logarithms(stages.logit(), rest.log(), decided(order))
    same(found.exp().numpy(), golden[f"soft_{'_'.join(order)}"])


@pytest.mark.parametrize(
    "case", GOLDEN["orders"], ids=lambda case: f"{'_'.join(case['order'])}-{case['tau']}"
)
def test_all_orders_at_both_thresholds(golden, case):
    stages, rest = given(golden, case["order"])
    soft = soft_decision(stages, rest, decided(case["order"]))
    hard = hard_decision(stages, rest, decided(case["order"]), case["tau"])
    answers = soft.argmax(1)
    assert (answers == LABELS).mean() == pytest.approx(case["soft_accuracy"], rel=TOLERANCE)
    assert (hard == LABELS).mean() == pytest.approx(case["hard_accuracy"], rel=TOLERANCE)
    assert (hard != answers).sum() == case["disagree"]
    loss = -np.log(soft[np.arange(len(LABELS)), LABELS]).mean()
    assert loss == pytest.approx(case["soft_log_loss"], rel=TOLERANCE)


def test_every_order_is_there_twice():
    kept = [(*case["order"], case["tau"]) for case in GOLDEN["orders"]]
    orders = itertools.permutations(GOLDEN["paper_order"])
    assert sorted(kept) == sorted((*order, tau) for order in orders for tau in (0.5, 0.7))


def test_the_accuracy_of_independent_errors():
    case = GOLDEN["expected_accuracy"]
    order = decided(GOLDEN["paper_order"])
    assert list(case["counts"]) == CLASSES
    rates = np.array(case["fpr"])
    for place, name in enumerate(GOLDEN["paper_order"]):
        rates[place, order[place]] = case["tpr"][name]
    last = dict(zip(decided(GOLDEN["last_stage"]), case["last_stage_recall"], strict=True))
    found = independent_accuracy(rates, last, order, list(case["counts"].values()))
    assert found == pytest.approx(case["value"], rel=TOLERANCE)


@pytest.mark.parametrize("case", GOLDEN["gabor"], ids=lambda case: case["tag"])
def test_gabor_kernels_are_those_of_opencv(golden, case):
    numbers = [case[key] for key in ("ksize", "sigma", "theta", "lambd", "gamma", "psi")]
    same(gabor_kernel(*numbers).numpy(), golden[case["tag"]])


def test_the_papers_order_is_found_in_fer2013():
    assert list(decided_classes(" ".join(GOLDEN["paper_order"]), CLASSES)) == decided(GOLDEN["paper_order"])
