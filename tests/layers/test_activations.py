"""Activations of any network: the last maps at each size, rectified, without a trace left behind."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fer_repro.errors import UserError
from fer_repro.layers.activations import layer_strengths
from fer_repro.layers.image_sets import SharedTrunk
from fer_repro.layers.resnet import run_stem


def trunk():
    torch.manual_seed(0)
    network = SharedTrunk(4)
    network.forward = network.embed_images
    return network


def test_stages_of_a_resnet_are_found_without_their_names():
    network, images = trunk().train(), torch.rand(3, 3, 64, 64)
    found = layer_strengths(network, images)
    assert network.training
    sizes = ["32 x 32", "16 x 16", "8 x 8", "4 x 4", "2 x 2"]
    assert list(found) == [f"{kind} {size}" for size in sizes for kind in ("max", "mean")]
    with torch.no_grad():
        network.eval()
        maps = network.layer1(run_stem(network.conv1, network.bn1, images))
        stem = F.relu(network.bn1(network.conv1(images)))
    torch.testing.assert_close(found["max 16 x 16"], maps.amax(dim=(2, 3)).mean(1).double())
    torch.testing.assert_close(found["mean 32 x 32"], stem.mean(dim=(1, 2, 3)).double())
    assert not any(part._forward_hooks for part in network.modules())


def test_parts_of_an_image_are_averaged_over_it():
    class Regions(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk = trunk()

        def forward(self, regions):
            return self.trunk(regions.flatten(0, 1)).unflatten(0, regions.shape[:2])

    regions = torch.rand(2, 3, 3, 32, 32)
    found, apart = layer_strengths(Regions(), regions), layer_strengths(trunk(), regions.flatten(0, 1))
    torch.testing.assert_close(found["max 8 x 8"], apart["max 8 x 8"].reshape(2, 3).mean(1))


def test_a_network_without_maps_is_refused():
    with pytest.raises(UserError, match="Linear computes no maps"):
        layer_strengths(nn.Linear(4, 2), torch.rand(3, 4))
