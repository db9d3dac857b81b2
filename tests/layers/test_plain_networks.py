"""Plain backbones of RMN's tables: sizes as published, layers as the libraries', attention as published."""

from typing import get_args

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from fer_repro.errors import UserError
from fer_repro.layers import plain_trunks
from fer_repro.layers.attention_network import (
    AttentionModule,
    AttentiveBottleneck,
    BottleneckAttention,
    ConvolutionalBlockAttention,
)
from fer_repro.layers.cost import count_flops, count_parameters
from fer_repro.layers.plain_trunks import PlainResNetName, PlainTrunkName, plain_resnet, plain_trunk

RESNETS, TRUNKS = get_args(PlainResNetName), get_args(PlainTrunkName)
TORCHVISION = {"resnext50": "resnext50_32x4d", "vgg19": "vgg19", "densenet121": "densenet121"}
TORCHVISION |= {name: name for name in ("resnet18", "resnet50", "resnet101", "resnet152")}


def network(name, classes=7, width=64, device="meta", **options):
    with torch.device(device):
        build = plain_resnet if name in RESNETS else plain_trunk
        return build(name, classes, width, **options)


@pytest.mark.parametrize(("name", "theirs"), TORCHVISION.items())
def test_full_size_has_torchvisions_parameters(name, theirs):
    with torch.device("meta"):
        reference = torchvision.models.get_model(theirs)
    ours = [tuple(p.shape) for p in network(name, 1000).parameters()]
    assert ours == [tuple(p.shape) for p in reference.parameters()]


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_inceptions_are_torchvisions_less_the_auxiliary_classifiers(name):
    with torch.device("meta"):
        reference = torchvision.models.get_model(name, init_weights=False)
    kept = {
        key: value.shape for key, value in reference.state_dict().items() if not key.lower().startswith("aux")
    }
    ours = network(name, 1000).state_dict()
    assert {key.removeprefix("trunk."): value.shape for key, value in ours.items()} == kept


@pytest.mark.parametrize(("name", "millions"), [("vgg19", 139.5), ("densenet121", 6.9), ("resnet152", 58.1)])
def test_sizes_printed_in_table_3(name, millions):
    assert count_parameters(network(name)) // 100_000 / 10 == millions  # the table cuts, it does not round


