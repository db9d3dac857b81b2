from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from fer_repro.config import AugmentationConfig, load_config
from fer_repro.loading.augmentation import augmented_copy, clean_images
from fer_repro.loading.batches import BatchBuilder
from fer_repro.loading.split import Split
from fer_repro.loading.views import Faces
from fer_repro.training import predict as predictions
from fer_repro.training.predict import embed, item_batches, predict, validation
from fer_repro.training.processes import make_fabric


def screen(split):
    return BatchBuilder(Faces(), split, 16, lambda tensor: tensor)


PLAIN = {"crop": 0.0, "jitter": None, "erase": None, "resampling": "two_step"}
AUGMENTATION = AugmentationConfig(flip=0.5, rotation=30.0, shift=0.0, scale=0.0, **PLAIN)


@pytest.fixture
def split():
    rng = np.random.default_rng(0)
    ids = np.arange(5, 28)
    images = rng.integers(0, 256, (40, 10, 10)).astype(np.uint8)
    return Split(images, ids, ids + 2, rng.integers(0, 3, 23))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 3)
    )


@pytest.fixture
def fabric():
    return make_fabric(load_config("params.yaml", "rmn", "synthetic", "masked", 0))


def test_predictions_follow_the_naive_loop(split, network, fabric):
    logits, means = predict(network, screen(split), fabric, 10, AUGMENTATION, 3, seed=4)
    network.eval()
    for i in range(23):
        image = torch.from_numpy(split.images[split.image_rows[i]])[None, None]
        with torch.no_grad():
            clean = network(clean_images(image, 16))[0]
            expected = sum(
                network(augmented_copy(image, split.samples[i : i + 1], 16, AUGMENTATION, 4, c))[0].softmax(0)
                for c in range(3)
            )
        assert np.allclose(logits[i], clean.numpy(), atol=1e-5)
        assert np.allclose(means[i], expected.numpy() / 3, atol=1e-6)


def test_validation_is_the_mean_over_samples(split, network, fabric):
    loss, accuracy = validation(screen(split), fabric, 10)(network)
    logits = torch.from_numpy(predict(network, screen(split), fabric, 10, AUGMENTATION, 0, 0)[0])
    targets = torch.from_numpy(split.targets)
    assert loss == pytest.approx(nn.functional.cross_entropy(logits.double(), targets).item(), rel=1e-12)
    assert accuracy == (logits.argmax(1) == targets).double().mean().item()


def test_any_criterion_may_be_validated(split, network, fabric):
    def largest(output, targets):
        return output.max().detach() * 0 + len(targets)

    loss, _ = validation(screen(split), fabric, 10, largest)(network)
    bounds = (10, 10, 3)
    assert loss == pytest.approx(sum(count**2 for count in bounds) / 23)


def test_without_copies_there_are_no_probabilities(split, network, fabric):
    logits, means = predict(network.train(), screen(split), fabric, 10, AUGMENTATION, 0, 0)
    assert not network.training
    assert (logits.dtype, means.dtype) == (np.float32, np.float64)
    assert means.shape == (23, 3)
    assert (means == 0).all()


def test_embeddings_are_those_of_single_images(split, network, fabric):
    network.embed = lambda images: images.mean((2, 3)).half()
    found = embed(network.train(), screen(split), fabric, 10)
    assert not network.training
    assert found.dtype == np.float32
    images = torch.from_numpy(split.images[split.image_rows])[:, None]
    assert np.allclose(found, clean_images(images, 16).mean((2, 3)), atol=2e-3)


def test_tested_items_are_named_by_their_first_image(split):
    rows, targets = predictions.tested_rows(screen(split))
    assert rows.tolist() == split.samples.tolist()
    assert targets.tolist() == split.targets.tolist()


@pytest.mark.parametrize(("size", "counts"), [(10, [10, 10, 3]), (11, [11, 12]), (40, [23]), (23, [23])])
def test_no_batch_holds_one_item_alone(split, size, counts):
    assert [len(items.targets) for items in item_batches(screen(split), size)] == counts


def test_named_tuples_give_their_logits(split, fabric):
    class Named(nn.Module):
        def forward(self, images):
            return SimpleNamespace(logits=images.mean((2, 3)))

    assert predict(Named(), screen(split), fabric, 10, AUGMENTATION, 1, 0)[0].shape == (23, 3)
