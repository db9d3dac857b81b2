"""Blinded embeddings: what is removed, what the loss asks for, and what is refused."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fer_repro.errors import UserError
from fer_repro.loading.batches import Batch
from fer_repro.methods.blinding import (
    METHOD,
    BlindingOptions,
    begin,
    negative_entropy,
    null_projection,
    probed_rows,
    reverse_gradient,
)

OPTIONS = BlindingOptions(
    width=4, dimensions=16, expressions=3, expression_weight=2.0, rounds=2, reversal=0.1,
    entropy_weight=0.01, adversary=8,
)  # fmt: skip
PEOPLE = 5


def network(arm, seed=0):
    torch.manual_seed(seed)
    return METHOD.build_model(arm, OPTIONS, PEOPLE)


def faces(count=30, seed=0):
    """Images whose brightness is their expression: person + people x expression."""
    rng = np.random.default_rng(seed)
    person, expression = np.arange(count) % PEOPLE, np.arange(count) // PEOPLE % 3
    images = rng.uniform(0, 0.4, (count, 3, 32, 32)) + 0.3 * expression[:, None, None, None]
    return torch.from_numpy(images).float(), torch.from_numpy(person + PEOPLE * expression)


def solved(arm, seed=0):
    images, targets = faces()
    blinded = begin(arm, OPTIONS, [network("untouched")], None)
    METHOD.solver.fit(blinded, [Batch((images,), targets)], seed)
    return blinded.eval(), images, targets


def test_a_removal_leaves_the_probes_nothing():
    blinded, images, targets = solved("null_space_1")
    with torch.no_grad():
        before = blinded.trunk(images).double().numpy()
        after = blinded.embed(images).double().numpy()
    rows = probed_rows(before, targets.numpy() // PEOPLE, 1)
    assert np.linalg.norm(before @ rows.T, axis=1).min() > 1
    assert np.abs(after @ rows.T).max() < 1e-3 * np.abs(before @ rows.T).max()


def test_chance_removes_as_many_directions():
    ranks = {}
    for arm in ("null_space", "random_subspace", "null_space_1", "random_subspace_1"):
        projection = solved(arm)[0].removal.projection.double().numpy()
        np.testing.assert_allclose(projection @ projection, projection, atol=1e-5)
        ranks[arm] = round(16 - np.trace(projection))
    assert ranks["null_space"] == ranks["random_subspace"] == 4  # two rounds of three classes
    assert ranks["null_space_1"] == ranks["random_subspace_1"] == 2
    one, other = (solved("random_subspace", seed)[0].removal.projection for seed in (0, 1))
    assert not torch.allclose(one, other)


def test_rows_of_a_second_round_are_fitted_to_what_is_left():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    vectors = rng.normal(size=(60, 6))
    vectors[:, :2] += 3 * labels[:, None]
    rows = probed_rows(vectors, labels, 2)
    assert np.abs(rows[2:] @ rows[:2].T).max() < 1e-9 * np.abs(rows).max() ** 2
    assert np.linalg.matrix_rank(rows) == 2


def test_trunk_and_head_are_those_of_the_untouched_network():
    source = network("untouched", seed=1)
    for arm in ("people_only", "reversal", "null_space"):
        after = begin(arm, OPTIONS, [source], None).state_dict()
        kept = {key: value for key, value in source.state_dict().items() if not key.startswith("reader")}
        assert all(torch.equal(after[key], value) for key, value in kept.items())


def test_each_arm_pays_for_what_it_asks():
    images, targets = faces(10)
    person, expression = targets % PEOPLE, targets // PEOPLE
    loss = METHOD.build_loss(OPTIONS)
    for arm in ("people_only", "untouched", "reversal"):
        torch.manual_seed(0)
        model = network(arm).eval()  # AdaCos keeps its scale
        output = model(images)
        logits = model.head.scale * model.head.cosines(output.embeddings)
        expected = -logits.log_softmax(1)[range(10), person].mean()
        if arm != "people_only":
            read = model.reader(output.embeddings).log_softmax(1)
            weight = 2.0 if arm == "untouched" else 1.0
            expected = expected - weight * read[range(10), expression].mean()
        if arm == "reversal":
            expected = expected + 0.01 * (read.exp() * read).sum(1).mean()
        torch.testing.assert_close(loss(output, targets), expected, rtol=1e-5, atol=1e-6)
        assert output.hits(targets).tolist() == (logits.argmax(1) == person).tolist()


def test_the_adversary_follows_its_gradient_and_the_network_the_reverse():
    features = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([0, 1, 1, 0])
    plain = torch.autograd.grad(F.cross_entropy(features @ weights.T, targets), (features, weights))
    turned = reverse_gradient(features, 0.1)
    found = torch.autograd.grad(F.cross_entropy(turned @ weights.T, targets), (features, weights))
    torch.testing.assert_close(found[0], -0.1 * plain[0])
    torch.testing.assert_close(found[1], plain[1])
    assert negative_entropy(torch.zeros(2, 4)).item() == pytest.approx(-np.log(4))


def test_mirrored_embeddings_are_blinded_too():
    blinded, images, _ = solved("null_space")
    both = blinded.embed(images[:3], mirror=True)
    apart = blinded.embed(images[:3]) + blinded.embed(images[:3].flip(-1))
    torch.testing.assert_close(both, apart, rtol=1e-4, atol=1e-4)


def test_one_expression_and_no_projection_are_refused():
    images, _ = faces(6)
    blinded = begin("null_space", OPTIONS, [network("untouched")], None)
    with pytest.raises(UserError, match="nothing has been removed yet"):
        blinded(images)
    with pytest.raises(UserError, match="6 training faces show one expression"):
        METHOD.solver.fit(blinded, [Batch((images,), torch.arange(6) % PEOPLE)], 0)


def test_removing_nothing_is_the_identity():
    np.testing.assert_allclose(null_projection(np.zeros((2, 3))), np.eye(3))
