"""Distillation, triplets and covers equal an independent evaluation of the formulas, in float64."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from fer_repro.layers.half_faces import lower_visible, soft_divergence, triplet_hinges, upper_visible
from fer_repro.methods.distillation import DistillationLoss, StudentOutput

GOLDENS = Path(__file__).parent.parent / "goldens"
TOLERANCE = 1e-9
DESCRIBED = json.loads((GOLDENS / "distillation_triplet.json").read_text())
DISTANCES = ("squared", "plain")


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDENS / "distillation_triplet.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def same(ours, golden):
    assert ours.shape == golden.shape
    assert ours.dtype == torch.float64
    assert (ours - golden).norm() <= TOLERANCE * golden.norm()


def answers(golden, fill, tag):
    """The student's logits and the teacher's, which the golden file made from the same names."""
    student, teacher = golden[f"{tag}_student"], golden[f"{tag}_teacher"]
    same(2 * torch.from_numpy(fill(f"kd_s_{tag}", student.shape)), student)
    same(3 * torch.from_numpy(fill(f"kd_t_{tag}", teacher.shape)), teacher)
    return student.clone().requires_grad_(), teacher.clone().requires_grad_()


@pytest.mark.parametrize("case", DESCRIBED["distillation"], ids=lambda case: case["tag"])
def test_the_divergence_equals_the_golden_one(golden, fill, case):
    tag, temperature = case["tag"], case["temperature"]
    student, teacher = answers(golden, fill, tag)
    divergence = soft_divergence(student, teacher, temperature, squared=False)
    assert divergence.item() == pytest.approx(case["kl"], rel=TOLERANCE)
    divergence.backward()
    assert teacher.grad is None
    same(student.grad, golden[f"{tag}_grad_kl"])
    with torch.no_grad():
        rows = zip(student, teacher, strict=True)
        each = [soft_divergence(s[None], t[None], temperature, squared=False) for s, t in rows]
        wanted = (teacher / temperature).softmax(1)
        entropy = -(wanted * wanted.log()).sum(1)  # by which the soft cross-entropy is larger
    same(torch.stack(each), golden[f"{tag}_kl_per_sample"])
    same(torch.stack(each) + entropy, golden[f"{tag}_soft_ce_per_sample"])


@pytest.mark.parametrize("squared", [False, True], ids=["plain", "T2"])
@pytest.mark.parametrize("case", DESCRIBED["distillation"], ids=lambda case: case["tag"])
def test_the_whole_loss_equals_the_golden_one(golden, fill, options, case, squared):
    student, teacher = answers(golden, fill, case["tag"])
    changed = {"kl_weight": case["lam"], "temperature": case["temperature"], "squared_temperature": squared}
    loss = DistillationLoss(options(**changed))(
        StudentOutput(student, student, teacher), torch.tensor(case["labels"])
    )
    name = "total_T2" if squared else "total"
    assert loss.item() == pytest.approx(case[name], rel=TOLERANCE)
    loss.backward()
    same(student.grad, golden[f"{case['tag']}_grad_{name}"])
    entropy = cross_entropy(student.detach(), torch.tensor(case["labels"]))
    assert entropy.item() == pytest.approx(case["cross_entropy"], rel=TOLERANCE)


def triplet(golden, fill, tag):
    anchor, positive, negative = (golden[f"{tag}_{part}"] for part in ("anchor", "positive", "negative"))
    made = [torch.from_numpy(fill(f"tri_{part}_{tag}", anchor.shape)) for part in "apn"]
    same(made[0], anchor)
    same(made[0] + 0.4 * made[1], positive)
    same(made[2] + 0.3 * made[0], negative)
    return [part.clone().requires_grad_() for part in (anchor, positive, negative)]


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("case", DESCRIBED["triplets"], ids=lambda case: case["tag"])
def test_triplets_equal_the_golden_ones(golden, fill, case, distance):
    """All of these are in order by more than their margin: the golden losses and gradients are 0."""
    tag = case["tag"]
    anchor, positive, negative = triplet(golden, fill, tag)
    hinges = triplet_hinges(anchor, positive, negative, case["margin"], distance)
    assert torch.equal(hinges.detach(), golden[f"{tag}_{distance}"])
    assert (hinges > 0).sum() == case[f"active_{distance}"] == 0
    hinges.mean().backward()
    for part, tensor in (("anchor", anchor), ("negative", negative)):
        assert torch.equal(tensor.grad, golden[f"{tag}_{distance}_grad_{part}"])


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("case", DESCRIBED["triplets"], ids=lambda case: case["tag"])
def test_swapped_triplets_follow_the_formula(golden, fill, case, distance):
    """With positive and negative exchanged every triplet counts, so that losses and gradients show."""
    anchor, negative, positive = triplet(golden, fill, case["tag"])
    hinges = triplet_hinges(anchor, positive, negative, case["margin"], distance)
    hinges.mean().backward()
    a, p, n = (part.detach() for part in (anchor, positive, negative))
    near, far = (a - p).norm(dim=1, keepdim=True), (a - n).norm(dim=1, keepdim=True)
    if distance == "squared":
        expected = (near**2 - far**2).squeeze(1) + case["margin"]
        pull, push = 2 * (a - p), 2 * (a - n)
    else:
        expected, pull, push = (near - far).squeeze(1) + case["margin"], (a - p) / near, (a - n) / far
    assert (expected > 0).all()
    same(hinges.detach(), expected)
    same(anchor.grad, (pull - push) / len(a))
    same(negative.grad, push / len(a))
    assert positive.grad is None


@pytest.mark.parametrize("case", DESCRIBED["occlusions"], ids=lambda case: case["tag"])
def test_covers_equal_the_golden_ones(golden, image, case):
    tag = case["tag"]
    images = torch.from_numpy(image(f"occ_{tag}", (2, case["h"], case["w"])))
    for name, cover in (("lower_visible", lower_visible), ("upper_visible", upper_visible)):
        assert torch.equal(cover(images, case["fill"]), golden[f"occ_{tag}_{name}"])
    covered = (lower_visible(images, 2.0) == 2).all(dim=(0, 2)).sum()
    assert covered == case["rows_covered_for_lower_visible"]
