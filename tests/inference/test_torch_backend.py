"""The faster way gives what the plain way gives."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fer_repro.errors import UserError
from fer_repro.inference.loading import load
from fer_repro.inference.torch_backend import fold_batch_norms, has_bfloat16, speed_up


def _norms(network):
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("method", ["rmn", "ran", "adacos", "p2sgrad", "fan", "efficientnet"])
def test_folded_networks_give_the_same_numbers(run_of, method):
    model = load(run_of(method), device="cpu")
    spec, plain = model.spec, model.backend.network
    faces = torch.from_numpy(
        np.random.default_rng(1).integers(
            0, 256, (3, spec.channels, spec.face_size, spec.face_size), np.uint8
        )
    )
    folded = copy.deepcopy(plain)
    before = _norms(folded)
    assert fold_batch_norms(folded, faces[:1]) == before > 0
    assert _norms(folded) == 0
    with torch.no_grad():
        expected, found = plain(faces), folded(faces)
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-4 * tensor.abs().max().item())


@pytest.mark.parametrize("method", ["rmn", "fan"])
def test_a_fast_model_predicts_nearly_the_same(run_of, method):
    plain, fast = (load(run_of(method), device="cpu", fast=each) for each in (False, True))
    side, channels = plain.spec.face_size, plain.spec.channels
    shape = (5, side, side) if channels == 1 else (5, side, side, 3)
    images = np.random.default_rng(2).integers(0, 256, shape, np.uint8)
    first, second = (model.predict(images, detector="none") for model in (plain, fast))
    columns = [name for name in first if name.startswith("p_")]
    assert np.abs(first[columns].to_numpy() - second[columns].to_numpy()).max() < 0.05
    assert list(first.columns) == list(second.columns)


class _Odd(nn.Module):
    """One convolution serves two normalisations, another normalisation follows no convolution."""

    def __init__(self):
        super().__init__()
        self.shared, self.alone = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)
        self.a, self.b, self.c, self.d = (nn.BatchNorm2d(4) for _ in range(4))

    def forward(self, images):
        shared = self.shared(images)
        both = self.a(shared) + self.b(shared)
        return self.c(self.alone(both)) + self.d(F.relu(both))


def test_only_pairs_that_are_one_to_one_are_folded():
    torch.manual_seed(0)
    network = _Odd()
    images = torch.rand(8, 3, 5, 5)
    network(images)  # so that the running statistics are not 0 and 1
    plain = copy.deepcopy(network.eval())
    assert fold_batch_norms(network, images) == 1
    assert _norms(network) == 3
    torch.testing.assert_close(network(images), plain(images), rtol=1e-5, atol=1e-5)


def test_weights_are_brief_only_where_the_processor_computes_so(run_of):
    network = load(run_of("rmn"), device="cpu").backend.network
    shape = (1, 1, network.size, network.size)
    speed_up(network, torch.zeros(shape, dtype=torch.uint8))
    kinds = {module.weight.dtype for module in network.modules() if isinstance(module, nn.Conv2d)}
    assert kinds == {torch.bfloat16 if has_bfloat16(torch.device("cpu")) else torch.float32}


def test_fast_is_not_for_onnx(tmp_path):
    with pytest.raises(UserError, match="fast is for runtime torch"):
        load(tmp_path / "model.onnx", fast=True)
