"""Activations of any network: the last maps at each size, those that are averaged, without a trace left."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fer_repro.errors import UserError
from fer_repro.layers.activations import last_maps, layer_strengths
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


class Ends(nn.Module):
    """Maps, pooled and classified in one of several ways."""

    def __init__(self, pool, head):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.pool, self.head = pool, head

    def forward(self, images):
        return self.head(self.pool(F.relu(self.norm(self.first(images)))))


def dimensions(maps):
    return maps.mean(dim=(-1, -2))


AVERAGED = {
    "mean": (dimensions, nn.Linear(4, 3)),
    "module": (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.9)), nn.Linear(4, 3)),
    "no bias": (dimensions, nn.Linear(4, 5, bias=False)),
    "one logit": (dimensions, nn.Sequential(nn.Linear(4, 1), nn.ZeroPad1d((1, 0)))),
}


@pytest.mark.parametrize("end", AVERAGED)
def test_the_mean_of_a_class_map_plus_bias_is_the_logit(end):
    network = Ends(*AVERAGED[end]).double().train()
    images = torch.rand(3, 3, 9, 7, dtype=torch.float64)
    found = last_maps(network, images)
    assert network.training
    assert not any(part._forward_hooks for part in network.modules())
    with torch.no_grad():
        network.eval()
        torch.testing.assert_close(found.maps, F.relu(network.norm(network.first(images))))
        maps = torch.einsum("kd,ndhw->nkhw", found.weight, found.maps)
        torch.testing.assert_close(found.logits, network(images))
        torch.testing.assert_close(maps.mean(dim=(2, 3)) + found.bias, found.logits, rtol=1e-9, atol=1e-12)


OTHERWISE = {
    "maximum": (lambda maps: maps.amax(dim=(2, 3)), nn.Linear(4, 3), "is not the mean of maps"),
    "twice": (dimensions, nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3)), "is not the mean of maps"),
    "places": (lambda maps: maps.flatten(1), nn.Linear(4 * 7 * 7, 3), "is not the mean of maps"),
    "scaled": (dimensions, nn.Sequential(nn.Linear(4, 3), nn.Softmax(1)), "not those of a linear layer"),
}


@pytest.mark.parametrize("end", OTHERWISE)
def test_networks_that_end_otherwise_are_refused(end):
    pool, head, reason = OTHERWISE[end]
    with pytest.raises(UserError, match=reason):
        last_maps(Ends(pool, head), torch.rand(2, 3, 9, 9))
