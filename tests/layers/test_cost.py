"""Costs counted by hand."""

import torch
from torch import nn

from fer_repro.layers.cost import count_flops, count_parameters, stage_costs
from fer_repro.methods.method import load_method


def test_shared_and_frozen_parameters():
    layer = nn.Linear(3, 2)
    module = nn.ModuleList([layer, layer, nn.Linear(2, 2, bias=False).requires_grad_(False)])
    assert count_parameters(module) == 3 * 2 + 2 + 4
    assert count_parameters(module, trainable=True) == 3 * 2 + 2


def test_two_operations_per_multiply_add():
    convolution = nn.Conv2d(3, 4, 3, padding=1, bias=False)
    assert count_flops(convolution, torch.zeros(1, 3, 5, 5)) == 2 * 5 * 5 * 4 * 3 * 9
    assert count_flops(convolution, torch.zeros(2, 3, 5, 5)) == 2 * 2 * 5 * 5 * 4 * 3 * 9


def test_counting_leaves_module_and_gradients_alone():
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    count_flops(module, torch.rand(2, 3, 4, 4))
    assert module.training
    assert (module[1].running_mean == 0).all()
    assert module[0].weight.grad is None


def test_counts_by_hand():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 3)  # registered first, runs last
            self.conv = nn.Conv2d(3, 4, 3, padding=1, bias=False)
            self.norm = nn.BatchNorm2d(4)
            self.mask1 = nn.Conv2d(4, 4, 1)

        def forward(self, images):
            features = self.norm(self.conv(images))
            return self.head((features * self.mask1(features)).mean(dim=(2, 3)))

    network = Net()
    table = stage_costs(network, torch.zeros(1, 3, 8, 8))
    assert network.training
    assert table.to_numpy().tolist() == [
        ["conv", "4 × 8 × 8", 108 + 8, 108 * 64, False],
        ["mask1", "4 × 8 × 8", 20, 16 * 64, True],
        ["head", "3", 15, 12, False],
    ]


def test_rmn_costs_what_its_sheet_says():
    method = load_method("rmn")
    with torch.device("meta"):
        network = method.build_model("masked", method.options(64, 0.4, "none"), 7)
        table = stage_costs(network, torch.zeros(1, 3, 224, 224))
    assert table["parameters"].sum() == 137_796_423
    assert round(table["macs"].sum() / 1e9, 2) == 21.90
    assert table.set_index("stage")["parameters"]["mask1"] == 32_366_080
    assert round(table.loc[table["mask"], "macs"].sum() / table["macs"].sum(), 2) == 0.83


def test_parts_inside_others_are_told_by_their_own_names():
    method = load_method("efficientnet")
    with torch.device("meta"):
        options = method.options("b4", 32, 0.4, 0.2, 0.01, "evaluation", "none")
        network = method.build_model("attention", options, 2)
        parts = {
            "extractor.backbone.blocks.2": "third stage",
            "extractor.attention": "attention",
            "extractor.backbone.blocks.3": "fourth stage",
            "classifier": "classifier",
        }
        table = stage_costs(network, torch.zeros(1, 3, 224, 224), "attention", parts)
    assert table["stage"].tolist() == list(parts.values())
    assert table["output"].tolist()[:3] == ["56 × 28 × 28", "1 × 28 × 28", "112 × 14 × 14"]
    assert table.to_numpy().tolist()[1] == ["attention", "1 × 28 × 28", 57, 56 * 28 * 28, True]
    assert table.to_numpy().tolist()[3] == ["classifier", "1", 1793, 1792, False]
    backbone = network.extractor.backbone
    for row, stage in ((0, 2), (2, 3)):
        assert table["parameters"][row] == sum(p.numel() for p in backbone.blocks[stage].parameters())
        assert table["macs"][row] > 28 * 28 * 56  # stages run in a slice of their container


def test_recurrent_layers_are_counted():
    """At each of T steps 4 H gates read the input and the state of each layer, two operations a weight."""
    lstm = nn.LSTM(3, 5, num_layers=2, batch_first=True)
    operations = 2 * 7 * 4 * 5 * ((3 + 5) + (5 + 5))
    assert count_flops(lstm, torch.zeros(1, 7, 3)) == operations
    assert count_flops(lstm, torch.zeros(2, 7, 3)) == 2 * operations
    meta = count_flops(lstm.to("meta"), torch.zeros(1, 7, 3, device="meta"))
    assert meta == operations
