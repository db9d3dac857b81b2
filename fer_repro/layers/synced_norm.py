"""Batch norm over the batches of all processes, for CPUs: PyTorch's own needs an accelerator."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _Sum(torch.autograd.Function):
    """The sum over all processes; each one's loss sends its gradient back to all."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:  # noqa: ANN401 - autograd's context
        """Sum values of any shape, the same in all processes."""
        summed = values.clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401 - autograd's context
        """Sum the gradients of all processes, of the values' shape."""
        summed = gradients[0].contiguous().clone()
        dist.all_reduce(summed)
        return summed


class SyncedBatchNorm(_BatchNorm):
    """Batch norm (Ioffe, Szegedy, arXiv:1502.03167) with mean and variance of the whole batch.

    Arguments and state are those of ``nn.BatchNorm2d``; in evaluation mode it is the same.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"expected (N, C, ...), found {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (N, C, ...); N may differ among the processes."""
        if not self.training:
            return super().forward(input)
        others = [axis for axis in range(input.ndim) if axis != 1]
        shape = [1, -1] + [1] * (input.ndim - 2)
        values = input.float()  # half precision would lose the sums
        ones = values.new_full((1,), values.numel() / values.shape[1])
        sums = _Sum.apply(torch.cat([values.sum(others), ones]))
        count = sums[-1].detach()
        if count < 2:
            raise ValueError(f"expected two values or more per channel in training, found {int(count)}")
        mean = sums[:-1] / count
        centred = values - mean.view(shape)
        variance = _Sum.apply(centred.square().sum(others)) / count
        self._follow(mean.detach(), variance.detach() * count / (count - 1))
        normal = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(input.dtype)

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running mean and (unbiased) variance towards those of the batch."""
        if not self.track_running_stats or self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        weight = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), weight)
        self.running_var.lerp_(variance.to(self.running_var.dtype), weight)


def synced(network: nn.Module) -> nn.Module:
    """Replace every batch norm of a network, with its state, in place.

    Args:
        network: any; a single batch norm is returned as a new module.
    """
    if isinstance(network, _BatchNorm) and not isinstance(network, SyncedBatchNorm):
        norm = SyncedBatchNorm(
            network.num_features, network.eps, network.momentum, network.affine, network.track_running_stats
        )
        norm.load_state_dict(network.state_dict())
        norm.to(network.weight.device if network.affine else "cpu")
        norm.train(network.training)
        for ours, theirs in zip(norm.parameters(), network.parameters(), strict=True):
            ours.requires_grad_(theirs.requires_grad)
        return norm
    for name, child in network.named_children():
        network.add_module(name, synced(child))
    return network
