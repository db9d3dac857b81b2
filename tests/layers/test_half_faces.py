"""Covers, softened answers, triplets and the bank against plain loops, and the traps of each."""

import math

import pytest
import torch

from fer_repro.layers.half_faces import (
    COVERS,
    EmbeddingBank,
    batch_triplet_loss,
    lower_visible,
    soft_divergence,
    triplet_hinges,
    upper_visible,
)

CLASSES = [2, 0, 1, 0, 2, 0]


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("height", [1, 2, 5, 48, 49])
def test_both_halves_add_up_to_the_face(height):
    """Trap: rows counted by H // 2 for both halves lose or double the middle row of an odd height."""
    images = random(2, 3, height, 4)
    kept = images.clone()
    lower, upper = lower_visible(images), upper_visible(images)
    assert torch.equal(lower + upper, images)
    assert torch.equal(images, kept), "covers copy"
    rows = -(-height // 2)
    assert (lower[..., :rows, :] == 0).all()
    assert torch.equal(upper[..., :rows, :], images[..., :rows, :])
    assert torch.equal(COVERS["whole"](images, 0.5), images)


def test_the_fill_is_where_the_cover_is():
    covered = lower_visible(torch.zeros(1, 3, 5, 5), 0.25)
    assert covered[0, 0, :, 0].tolist() == [0.25, 0.25, 0.25, 0, 0]
    assert upper_visible(torch.zeros(1, 3, 5, 5), 0.25)[0, 0, :, 0].tolist() == [0, 0, 0, 0.25, 0.25]


def by_hand(student, teacher, temperature):
    total = 0.0
    for zs, zt in zip(student.tolist(), teacher.tolist(), strict=True):
        wanted, said = ([math.exp(z / temperature) for z in row] for row in (zt, zs))
        wanted, said = ([e / sum(row) for e in row] for row in (wanted, said))
        total += sum(p * math.log(p / q) for p, q in zip(wanted, said, strict=True))
    return total / len(student)


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_the_divergence_equals_the_loop(temperature):
    student, teacher = 2 * random(5, 7), 3 * random(5, 7, seed=1)
    expected = by_hand(student, teacher, temperature)
    found = soft_divergence(student, teacher, temperature, squared=False)
    assert found.item() == pytest.approx(expected, rel=1e-9)
    squared = soft_divergence(student, teacher, temperature, squared=True)
    assert squared.item() == pytest.approx(temperature**2 * expected, rel=1e-9)
    assert soft_divergence(teacher, teacher, temperature, squared=True).item() == pytest.approx(0, abs=1e-12)


def test_only_the_square_keeps_gradients_at_high_temperature():
    """Trap: without T^2 the divergence of T = 20 hardly moves the student beside the cross-entropy."""
    norms = {}
    for squared in (False, True):
        for temperature in (20.0, 40.0):
            student = random(5, 7).requires_grad_()
            soft_divergence(student, random(5, 7, seed=1), temperature, squared).backward()
            norms[squared, temperature] = student.grad.norm().item()
    assert norms[True, 40.0] == pytest.approx(norms[True, 20.0], rel=0.05)
    assert norms[False, 40.0] == pytest.approx(norms[False, 20.0] / 4, rel=0.05)


def distance_by_hand(first, second, distance):
    squared = sum((x - y) ** 2 for x, y in zip(first, second, strict=True))
    return squared if distance == "squared" else math.sqrt(squared)


def hinges_by_hand(anchors, positives, classes, margin, distance):
    """Anchor -> the hinges of all its negatives."""
    return [
        [
            max(
                0.0,
                distance_by_hand(a, p, distance) - distance_by_hand(a, anchors[n], distance) + margin,
            )
            for n, other in enumerate(classes)
            if other != own
        ]
        for a, p, own in zip(anchors, positives, classes, strict=True)
    ]


@pytest.mark.parametrize("distance", ["squared", "plain"])
@pytest.mark.parametrize("margin", [0.2, 0.6])
def test_the_triplet_loss_equals_the_loop(distance, margin):
    anchors, positives = random(6, 3), random(6, 3, seed=1)
    hinges = hinges_by_hand(anchors.tolist(), positives.tolist(), CLASSES, margin, distance)
    every = [hinge for each in hinges for hinge in each]
    assert 0 < sum(hinge > 0 for hinge in every) < len(every)
    arguments = anchors, positives, torch.tensor(CLASSES), margin, distance
    expected = sum(every) / len(every)
    assert batch_triplet_loss(*arguments, "every").item() == pytest.approx(expected, rel=1e-9)
    expected = sum(max(each) for each in hinges) / len(hinges)
    assert batch_triplet_loss(*arguments, "nearest").item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("distance", ["squared", "plain"])
def test_no_gradient_passes_through_the_positive(distance):
    anchors, positives = random(6, 3).requires_grad_(), random(6, 3, seed=1).requires_grad_()
    batch_triplet_loss(anchors, positives, torch.tensor(CLASSES), 1.0, distance).backward()
    assert positives.grad is None
    assert (anchors.grad.norm(dim=1) > 0).all()
    assert torch.isfinite(anchors.grad).all()


def test_the_negative_gets_a_gradient():
    """It is the student's own: the loss moves it away from the anchor."""
    anchor, positive, negative = (random(1, 3, seed=seed).requires_grad_() for seed in range(3))
    triplet_hinges(anchor, positive, negative, 5.0, "squared").sum().backward()
    torch.testing.assert_close(negative.grad, 2 * (anchor - negative).detach())


@pytest.mark.parametrize("negatives", ["every", "nearest"])
def test_a_class_may_have_one_face_in_a_batch(negatives):
    """Trap: positives taken from the batch itself leave a single face of a class without any."""
    classes = torch.tensor([0, 0, 1])
    anchors, positives = random(3, 4).requires_grad_(), random(3, 4, seed=1)
    batch_triplet_loss(anchors, positives, classes, 3.0, "squared", negatives).backward()
    assert anchors.grad[2].norm() > 0


@pytest.mark.parametrize("negatives", ["every", "nearest"])
def test_a_batch_of_one_class_has_no_triplets(negatives):
    anchors = random(3, 4).requires_grad_()
    loss = batch_triplet_loss(anchors, random(3, 4, seed=1), torch.zeros(3).long(), 1.0, "plain", negatives)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(anchors.grad, torch.zeros_like(anchors))


def test_the_bank_draws_from_each_class():
    targets = torch.tensor([3, 0, 1, 0, 3, 3])
    embeddings = torch.arange(6.0)[:, None].expand(6, 2)
    torch.manual_seed(0)
    drawn = EmbeddingBank(embeddings, targets, classes=5)(200)
    assert drawn.shape == (200, 5, 2)
    assert torch.equal(drawn[..., 0], drawn[..., 1])
    found = [set(drawn[:, label, 0].tolist()) for label in range(5)]
    assert found == [{1, 3}, {2}, {0}, {0, 4, 5}, {0}]  # classes 2 and 4 have no face


def test_a_shuffled_bank_holds_the_same_embeddings():
    targets, embeddings = torch.arange(40) % 4, random(40, 3)
    torch.manual_seed(0)
    plain, shuffled = (EmbeddingBank(embeddings, targets, 4, flag) for flag in (False, True))
    assert not torch.equal(plain.embeddings, shuffled.embeddings)
    ordered = [bank.embeddings[bank.embeddings[:, 0].argsort()] for bank in (plain, shuffled)]
    assert torch.equal(*ordered)
    members = {tuple(row) for row in embeddings[targets == 2].tolist()}
    assert {tuple(row) for row in plain(50)[:, 2].tolist()} <= members
    assert not {tuple(row) for row in shuffled(50)[:, 2].tolist()} <= members
