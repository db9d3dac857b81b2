"""Two kinds of convolution that CPUs train wrongly or slowly: the same numbers by another way.

PyTorch 2.14.1 hands convolutions on CPUs to oneDNN. In the channels-last layout its backward pass of a
strided 1x1 convolution with fewer input channels than a vector register holds (8 in AVX2, 16 in AVX-512)
writes beyond its memory. And where a depthwise kernel is as large as its map, as in the last stages of an
EfficientNet on small images, its backward pass takes ten times as long as it needs.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

LARGEST_SIDE = 4
"""Of the maps whose depthwise gradients are computed by forward convolutions; larger ones gain nothing."""


def prepare_convolutions(network: nn.Module) -> nn.Module:
    """Let a network's plain convolutions compute as ``CPUConv2d``; weights, keys and results stay.

    Args:
        network: changed in place.
    """
    for module in network.modules():
        if type(module) is nn.Conv2d:
            module.__class__ = CPUConv2d
    return network


class CPUConv2d(nn.Conv2d):
    """A convolution that avoids oneDNN where its backward pass is wrong or slow."""

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (N, C, h, w)."""
        if self.kernel_size == (1, 1) and self.stride != (1, 1) and self.padding == (0, 0):
            down, across = self.stride
            return F.conv2d(input[:, :, ::down, ::across], self.weight, self.bias, groups=self.groups)
        if self._is_small_depthwise(input):
            side, kernel = input.shape[-1], self.kernel_size[0]
            unused = max(0, kernel // 2 - (side - 1))  # taps on each side that see nothing but padding
            used = slice(unused, kernel - unused)
            result: Tensor = _Depthwise.apply(input, self.weight[:, :, used, used])
            return result
        return super().forward(input)

    def _is_small_depthwise(self, input: Tensor) -> bool:
        height, width = input.shape[-2:]
        kernel = self.kernel_size[0]
        return (
            1 < self.groups == self.in_channels == self.out_channels
            and height == width <= LARGEST_SIDE
            and kernel == self.kernel_size[1]
            and kernel % 2 == 1
            and self.padding == (kernel // 2, kernel // 2)
            and self.stride == self.dilation == (1, 1)
            and self.padding_mode == "zeros"
            and self.bias is None
            and torch.is_grad_enabled()
            and not torch.is_autocast_enabled(input.device.type)
            and not torch.compiler.is_compiling()
        )


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution that keeps the side of its map, and its gradients as forward convolutions."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor) -> Tensor:  # noqa: ANN401 - PyTorch's context
        """Convolve maps (N, C, s, s) with weights (C, 1, k, k), k odd."""
        ctx.save_for_backward(maps, weight)
        return F.conv2d(maps, weight, padding=weight.shape[-1] // 2, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:  # noqa: ANN401
        """Convert the gradient of the result (N, C, s, s) into those of maps and weights."""
        maps, weight = ctx.saved_tensors
        (count, channels, side, _), margin = maps.shape, weight.shape[-1] // 2
        of_maps = of_weight = None
        if ctx.needs_input_grad[0]:
            of_maps = F.conv2d(gradient, weight.flip(2, 3), padding=margin, groups=channels)
        if ctx.needs_input_grad[1]:  # every map of every sample is a channel of one image
            one = maps.reshape(1, count * channels, side, side)
            kernels = gradient.reshape(count * channels, 1, side, side)
            each = F.conv2d(one, kernels, padding=margin, groups=count * channels)
            of_weight = each.view(count, *weight.shape).sum(0)
        return of_maps, of_weight