def test_attention_adds_what_its_formulas_say():
    """Hand count: two C x C/16 matrices with biases, 98 weights and a normalisation for each place map."""
    stages = ((256, 3), (512, 4), (1024, 6), (2048, 3))
    cbam = sum(n * (2 * c * (c // 16) + c // 16 + c + 98 + 2) for c, n in stages)
    plain = count_parameters(network("resnet50"))
    assert count_parameters(network("cbam_resnet50")) - plain == cbam
    bam = 0
    for c in (256, 512, 1024):
        h = c // 16
        channels = c * h + h + 2 * h + h * c + c
        places = c * h + h + 2 * h + 2 * (9 * h * h + h + 2 * h) + h + 1
        bam += channels + places
    assert count_parameters(network("bam_resnet50")) - plain == bam


def test_cbam_weighs_channels_and_then_places():
    torch.manual_seed(0)
    block = ConvolutionalBlockAttention(8).double().eval()
    first, second = block.mlp[0], block.mlp[2]
    kernel = block.places[0].weight.detach().numpy()[0]
    features = torch.randn(2, 8, 5, 6, dtype=torch.float64)
    with torch.no_grad():
        found = block(features).numpy()

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def mlp(x):
        hidden = np.maximum(first.weight.detach().numpy() @ x + first.bias.detach().numpy(), 0)
        return second.weight.detach().numpy() @ hidden + second.bias.detach().numpy()

    for n, image in enumerate(features.numpy()):
        weighed = image * sigmoid(mlp(image.mean((1, 2))) + mlp(image.max((1, 2))))[:, None, None]
        pooled = np.pad(np.stack([weighed.mean(0), weighed.max(0)]), ((0, 0), (3, 3), (3, 3)))
        for h in range(5):
            for w in range(6):
                score = (pooled[:, h : h + 7, w : w + 7] * kernel).sum() / np.sqrt(
                    1 + 1e-5
                )  # fresh statistics
                np.testing.assert_allclose(found[n, :, h, w], weighed[:, h, w] * sigmoid(score), atol=1e-12)


def test_bam_adds_the_weighed_features_to_the_features():
    block = BottleneckAttention(8).double().eval()
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    features = torch.randn(2, 8, 9, 9, dtype=torch.float64)
    torch.testing.assert_close(block(features), 1.5 * features)  # sigmoid(0) is a half
    block.places[-1].bias.data.fill_(np.log(3))
    torch.testing.assert_close(block(features), 1.75 * features)


def test_bam_looks_eight_places_far():
    """Two 3x3 convolutions of dilation 4 reach 8 places to each side, and no further."""
    torch.manual_seed(0)
    block = BottleneckAttention(8).double().eval()
    features = torch.randn(1, 8, 21, 21, dtype=torch.float64, requires_grad=True)
    block.places(features)[0, 0, 10, 10].backward()
    rows = features.grad[0].abs().sum(dim=(0, 2)).nonzero().flatten()
    assert (rows.min().item(), rows.max().item()) == (2, 18)


def test_cbam_stands_before_the_sum():
    block = AttentiveBottleneck(16, 4).eval()
    block.attention.places[1].weight.data.zero_()
    block.attention.places[1].bias.data.fill_(-100.0)  # sigmoid: nothing passes
    features = torch.rand(2, 16, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(block(features), features)


@pytest.mark.parametrize("name", RESNETS + TRUNKS)
def test_narrow_networks_learn_a_handful_of_images(name):
    torch.manual_seed(0)
    narrow = network(name, 3, 8, "cpu").train()
    images, targets = torch.rand(8, 3, 64, 64), torch.arange(8) % 3
    optimiser = torch.optim.AdamW(narrow.parameters(), lr=1e-3)
    losses = []
    for _ in range(5):
        torch.manual_seed(1)  # the same dropout in each step
        loss = nn.functional.cross_entropy(narrow(images), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert count_parameters(narrow) < count_parameters(network(name, 3)) / 20


def test_the_residual_attention_network_is_as_large_as_its_paper_says():
    """Table 2 of arXiv:1704.06904: 31.9 M parameters and 6.2 G multiply-adds for ImageNet."""
    full = network("resattnet56", 1000)
    assert count_parameters(full) / 1e6 == pytest.approx(31.9, rel=0.005)
    flops = count_flops(full, torch.empty(1, 3, 224, 224, device="meta"))
    assert flops / 2e9 == pytest.approx(6.2, rel=0.02)
    with pytest.raises(UserError, match="no ImageNet weights of resattnet56"):
        network("resattnet56", imagenet=True)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_attention_module_multiplies_its_trunk_by_one_to_two(depth):
    torch.manual_seed(0)
    module = AttentionModule(8, depth).double().eval()
    features = torch.randn(2, 8, 12, 9, dtype=torch.float64)
    with torch.no_grad():
        module.mask[-2].weight.zero_()  # sigmoid(0) is a half
        trunk = module.trunk(module.first(features))
        torch.testing.assert_close(module(features), module.last(1.5 * trunk))


def test_the_mask_sees_further_than_the_trunk():
    """What changes in one corner moves the mask in the other: three halvings of 16 leave 2 x 2 places."""
    torch.manual_seed(0)
    module = AttentionModule(8, 3).double().eval()
    module.trunk = module.last = nn.Identity()
    features = torch.randn(1, 8, 16, 16, dtype=torch.float64, requires_grad=True)
    module(features)[0, :, 0, 0].sum().backward()
    assert features.grad[0, :, 8:, 8:].abs().sum() > 0  # max-pooling passes on single places


def test_widths_that_do_not_suit_are_refused():
    with pytest.raises(UserError, match=r"model\.width is 6: googlenet needs a multiple of 4"):
        network("googlenet", width=6)
    with pytest.raises(UserError, match="densenet121 needs a multiple of 2"):
        network("densenet121", width=7)


def test_inception_enlarges_small_images_and_leaves_large_ones(monkeypatch):
    seen = []
    inception = network("inception_v3", 3, 4, "cpu").eval()
    inception.trunk.register_forward_pre_hook(
        lambda _module, inputs: seen.append(tuple(inputs[0].shape[-2:]))
    )
    with torch.no_grad():
        for shape in ((48, 48), (64, 96), (107, 107), (120, 130)):
            inception(torch.rand(1, 3, *shape))
    assert seen == [(107, 107), (107, 160), (107, 107), (120, 130)]  # 96 * 107 / 64 = 160.5


def test_imagenet_starts_from_the_librarys_weights(monkeypatch):
    """Without a connection: a stand-in for the download."""

    def stand_in(name, **options):
        return torchvision.models.get_model(name, **options)

    monkeypatch.setattr(plain_trunks, "imagenet_network", stand_in)
    torch.manual_seed(0)
    started = network("densenet121", 7, device="cpu", imagenet=True)
    torch.manual_seed(0)
    expected = torchvision.models.densenet121()
    assert torch.equal(started.features.conv0.weight, expected.features.conv0.weight)
    assert started.classifier.out_features == 7


@pytest.mark.parametrize("name", ["resnext50", "cbam_resnet50", "bam_resnet50"])
def test_imagenet_weights_of_the_trunk_fit(name, monkeypatch):
    theirs = torchvision.models.get_model(TORCHVISION.get(name, "resnet50")).state_dict()
    state = {key: value for key, value in theirs.items() if not key.startswith("fc.")}
    monkeypatch.setattr("fer_repro.layers.pretrained.imagenet_weights", lambda trunk: state)
    started = network(name, device="cpu", imagenet=True).state_dict()
    assert all(torch.equal(started[key], value) for key, value in state.items())
