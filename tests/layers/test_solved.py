"""A forest as arrays against scikit-learn, and modules whose shapes are known only when they are solved."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier

from fer_repro.errors import UserError
from fer_repro.layers.solved import Forest, Solved


@pytest.fixture
def data():
    generator = np.random.default_rng(0)
    features = np.round(generator.normal(size=(60, 5)), 1)  # many equal values: thresholds between them
    return features, (features[:, 0] + features[:, 1] > 0).astype(int) + 2 * (features[:, 2] > 0.8)


def grown(data, classes=4, trees=20, seed=3):
    forest = Forest()
    forest.grow(*data, classes, trees, seed)
    return forest


def walk(forest, row):
    """One row through all trees, node by node."""
    found = []
    for root in forest.roots.tolist():
        node = root
        while forest.left[node] >= 0:
            small = np.float32(row[forest.feature[node]]) <= float(forest.threshold[node])
            node = int(forest.left[node] if small else forest.right[node])
        found.append(forest.shares[node].numpy())
    return np.mean(found, axis=0)


def test_probabilities_are_scikit_learns(data):
    theirs = RandomForestClassifier(20, random_state=3).fit(*data)
    rows = np.concatenate([data[0], np.random.default_rng(1).normal(size=(40, 5))])
    ours = grown(data)(torch.from_numpy(rows)).numpy()
    np.testing.assert_allclose(ours, theirs.predict_proba(rows), rtol=0, atol=1e-12)


def test_every_node_is_walked_as_by_hand(data):
    forest = grown(data)
    rows = np.random.default_rng(2).normal(size=(10, 5))
    rows[0, 0], rows[1, 1] = np.inf, -np.inf  # scikit-learn refuses them, the trees have an answer
    ours = forest(torch.from_numpy(rows)).numpy()
    np.testing.assert_allclose(ours, [walk(forest, row) for row in rows], rtol=0, atol=1e-12)


def test_a_class_without_samples_keeps_its_column(data):
    shares = grown((data[0], np.where(data[1] == 0, 0, 2)), classes=4)(torch.from_numpy(data[0]))
    assert shares.shape == (60, 4)
    assert not shares[:, [1, 3]].any()
    assert torch.allclose(shares.sum(1), torch.ones(60, dtype=torch.float64))


def test_one_class_is_refused(data):
    with pytest.raises(UserError, match="samples of two classes: found 60"):
        Forest().grow(data[0], np.ones(60, int), 2, 5, 0)


def test_shapes_and_types_come_from_the_state_dict(data):
    forest, empty = grown(data), Forest()
    assert not empty.is_solved
    empty.load_state_dict(forest.state_dict(), strict=True)
    assert empty.is_solved
    assert all(torch.equal(ours, forest.state_dict()[name]) for name, ours in empty.state_dict().items())
    assert empty.left.dtype == torch.int32
    empty.load_state_dict(grown(data, trees=5).state_dict())  # another size takes its place
    assert len(empty.roots) == 5


def test_a_missing_tensor_is_missed():
    with pytest.raises(RuntimeError, match="Missing key"):
        Solved("weights", "bias").load_state_dict({"weights": torch.ones(3)})


def test_an_array_is_copied():
    module, array = Solved("weights"), np.ones(3)
    module.keep(weights=array)
    array[:] = 2
    assert module.weights.tolist() == [1, 1, 1]
    assert not module.weights.requires_grad
