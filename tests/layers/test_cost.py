"""Costs counted by hand."""

import torch
from torch import nn

from fer_repro.layers.cost import count_flops, count_parameters


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
