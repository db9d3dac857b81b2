import pytest
import torch

from fer_repro.errors import UserError
from fer_repro.layers.triplets import Embeddings, TripletLoss, every_triplet_loss, triplet_loss


def test_every_triplet_counts_and_both_kinds_weigh_the_same():
    embeddings = torch.randn(7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    classes = torch.tensor([1, 0, 1, 1, 0, 1, 1])
    losses: dict[int, list[float]] = {0: [], 1: []}
    for a in range(7):
        for p in range(7):
            for n in range(7):
                if a != p and classes[a] == classes[p] != classes[n]:
                    near, far = ((embeddings[a] - embeddings[other]).norm() for other in (p, n))
                    losses[int(classes[a])].append(max(0.0, float(near - far + 0.8)))
    assert [len(part) for part in losses.values()] == [10, 40]
    expected = sum(sum(part) / len(part) for part in losses.values()) / 2
    assert every_triplet_loss(embeddings, classes, margin=0.8).item() == pytest.approx(expected, abs=1e-12)


def test_it_pulls_classes_apart():
    embeddings = torch.randn(8, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    classes = torch.tensor([0, 1] * 4)
    optimiser = torch.optim.SGD([embeddings], lr=0.5)
    before = every_triplet_loss(embeddings, classes).item()
    for _ in range(100):
        loss = every_triplet_loss(embeddings, classes)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert embeddings.isfinite().all()
    assert loss.item() < 0.1 * before


def test_faces_at_one_place_have_a_finite_gradient():
    embeddings = torch.zeros(4, 2, requires_grad=True)
    every_triplet_loss(embeddings, torch.tensor([0, 1, 0, 1])).backward()
    assert embeddings.grad is not None
    assert embeddings.grad.isfinite().all()


def test_a_class_alone_is_told():
    with pytest.raises(UserError, match="1 faces of one class"):
        every_triplet_loss(torch.zeros(3, 2), torch.tensor([0, 0, 1]))


@pytest.mark.parametrize("every", [False, True])
def test_the_margin_is_one_unless_told_otherwise(every):
    """Anchors and positives at one place, the negative 0.25 away: each triplet lacks 0.75 of the margin."""
    near, far = torch.zeros(2, 1), torch.full((2, 1), 0.25)
    faces, targets = Embeddings(near, near, far), torch.tensor([0, 0])
    assert TripletLoss(every=every)(faces, targets).item() == pytest.approx(0.75, abs=1e-5)
    assert TripletLoss(0.5, every)(faces, targets).item() == pytest.approx(0.25, abs=1e-5)


def test_the_formulas_take_one_as_margin_too():
    near, far = torch.zeros(2, 1), torch.full((2, 1), 0.25)
    assert triplet_loss(near, near, far).item() == pytest.approx(0.75, abs=1e-5)
    classes = torch.tensor([0, 0, 1, 1])
    assert every_triplet_loss(torch.cat([near, far]), classes).item() == pytest.approx(0.75, abs=1e-5)


def test_two_faces_of_each_class_are_enough():
    faces = torch.tensor([[0.0], [3.0], [1.0], [1.0]])
    # anchors of class 0: |0-3| - |0-1|, |3-0| - |3-1|; of class 1: 0 - |1-0|, 0 - |1-3|, all + 1 and from 0
    expected = ((3 - 1 + 1) + (3 - 2 + 1)) / 2 / 2 + ((0 - 1 + 1) + 0) / 2 / 2
    assert every_triplet_loss(faces, torch.tensor([0, 0, 1, 1])).item() == pytest.approx(expected)


def test_near_faces_far_from_the_origin_keep_their_distances():
    """More than 25 faces: a product of matrices would lose the small differences."""
    draws = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    classes = torch.arange(40) % 2
    exact = every_triplet_loss(draws.double(), classes)
    torch.testing.assert_close(every_triplet_loss(draws + 4096, classes).double(), exact, rtol=2e-3, atol=0)


def test_half_precision_features_have_distances():
    """Networks that compute in bfloat16 return such features; their distances are those of the values."""
    embeddings = torch.randn(6, 4, generator=torch.Generator().manual_seed(1)).bfloat16()
    classes = torch.tensor([0, 0, 0, 1, 1, 1])
    found = every_triplet_loss(embeddings, classes)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(every_triplet_loss(embeddings.double(), classes)), rel=1e-5)
